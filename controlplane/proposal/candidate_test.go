package proposal

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gabion-io/gabion/controlplane/api/v1alpha1"
	wafrules "github.com/gabion-io/gabion/waf-rules"
)

func TestCandidateKeepsTheAuthorsText(t *testing.T) {
	add := []wafrules.Exclusion{{Rule: 942100, Target: "ARGS:q", Method: "GET", Host: "shop.example.com", Path: "/search", Reason: "proposal 1: false positive"}}
	const item = `- rule: 942100
  target: ARGS:q
  method: GET
  host: shop.example.com
  path: /search
  reason: 'proposal 1: false positive'
`
	head := "apiVersion: gabion.io/v1alpha1\nkind: WAFPolicy\nmetadata:\n  name: shop # ours\n"
	cases := map[string]struct{ in, want string }{
		"no exclusions yet": {
			head + "spec:\n  # careful\n  mode: detect\n\n# end\n",
			head + "spec:\n  # careful\n  mode: detect\n  exclusions:\n" + indented(item, "  ") + "\n# end\n",
		},
		"one more": {
			head + "spec:\n    exclusions:\n      - rule: 1 # why\n        reason: |\n          two\n          lines\n    mode: detect\n",
			head + "spec:\n    exclusions:\n      - rule: 1 # why\n        reason: |\n          two\n          lines\n" + indented(item, "      ") + "    mode: detect\n",
		},
		"list on the level of its key, no newline at the end": {
			head + "spec:\n  mode: detect\n  exclusions:\n  - rule: 1",
			head + "spec:\n  mode: detect\n  exclusions:\n  - rule: 1\n" + indented(item, "  "),
		},
		"there already": {
			head + "spec:\n  exclusions:\n" + indented(item, "  "),
			head + "spec:\n  exclusions:\n" + indented(item, "  "),
		},
	}
	for name, c := range cases {
		got, err := withExclusions([]byte(c.in), add)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if diff := cmp.Diff(c.want, string(got)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func indented(text, by string) string {
	lines := strings.SplitAfter(strings.TrimSuffix(text, "\n"), "\n")
	return by + strings.Join(lines, by) + "\n"
}

func TestCandidateRendersWhatCannotBeEdited(t *testing.T) {
	add := []wafrules.Exclusion{{Rule: 942100, Target: "ARGS:q", Path: "/search"}}
	for name, in := range map[string]string{
		"flow":       "{apiVersion: gabion.io/v1alpha1, kind: WAFPolicy, metadata: {name: shop}, spec: {mode: detect}}",
		"JSON":       `{"apiVersion":"gabion.io/v1alpha1","kind":"WAFPolicy","metadata":{"name":"shop"},"spec":{"exclusions":[{"rule":1}]}}`,
		"no spec":    "apiVersion: gabion.io/v1alpha1\nkind: WAFPolicy\nmetadata:\n  name: shop\n",
		"empty list": "apiVersion: gabion.io/v1alpha1\nkind: WAFPolicy\nmetadata:\n  name: shop\nspec:\n  exclusions: []\n",
	} {
		got, err := withExclusions([]byte(in), add)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		p, err := decodePolicy(got)
		if err != nil {
			t.Errorf("%s: %v\n%s", name, err, got)
			continue
		}
		last := p.Spec.Exclusions[len(p.Spec.Exclusions)-1]
		if diff := cmp.Diff(add[0], settingsExclusion(last)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestCandidateRefusesGarbage(t *testing.T) {
	for name, in := range map[string]string{
		"nothing":       "",
		"not YAML":      "\t{",
		"another kind":  "apiVersion: gabion.io/v1alpha1\nkind: Recording\nmetadata: {name: a}\nspec: {}\n",
		"two":           "apiVersion: gabion.io/v1alpha1\nkind: WAFPolicy\nmetadata: {name: a}\n---\napiVersion: gabion.io/v1alpha1\nkind: WAFPolicy\nmetadata: {name: b}\n",
		"unknown field": "apiVersion: gabion.io/v1alpha1\nkind: WAFPolicy\nmetadata: {name: a}\nspec: {surprise: 1}\n",
	} {
		if _, err := withExclusions([]byte(in), nil); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: error is %v", name, err)
		}
	}
}

func TestNewPolicyDecodes(t *testing.T) {
	text, err := newPolicy("default", "shop-exclusions", []v1alpha1.TargetRef{{Group: v1alpha1.GatewayGroup, Kind: v1alpha1.KindHTTPRoute, Name: "shop"}},
		[]wafrules.Exclusion{{Rule: 942100, Target: "ARGS:q"}})
	if err != nil {
		t.Fatal(err)
	}
	p, err := decodePolicy(text)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	if len(p.Spec.TargetRefs) != 1 || len(p.Spec.Exclusions) != 1 {
		t.Errorf("policy is\n%s", text)
	}
}

func FuzzWithExclusions(f *testing.F) {
	f.Add("apiVersion: gabion.io/v1alpha1\nkind: WAFPolicy\nmetadata:\n  name: shop\nspec:\n  mode: detect\n  exclusions:\n  - rule: 1\n")
	f.Add("apiVersion: gabion.io/v1alpha1\nkind: WAFPolicy\nmetadata: {name: a}\nspec:\n  rules:\n  - |\n    SecAction \"id:1\"\n")
	for _, odd := range []string{"\r", "\u0085", "\u2028", "\u2029"} {
		f.Add("apiVersion: gabion.io/v1alpha1\nkind: WAFPolicy\nmetadata:\n name: a\nspec:\n  exclusions:" + odd + odd + odd + "\n  - rule: 1")
	}
	add := []wafrules.Exclusion{{Rule: 942100, Target: "ARGS:q", Reason: "a: b # c\n'd'"}}
	f.Fuzz(func(t *testing.T, in string) {
		got, err := withExclusions([]byte(in), add)
		if err != nil {
			return
		}
		p, err := decodePolicy(got)
		if err != nil {
			t.Fatalf("candidate does not decode: %v\n%s", err, got)
		}
		if len(missing(p, add)) != 0 {
			t.Fatalf("exclusion is not in the candidate:\n%s", got)
		}
	})
}
