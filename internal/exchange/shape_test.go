package exchange

import (
	"encoding/json"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gabion-io/gabion/internal/sensitive"
)

func shapeOf(t *testing.T, text string) *Shape {
	t.Helper()
	s, err := ShapeJSON([]byte(text), Limits{})
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return s
}

// outline writes a shape in one line.
func outline(s *Shape) string {
	if s == nil {
		return "-"
	}
	var parts []string
	for i, name := range []string{"null", "bool", "int", "num", "str", "arr", "obj"} {
		if s.Types[i] > 0 {
			parts = append(parts, name)
		}
	}
	text := strings.Join(parts, "|")
	for _, k := range s.Kinds {
		text += " " + strings.ReplaceAll(k.Kind.String(), " ", "-")
	}
	for _, w := range s.Words {
		text += " " + w.Text
	}
	if s.Items != nil {
		text += "[" + outline(s.Items) + "]"
	}
	if len(s.Members) > 0 || s.Free != nil {
		var inner []string
		for _, m := range s.Members {
			inner = append(inner, m.Name+":"+outline(m.Shape))
		}
		if s.Free != nil {
			inner = append(inner, "*:"+outline(s.Free))
		}
		text += "{" + strings.Join(inner, ", ") + "}"
	}
	return text
}

func TestShapeJSON(t *testing.T) {
	for in, want := range map[string]string{
		`{"id":1,"name":"Anna","ok":true,"x":null,"f":1.5}`:                       "obj{f:num, id:int, name:str word, ok:bool, x:null}",
		`[{"a":1},{"a":"x","b":2}]`:                                               "arr[obj{a:int|str word, b:int}]",
		`{"type":"card","name":"card"}`:                                           "obj{name:str word, type:str word card}",
		`{"4711":{"n":1},"0815":{"n":2}}`:                                         "obj{*:obj{n:int}}",
		`{"a@b.example":1}`:                                                       "obj{*:int}",
		`{"t":"2024-01-31T10:00:00Z","u":"0b5e3f0a-9c1d-4e55-8a00-d50f75f0b6fe"}`: "obj{t:str date-time, u:str uuid}",
		`"\u00e4\n"`:         "str other",
		` [ ] `:              "arr[]",
		`{}`:                 "obj",
		`-1.5e3`:             "num",
		`{"é":1,"a b":true}`: "obj{a b:bool, *:int}",
	} {
		if got := outline(shapeOf(t, in)); got != want {
			t.Errorf("%s\n got %s\nwant %s", in, got, want)
		}
	}
	for _, in := range []string{"", "{", `{"a"}`, `{"a":}`, "[1,]", "[1 2]", `"a`, `"\x"`, "nul", "1 2", "-", "1.2.3", "{,}"} {
		if s, err := ShapeJSON([]byte(in), Limits{}); err == nil {
			t.Errorf("%q has the shape %s", in, outline(s))
		}
	}
}

func TestShapeIsBounded(t *testing.T) {
	deep := strings.Repeat(`{"a":`, 150) + "1" + strings.Repeat("}", 150)
	if s := shapeOf(t, deep); strings.Count(outline(s), "a:") > 17 {
		t.Error("too deep: ", outline(s))
	}
	var b strings.Builder
	b.WriteString("[")
	for i := range 20_000 {
		if i > 0 {
			b.WriteString(",")
		}
		b.WriteString(`{"a":1}`)
	}
	s := shapeOf(t, b.String()+"]")
	if s.Items.Count > 4096 || !s.Items.Cut {
		t.Errorf("%d items, cut %v", s.Items.Count, s.Items.Cut)
	}
	if s, err := ShapeJSON([]byte(`{"a":1,"b":[1,2,3`), Limits{Bytes: 12}); err != nil || !s.Cut || outline(s) != "obj{a:int, b:arr[]}" {
		t.Error(outline(s), err)
	}
}

func TestShapeHoldsNoValue(t *testing.T) {
	s := shapeOf(t, `{"name":"hunter2 secret","type":"card","status":"Anna Smith","password":"sesame","token":"eyJhbGciOi.x.y","state":"open"}`)
	b, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	for _, value := range []string{"hunter2", "sesame", "eyJ", "Anna"} {
		if strings.Contains(string(b), value) {
			t.Errorf("%s holds %s", b, value)
		}
	}
}

func TestShapeForms(t *testing.T) {
	d := &Door{}
	form := "a=1&b=x+y&a=2&when=2024-01-31"
	if got := outline(d.Shape("application/x-www-form-urlencoded", []byte(form))); got != "obj{a:arr[int], b:str other, when:str date}" {
		t.Error(got)
	}
	multi := "--B\r\nContent-Disposition: form-data; name=\"n\"\r\n\r\n5\r\n--B\r\nContent-Disposition: form-data; name=\"f\"; filename=\"a.png\"\r\nContent-Type: image/png\r\n\r\nxx\r\n--B--\r\n"
	if got := outline(d.Shape(`multipart/form-data; boundary=B`, []byte(multi))); got != "obj{f:str binary, n:int}" {
		t.Error(got)
	}
	x := `<?xml version="1.0"?><order id="7"><item>1</item><item>2</item><name>Anna</name></order>`
	if got := outline(d.Shape("application/xml", []byte(x))); got != "obj{order:obj{@id:int, item:arr[int], name:str word}}" {
		t.Error(got)
	}
}

// The order of merging does not matter, and parts merged are the whole.
func TestMergeIsAFold(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	var all []*Shape
	for range 400 {
		all = append(all, shapeOf(t, randomJSON(r, 0)))
	}
	var whole, left, right *Shape
	for _, s := range all {
		whole = whole.Merge(s)
	}
	for i, k := range r.Perm(len(all)) {
		if i%3 == 0 {
			left = left.Merge(all[k])
		} else {
			right = right.Merge(all[k])
		}
	}
	if diff := cmp.Diff(whole, left.Merge(right)); diff != "" {
		t.Fatal(diff)
	}
}

func randomJSON(r *rand.Rand, depth int) string {
	switch n := r.IntN(9); {
	case (n < 4 || depth == 0) && depth < 5:
		var parts []string
		for _, name := range []string{"type", "id", "name", "items", "object", "kind", "x" + string(rune('a'+r.IntN(26))) + string(rune('a'+r.IntN(26)))} {
			if r.IntN(2) == 0 {
				v := randomJSON(r, depth+1)
				if name == "type" || name == "object" || name == "kind" {
					v = `"` + []string{"card", "bank", "cash", "w" + string(rune('a'+r.IntN(26)))}[r.IntN(4)] + `"`
				}
				parts = append(parts, `"`+name+`":`+v)
			}
		}
		return "{" + strings.Join(parts, ",") + "}"
	case n == 4 && depth < 4:
		return "[" + strings.Join(slices.Repeat([]string{randomJSON(r, depth+1)}, r.IntN(3)), ",") + "]"
	case n == 5:
		return "null"
	case n == 6:
		return `"word"`
	case n == 7:
		return "1.5"
	}
	return "12"
}

func TestCalls(t *testing.T) {
	d := &Door{}
	call := func(contentType, body string) (names []string) {
		r := &Raw{Method: "POST", Path: "/x", Host: "h", Status: 200, Request: RawMessage{Headers: []Header{{"Content-Type", contentType}}, Body: []byte(body)}}
		var o Observation
		d.Observe(r, &o)
		for _, c := range o.Calls {
			names = append(names, c.Protocol+" "+c.Name)
			names = append(names, c.Fields...)
		}
		return names
	}
	for _, c := range []struct {
		contentType, body string
		want              []string
	}{
		{"application/json", `{"query":"query Q($id: ID!) { user(id: $id) { name posts(first: 3) { title } } viewer { ...F } } fragment F on User { login }","operationName":"Q"}`,
			[]string{"graphql query user", "user", "user.name", "user.posts", "user.posts.title", "graphql query viewer", "viewer", "viewer.login"}},
		{"application/json", `{"query":"mutation { addStar(input: {id: \"x\"}) { ok: success } }"}`, []string{"graphql mutation addStar", "addStar", "addStar.success"}},
		{"application/json", `{"query":"{ a { ... on B { c @include(if: $x) d } } }"}`, []string{"graphql query a", "a", "a.c", "a.d"}},
		{"application/json", `{"jsonrpc":"2.0","id":1,"method":"eth_call","params":[]}`, []string{"jsonrpc eth_call"}},
		{"application/json", `[{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"search","arguments":{}}},{"jsonrpc":"2.0","id":2,"method":"tools/list"}]`,
			[]string{"mcp tools/call search", "mcp tools/list"}},
		{"application/json", `{"query":"shoes","page":1}`, nil},
		{"text/xml", `<s:Envelope xmlns:s="x"><s:Header/><s:Body><GetQuote><symbol>X</symbol></GetQuote></s:Body></s:Envelope>`, []string{"soap GetQuote"}},
	} {
		if diff := cmp.Diff(c.want, call(c.contentType, c.body)); diff != "" {
			t.Errorf("%s: %s", c.body, diff)
		}
	}
}

func FuzzShape(f *testing.F) {
	f.Add("application/json", `{"a":[1,{"b":"\u00e4"}],"type":"x"}`)
	f.Add("application/xml", `<a b="1"><c/></a>`)
	f.Add("multipart/form-data; boundary=B", "--B\r\nContent-Disposition: form-data; name=\"n\"\r\n\r\n5\r\n--B--\r\n")
	f.Add("application/x-www-form-urlencoded", "a=1&b=2&a=3")
	d := &Door{}
	f.Fuzz(func(t *testing.T, contentType, body string) {
		s := d.Shape(contentType, []byte(body))
		if json.Valid([]byte(body)) && contentType == "application/json" && s == nil {
			t.Fatalf("%q is JSON and has no shape", body)
		}
		if s != nil {
			s.Merge(s.Merge(nil))
		}
	})
}

func FuzzObserve(f *testing.F) {
	f.Add("POST", "/a;x=1/b%2Fc/Users(5)?q=1&a[b]=2&q=3", "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0.", `{"query":"{ a { b } }"}`)
	f.Add("POST", "/rpc?access_token=eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0.", "", `[{"jsonrpc":"2.0","id":1,"method":"a","error":{},"result":{"isError":true}}]`)
	f.Add("POST", "/mcp", "", "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"a\"}\ndata: {\"id\":1,\"error\":{}}\n")
	d := &Door{}
	f.Fuzz(func(t *testing.T, method, path, authorization, body string) {
		r := &Raw{Method: method, Path: path, Status: 200, Request: RawMessage{Headers: []Header{{"Authorization", authorization}, {"Content-Type", "application/json"}, {"Cookie", path}}, Body: []byte(body)}}
		r.Response.Body = r.Request.Body
		var o Observation
		d.Observe(r, &o)
		if len(o.Segments) > maxPathSegments+1 || len(o.Params) > maxParams {
			t.Fatal("not bounded")
		}
		for _, s := range o.Segments {
			if s.Text != "" && !s.Kind.Fixed() {
				t.Fatalf("%q is kept of a %s", s.Text, s.Kind)
			}
		}
	})
}

// Names that are remembered say what names that are looked up say, also when two
// share a place.
func TestNames(t *testing.T) {
	known := new(Names)
	for round := range 3 {
		for i := range 3000 {
			name := []string{"email", "number", "total", "iban"}[i%4] + strings.Repeat("x", i/4%3)
			parent := []string{"card", "order", "", strings.Repeat("long", 30)}[i/12%4] + strings.Repeat("y", i/48)
			above := known.below(nil, parent)
			if k := known.below(above, name); k.field != sensitive.Below(parent, name) || k.name != name || k.parent != parent {
				t.Fatalf("round %d: %s in %s", round, name, parent)
			}
		}
	}
}

func BenchmarkShapeJSON(b *testing.B) {
	body := []byte(`{"id":123456,"type":"order","status":"open","created_at":"2024-01-31T10:00:00Z","customer":{"id":77,"name":"Anna Smith","email":"anna@example.com","address":{"street":"Main 5","city":"Bern","zip":"3000","country":"CH"}},"items":[{"sku":"A-1","quantity":2,"price":9.5,"title":"A thing of some length","options":{"color":"red","size":"L"}},{"sku":"B-2","quantity":1,"price":19.5,"title":"Another thing","options":{"color":"blue","size":"M"}},{"sku":"C-3","quantity":7,"price":1.25,"title":"A third one","options":null}],"total":47.25,"currency":"CHF","notes":null,"tags":["gift","express","newsletter"],"payment":{"method":"card","brand":"visa","last4":"4242","exp_month":12,"exp_year":2027},"shipping":{"carrier":"post","tracking":"99.00.123456.12345678","estimated":"2024-02-03"},"metadata":{"source":"web","campaign":"winter","session":"0b5e3f0a-9c1d-4e55-8a00-d50f75f0b6fe"},"url":"https://shop.example/orders/123456"}`)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	known := new(Names)
	for b.Loop() {
		if _, err := shapeJSON(body, Limits{}, known); err != nil {
			b.Fatal(err)
		}
	}
}

// sensitives lists what was found in a shape, by place.
func sensitives(s *Shape, at string, list []string) []string {
	for _, x := range s.Sensitive {
		list = append(list, at+" "+x.Kind.String())
	}
	for _, m := range s.Members {
		list = sensitives(m.Shape, at+"/"+m.Name, list)
	}
	if s.Items != nil {
		list = sensitives(s.Items, at, list)
	}
	return list
}

func TestShapeSensitive(t *testing.T) {
	for in, want := range map[string][]string{
		`{"customers":[{"id":7,"mail":"ada@example.com","card":{"number":4111111111111111,"brand":"visa"}}],"total":1}`: {
			"/customers/card/number payment-card", "/customers/mail email"},
		`{"password":{"policy":"long","hint":"the old one"},"user":{"password":"hunter2"}}`: {"/user/password password"},
		`{"iban":"DE89370400440532013000","i\u0062an":"DE89370400440532013000"}`:            {"/iban iban"},
		`{"order":{"number":4111111111111111},"note":"12 metres"}`:                          nil,
	} {
		if diff := cmp.Diff(want, sensitives(shapeOf(t, in), "", nil)); diff != "" {
			t.Errorf("%s: %s", in, diff)
		}
	}
	var d Door
	if got := sensitives(d.Shape("text/csv", []byte("id,mail\n1,ada@example.com\n")), "", nil); len(got) != 1 {
		t.Errorf("in a table: %v", got)
	}
	if got := sensitives(d.Shape("application/x-www-form-urlencoded", []byte("password=hunter2&q=x")), "", nil); len(got) != 1 {
		t.Errorf("in a form: %v", got)
	}
}
