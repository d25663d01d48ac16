package v1alpha1

import (
	"bytes"
	"strings"
	"testing"
)

func problems(list []Problem) string {
	var b strings.Builder
	for _, p := range list {
		b.WriteString(p.Error() + "\n")
	}
	return b.String()
}

func TestDecodeReportsEveryMistakeAtItsLine(t *testing.T) {
	const text = `# two documents
apiVersion: gabion.io/v1alpha1
kind: WAFPolicy
metadata:
  name: shop
spec:
  mod: block
  paranoiaLevel: "2"
  requestBody:
    limit: 12x
  exclusions:
  - rule: 942100
    tag: attack-sqli
  locked: [mode]
  locked: [profile]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: shop}
spec:
  rules:
  - matches:
    - path: {type: PathPrefix, valeu: /}
`
	objects, list := Decode("in.yaml", []byte(text))
	if len(objects) != 0 {
		t.Errorf("got %d resources, want none", len(objects))
	}
	want := `in.yaml:15: spec.locked: is given twice: the first is on line 14; remove one
in.yaml:23: spec.rules[0].matches[0].path.valeu: unknown field: did you mean value?
`
	if got := problems(list); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}

	_, list = Decode("in.yaml", []byte(strings.Replace(text, "  locked: [profile]\n", "", 1)))
	want = `in.yaml:7: spec.mod: unknown field: did you mean mode?
in.yaml:8: spec.paranoiaLevel: must be a whole number of at most 64 bits, is text
in.yaml:10: spec.requestBody.limit: "12x" is no size: write bytes as a number or a quantity such as 128Ki
in.yaml:22: spec.rules[0].matches[0].path.valeu: unknown field: did you mean value?
`
	if got := problems(list); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

func TestDecodeValidates(t *testing.T) {
	const text = `apiVersion: gabion.io/v1alpha1
kind: WAFPolicy
metadata:
  name: Shop
spec:
  mode: audit
  paranoiaLevel: 5
  targetRefs:
  - {kind: Pod, name: x}
  exclusions:
  - rule: 942100
    tag: attack-sqli
  - rule: 942100
    path: shop
  locked: [mode, requestBody, limit]
`
	_, list := Decode("in.yaml", []byte(text))
	got := problems(list)
	for _, want := range []string{
		`in.yaml:4: metadata.name: "Shop" is no name`,
		`in.yaml:6: spec.mode: "audit" is not one of off, detect, block`,
		`in.yaml:7: spec.paranoiaLevel: 5 is out of range: 1 to 4`,
		`in.yaml:9: spec.targetRefs[0].kind: "Pod" cannot be a target`,
		`in.yaml:11: spec.exclusions[0]: needs exactly one of rule and tag`,
		`in.yaml:14: spec.exclusions[1].path: "shop" is no path`,
		`spec.locked[2]: "limit" is no field that can be locked`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("missing %q in\n%s", want, got)
		}
	}
}

func TestDecodeForms(t *testing.T) {
	for name, c := range map[string]struct{ in, want string }{
		"empty":        {"# nothing\n---\n", ""},
		"scalar":       {"hello", "f:1: is no resource"},
		"list root":    {"- a", "f:1: is no resource"},
		"syntax":       {"\n\na: [b\n", ": cannot be read as YAML: did not find"},
		"no kind":      {"a: 1", "f:1: needs apiVersion and kind"},
		"kind":         {"apiVersion: gabion.io/v1alpha1\nkind: WafPolicy", "f:2: kind: kind WafPolicy of gabion.io/v1alpha1 is not known: did you mean WAFPolicy?"},
		"version":      {"apiVersion: gabion.io/v1\nkind: WAFPolicy", "f:1: apiVersion: WAFPolicy is not known in gabion.io/v1: write gabion.io/v1alpha1"},
		"no name":      {"apiVersion: v1\nkind: Service", "metadata.name: is missing"},
		"merge":        {"a: &a {b: 1}\nc: {<<: *a}", "f:2: c: merging with << is not supported"},
		"bomb":         {bomb(), "is too large or too deep"},
		"text for num": {"apiVersion: gabion.io/v1alpha1\nkind: ListenerPolicy\nmetadata: {name: a}\nspec: {tls: {minVersion: 1.2}}", "spec.tls.minVersion: must be text, is 1.2: put it in quotes"},
		"after marker": {"--- {apiVersion: v1, kind: Service}\n", "metadata.name: is missing"},
	} {
		_, list := Decode("f", []byte(c.in))
		got := problems(list)
		if !strings.Contains(got, c.want) || (c.want == "") != (got == "") {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}

func bomb() string {
	var b strings.Builder
	b.WriteString("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n")
	for i := '1'; i <= '9'; i++ {
		p := string(i - 1)
		b.WriteString("a" + string(i) + ": &a" + string(i) + " [" + strings.Repeat("*a"+p+",", 9) + "*a" + p + "]\n")
	}
	return b.String()
}

func TestEncodeIsCanonical(t *testing.T) {
	const text = `apiVersion: v1
kind: List
items:
- kind: WAFPolicy
  apiVersion: gabion.io/v1alpha1
  metadata: {name: a, creationTimestamp: null, uid: x}
  spec: {requestBody: {limit: 131072}, mode: block, failureMode: null}
- apiVersion: gateway.networking.k8s.io/v1beta1
  kind: HTTPRoute
  metadata: {name: b, namespace: shop}
  spec: {parentRefs: [{name: web}], rules: [{timeouts: {request: 10s}}]}
  status: {parents: []}
- apiVersion: v1
  kind: Secret
  metadata: {name: c}
  stringData: {x: y}
- apiVersion: gabion.io/v1alpha1
  kind: ListenerPolicy
  metadata: {name: d}
  spec: {timeouts: {request: 1h30m0s}, maxRequestHeaders: 60Ki}
`
	objects, list := Decode("in.yaml", []byte(text))
	if len(list) > 0 {
		t.Fatal(problems(list))
	}
	want := `apiVersion: gabion.io/v1alpha1
kind: WAFPolicy
metadata:
  name: a
  namespace: default
spec:
  mode: block
  requestBody:
    limit: 128Ki
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata:
  name: b
  namespace: shop
spec:
  parentRefs:
  - name: web
  rules:
  - timeouts:
      request: 10s
---
apiVersion: v1
data:
  x: eQ==
kind: Secret
metadata:
  name: c
  namespace: default
---
apiVersion: gabion.io/v1alpha1
kind: ListenerPolicy
metadata:
  name: d
  namespace: default
spec:
  maxRequestHeaders: 60Ki
  timeouts:
    request: 1h30m
`
	var got [][]byte
	for _, o := range objects {
		text, err := Encode(o)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, text)
	}
	if text := string(bytes.Join(got, []byte("---\n"))); text != want {
		t.Errorf("got\n%s", text)
	}
}

// FuzzDecode holds that nothing panics, that whatever decodes can be rendered,
// and that rendering is a fixed point.
func FuzzDecode(f *testing.F) {
	f.Add([]byte("apiVersion: v1\nkind: Service\nmetadata: {name: a}\n"))
	f.Add([]byte("apiVersion: gabion.io/v1alpha1\nkind: WAFPolicy\nmetadata: {name: a}\nspec: {requestBody: {limit: 1Mi}, exclusions: [{rule: 1, expires: 2026-01-02T03:04:05Z}]}\n"))
	f.Add([]byte("apiVersion: gabion.io/v1alpha1\nkind: ListenerPolicy\nmetadata: {name: a}\nspec: {timeouts: {request: 1h}}\n---\na: &x [*x]\n"))
	f.Add([]byte("{\"apiVersion\":\"v1\",\n\t\"kind\":\"Secret\",\"metadata\":{\"name\":\"s\"},\"data\":{\"a\":\"eA==\"}}"))
	f.Add([]byte("apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: e}\naddressType: IPv4\nendpoints: [{addresses: [10.0.0.1]}]\nports: [{port: 80}]\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		objects, list := Decode("f", data)
		_ = problems(list)
		for _, o := range objects {
			text, err := Encode(o)
			if err != nil {
				t.Fatal(err)
			}
			again, list := Decode("f", text)
			if len(list) > 0 || len(again) != 1 {
				t.Fatalf("rendered as\n%s\n%s", text, problems(list))
			}
			second, err := Encode(again[0])
			if err != nil || !bytes.Equal(text, second) {
				t.Fatalf("%v: rendered as\n%s\nthen as\n%s", err, text, second)
			}
		}
	})
}
