package apiguard

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
	"sigs.k8s.io/yaml"

	"github.com/gabion-io/gabion/filters"
)

func TestCases(t *testing.T) {
	names, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(names) < 4 {
		t.Fatalf("%d cases, %v", len(names), err)
	}
	for _, name := range names {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) { runCase(t, name) })
	}
}

// runCase reads an API, and requests with what is to be found of each.
func runCase(t *testing.T, name string) {
	archive, err := txtar.ParseFile(name)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, f := range archive.Files {
		files[f.Name] = string(f.Data)
	}
	a := apiOf(t, files["api.yaml"])
	if want, ok := files["want"]; ok {
		if d := cmp.Diff(want, problemsText(Check(a))); d != "" {
			t.Errorf("problems (-want +got):\n%s", d)
		}
		return
	}
	g, err := Compile(a)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range archive.Files {
		request, ok := strings.CutSuffix(f.Name, ".http")
		if !ok {
			continue
		}
		if d := cmp.Diff(files[request+".want"], judged(g, string(f.Data), files[request+".answer"])); d != "" {
			t.Errorf("%s (-want +got):\n%s", request, d)
		}
	}
}

func apiOf(t testing.TB, text string) filters.API {
	t.Helper()
	raw, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	var a filters.API
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(&a); err != nil {
		t.Fatal(err)
	}
	return a
}

func problemsText(list []Problem) string {
	var b strings.Builder
	for _, p := range list {
		if p.Fatal {
			fmt.Fprintf(&b, "%s: %s\n", p.Path, p.Message)
		} else {
			fmt.Fprintf(&b, "(%s: %s)\n", p.Path, p.Message)
		}
	}
	return b.String()
}

// requestOf reads "METHOD PATH", header lines, an empty line, a body.
func requestOf(text string) (*filters.RequestHead, []byte) {
	head, body, _ := strings.Cut(text, "\n\n")
	lines := strings.Split(strings.TrimRight(head, "\n"), "\n")
	method, path, _ := strings.Cut(lines[0], " ")
	h := &filters.RequestHead{Method: method, Path: path}
	for _, l := range lines[1:] {
		name, value, _ := strings.Cut(l, ": ")
		h.Headers = append(h.Headers, filters.Header{Name: name, Value: value})
	}
	return h, []byte(strings.TrimRight(body, "\n"))
}

// answerOf reads "STATUS", header lines, an empty line, a body.
func answerOf(text string) (*filters.ResponseHead, []byte) {
	h, body := requestOf(text)
	status, err := strconv.Atoi(h.Method)
	if err != nil {
		panic(err)
	}
	return &filters.ResponseHead{Status: status, Headers: h.Headers}, body
}

func judged(g *Guard, text, answer string) string {
	h, body := requestOf(text)
	j := g.Begin(h, len(body) == 0)
	if j.AwaitsBody() {
		j.Body(body)
	}
	if answer != "" && j.Answers() {
		head, body := answerOf(answer)
		if j.Answer(head); j.AwaitsAnswer() {
			j.AnswerBody(body)
		}
	}
	var b strings.Builder
	fmt.Fprintln(&b, j.Mode())
	if status, reason := j.Denial(); status != 0 {
		fmt.Fprintln(&b, status, reason)
	}
	if f := j.Finding(); f != nil {
		for _, v := range f.Violations {
			if v.Told {
				fmt.Fprintf(&b, "%s (told)\n", v)
			} else {
				fmt.Fprintln(&b, v)
			}
		}
	}
	return b.String()
}

// A body too long is one violation; how many there are is bounded.
func TestBounds(t *testing.T) {
	g, err := Compile(filters.API{Mode: filters.ModeBlock, BodyLimit: 10, Operations: []filters.APIOperation{{
		Method: "POST", Path: "/x", Body: &filters.APIRequestBody{Content: []filters.APIContent{{ContentType: "application/json", Schema: []byte(`{"items":{"type":"string"},"additionalProperties":false}`)}}},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	begin := func() *Judgement {
		return g.Begin(&filters.RequestHead{Method: "POST", Path: "/x", Headers: []filters.Header{{Name: "content-type", Value: "application/json"}}}, false)
	}
	j := begin()
	j.TooLong()
	if status, reason := j.Denial(); status != 413 || !strings.Contains(reason, "longer than 10 bytes") {
		t.Errorf("too long: %d %s", status, reason)
	}
	j = begin()
	j.Unseen()
	if j.Finding() != nil || j.AwaitsBody() {
		t.Error("what was not seen was judged")
	}
	j = begin()
	var members []string
	for i := range 5000 {
		members = append(members, fmt.Sprintf(`"name%s":1`, strings.Repeat("x", i%30)+fmt.Sprint(i)))
	}
	j.Body([]byte("{" + strings.Join(members, ",") + "}"))
	if f := j.Finding(); f == nil || len(f.Violations) > filters.MaxViolations || f.More == 0 && len(f.Violations) == filters.MaxViolations {
		t.Errorf("5000 violations are told as %+v", f)
	}
	j = begin()
	j.Body([]byte("[" + strings.Repeat("1,", maxValues) + "1]"))
	if f := j.Finding(); f == nil || f.Violations[0].Reason != errMany.Error() {
		t.Errorf("too many values: %+v", f)
	}
}

// The reader takes exactly what the standard library takes, but for members that
// are there twice, numbers out of range and depth.
func FuzzParse(f *testing.F) {
	for _, s := range []string{`{"a":[1,2.5e3,-0,"x\u00e9",null,true]}`, `{"a":1,"a":2}`, `[[[[1]]]]`, `01`, `"\ud800"`, "\"\xff\"", ` {} `, `1e999`, `-`, `{"a"}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := parse(b, 64)
		if err != nil && err != errMalformed {
			return // stricter on purpose
		}
		d := json.NewDecoder(bytes.NewReader(b))
		d.UseNumber()
		if valid := json.Valid(b) && (err == nil || bytes.Equal(bytes.ToValidUTF8(b, nil), b)); valid != (err == nil) {
			t.Fatalf("%q: valid %v, parse says %v", b, valid, err)
		}
		if err != nil {
			return
		}
		text, err := json.Marshal(got)
		if err != nil {
			t.Fatal(err)
		}
		var a, c any
		if json.Unmarshal(text, &a) != nil || json.Unmarshal(b, &c) != nil || !cmp.Equal(a, c) {
			t.Fatalf("%q is read as %s", b, text)
		}
	})
}

// Whatever schema and request there are: no panic, and no value is told.
func FuzzGuard(f *testing.F) {
	f.Add([]byte(`{"type":"object","properties":{"a":{"type":"integer"}},"additionalProperties":false}`), "/orders/7?q=1&z=2", []byte(`{"a":"secret4711","b":1}`))
	f.Add([]byte(`{"anyOf":[{"type":"string"},{"$ref":"#"}]}`), "/orders/%7b", []byte(`[1,{"x":null}]`))
	f.Add([]byte(`{"$ref":"#/$defs/a","$defs":{"a":{"enum":[1,"x"]}}}`), "//", []byte(`"secret4711"`))
	f.Fuzz(func(t *testing.T, schema []byte, path string, body []byte) {
		if !json.Valid(schema) || len(schema) > 2000 {
			return
		}
		g, err := Compile(filters.API{Mode: filters.ModeBlock, BodyLimit: 1000, UnknownParameters: filters.UnknownDeny, Operations: []filters.APIOperation{{
			Method: "POST", Path: "/orders/{id}",
			Parameters: []filters.APIParameter{{In: "path", Name: "id", Schema: schema}, {In: "query", Name: "q", Schema: schema}},
			Body:       &filters.APIRequestBody{Content: []filters.APIContent{{ContentType: "*/*", Schema: schema}}},
			Responses:  []filters.APIResponse{{Status: "2XX", Content: []filters.APIContent{{ContentType: "*/*", Schema: schema}}}},
		}}})
		if err != nil {
			return
		}
		for _, kind := range []string{"application/json", formType} {
			j := g.Begin(&filters.RequestHead{Method: "POST", Path: path, Headers: []filters.Header{{Name: "content-type", Value: kind}}}, false)
			j.Body(body)
			j.Answer(&filters.ResponseHead{Status: 201, Headers: []filters.Header{{Name: "content-type", Value: kind}}})
			j.AnswerBody(body)
			text, err := json.Marshal(j.Finding())
			if err != nil {
				t.Fatal(err)
			}
			if bytes.Contains(text, []byte("secret4711")) && !bytes.Contains(schema, []byte("secret4711")) {
				t.Fatalf("a value is told: %s", text)
			}
		}
	})
}

// What is proved quickly is what the library says.
func FuzzQuick(f *testing.F) {
	f.Add([]byte(orderSchema), orderBody(2))
	f.Add([]byte(`{"type":["integer","null"],"minimum":-0.5,"maximum":9007199254740993}`), []byte(`9007199254740993`))
	f.Add([]byte(`{"properties":{"a":{"enum":["x"]}},"required":["a","b"]}`), []byte(`{"\u0061":"\u0078","b":1e400,"c":{"d":1,"d":2}}`))
	f.Add([]byte(`{"additionalProperties":{"type":["number","null"]}}`), []byte(` {"a" : -0.5 , "b":12345678901234567890,"é":null,"\n":1,"\n":2} x`))
	f.Add([]byte(`{"items":{"enum":["a","b"],"maxLength":1},"maxItems":2}`), []byte(`["a","c"]`))
	f.Add([]byte(`{"properties":{"a":{"$ref":"#"},"b":{"format":"date"}},"additionalProperties":{"pattern":"^x"},"required":["a"]}`), []byte(`{"a":{"a":1},"b":"2026-02-30","c":"y"}`))
	f.Fuzz(func(t *testing.T, text, value []byte) {
		if !json.Valid(text) || len(text) > 2000 {
			return
		}
		s, err := compileSchema(text)
		if err != nil || s.quick == nil {
			return
		}
		v, err := parse(value, 64)
		if proved := s.quick.proves(value, 64); proved && (err != nil || !s.quick.fits(v)) {
			t.Fatalf("%s is proved to fit %s: read %v", value, text, err)
		} else if !proved && err == nil && s.quick.fits(v) && len(value) < 4*maxOthers {
			t.Fatalf("%s fits %s, and is not proved while it is read", value, text)
		}
		if err != nil {
			return
		}
		if s.quick.fits(v) && s.valid.Validate(v) != nil {
			t.Fatalf("%s fits %s quickly, and does not: %v", value, text, s.valid.Validate(v))
		}
	})
}

const orderSchema = `{"type":"object","required":["id","customer","items"],"properties":{"id":{"type":"string","format":"uuid"},` +
	`"customer":{"type":"object","required":["name"],"properties":{"name":{"type":"string","maxLength":100},"email":{"type":"string","format":"email"},"age":{"type":"integer","minimum":0}},"additionalProperties":false},` +
	`"items":{"type":"array","items":{"type":"object","required":["sku","quantity"],"properties":{"sku":{"type":"string"},"quantity":{"type":"integer","minimum":1,"maximum":1000},"price":{"type":"number"},"note":{"type":"string"},"kind":{"type":"string","enum":["a","b","book"]}}}}},"additionalProperties":false}`

func orderBody(items int) []byte {
	one := `{"sku":"AB-123-XYZ","quantity":3,"price":12.95,"note":"please wrap it as a gift","kind":"book"}`
	return []byte(`{"id":"2c1c8b38-8b0e-4f0e-8b0e-2c1c8b388b0e","customer":{"name":"Ada Lovelace","email":"ada@example.com","age":36},"items":[` +
		strings.TrimSuffix(strings.Repeat(one+",", items), ",") + `]}`)
}

// BenchmarkGuard is a request of one operation among a thousand.
func BenchmarkGuard(b *testing.B) {
	a := filters.API{Mode: filters.ModeBlock, BodyLimit: 1 << 20, UnknownOperations: filters.UnknownDeny}
	for i := range 1000 {
		a.Operations = append(a.Operations, filters.APIOperation{Method: "POST", Path: fmt.Sprintf("/v1/service%d/orders/{id}", i),
			Parameters: []filters.APIParameter{{In: "path", Name: "id", Schema: []byte(`{"type":"integer"}`)}, {In: "query", Name: "limit", Schema: []byte(`{"type":"integer","maximum":100}`)}},
			Body:       &filters.APIRequestBody{Required: true, Content: []filters.APIContent{{ContentType: "application/json", Schema: []byte(orderSchema)}}}})
	}
	g, err := Compile(a)
	if err != nil {
		b.Fatal(err)
	}
	h := &filters.RequestHead{Method: "POST", Path: "/v1/service500/orders/17?limit=20", Headers: []filters.Header{{Name: "content-type", Value: "application/json"}}}
	body := orderBody(9)
	b.Run("head", func(b *testing.B) {
		defer cpu(b)()
		for b.Loop() {
			if g.Begin(h, false).Finding() != nil {
				b.Fatal("found something")
			}
		}
	})
	b.Run(fmt.Sprintf("json-%dB", len(body)), func(b *testing.B) {
		b.ReportAllocs()
		defer cpu(b)()
		for b.Loop() {
			j := g.Begin(h, false)
			if j.Body(body); j.Finding() != nil {
				b.Fatal("found something", j.Finding())
			}
		}
	})
	b.Run("encoding-json-alone", func(b *testing.B) { // to compare with: reading it into values
		defer cpu(b)()
		for b.Loop() {
			var v any
			if err := json.Unmarshal(body, &v); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// cpu reports what an operation took of the processor: on a machine that others use
// the clock says little.
func cpu(b *testing.B) func() {
	used := func() int64 {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			b.Fatal(err)
		}
		return u.Utime.Nano() + u.Stime.Nano()
	}
	began := used()
	return func() { b.ReportMetric(float64(used()-began)/float64(b.N), "cpu-ns/op") }
}
