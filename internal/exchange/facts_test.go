package exchange

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func rawOrder() *Raw {
	return &Raw{Method: "POST", Host: "h", Path: "/orders?expand=lines&api_key=k-17&ids=1,2", Client: "192.0.2.7", Status: 201,
		Request: RawMessage{Headers: []Header{{"content-type", "application/json"}, {"authorization", "Bearer abcdef"}, {"x-tenant", "acme"}},
			Body: []byte(`{"type":"card","lines":[{"sku":"rope","email":"ada@example.org"}]}`)},
		Response: RawMessage{Headers: []Header{{"content-type", "application/json"}}, Body: []byte(`{"id":7,"status":"open"}`)}}
}

func factsOf(o *Observation) (f Facts) {
	f.Take(o)
	return f
}

// What the filter tells and what the access log tells are together what one who
// sees all would say.
func TestFactsAreTheRest(t *testing.T) {
	door := Door{Key: Key{1}}
	var whole, seen, rest Observation
	door.Observe(rawOrder(), &whole)
	b := factsOf(&whole).Encode(nil)
	teller := Door{Key: Key{1}, Facts: true}
	teller.Observe(rawOrder(), &seen)
	if told := factsOf(&seen).Encode(nil); string(told) != string(b) {
		t.Errorf("%s\nwant %s", told, b)
	}
	f, err := DecodeFacts(b)
	if err != nil {
		t.Fatal(err)
	}
	door.Observe(rawOrder(), &seen)
	logged := rawOrder()
	logged.Request.Headers, logged.Request.Body, logged.Response.Body, logged.Some = logged.Request.Headers[:1], nil, nil, true
	logged.Request.Size, logged.Response.Size = int64(len(rawOrder().Request.Body)), int64(len(rawOrder().Response.Body))
	door.Observe(logged, &rest)
	rest.Add(&f)
	if diff := cmp.Diff(whole, rest); diff != "" {
		t.Error(diff)
	}
}

// A filter that tells of a request before it is answered does not know what it will
// become; who knows the answer does.
func TestFactsBeforeTheAnswer(t *testing.T) {
	var early, logged Observation
	asked := Raw{Method: "GET", Host: "h", Path: "/live", Request: RawMessage{Headers: []Header{{"upgrade", "websocket"}}}}
	(&Door{}).Observe(&asked, &early)
	f := factsOf(&early)
	for status, want := range map[int]string{101: "websocket", 200: "", 403: "websocket"} {
		(&Door{}).Observe(&Raw{Method: "GET", Host: "h", Path: "/live", Status: status}, &logged)
		if logged.Add(&f); logged.Protocol != want {
			t.Errorf("%d: %q", status, logged.Protocol)
		}
	}
}

func TestFactsAreBounded(t *testing.T) {
	s := &Shape{Count: 1}
	s.Types[Object] = 1
	for i := range maxMembers {
		m := &Shape{Count: 1}
		m.Types[String] = 1
		m.Words = []WordCount{{strings.Repeat("w", 250), 1}}
		s.Members = append(s.Members, Member{Name: strings.Repeat("n", 60) + string(rune(0x4e00+i)), Shape: m})
	}
	f := Facts{Request: Content{MediaType: "application/json", Present: true, Shape: s}}
	b := f.Encode(nil)
	got, err := DecodeFacts(b)
	if err != nil || got.Request.Shape != nil || got.Request.MediaType == "" {
		t.Errorf("%+v, %v", got, err)
	}
}

// What no filter would tell is refused: the learner counts on it.
func TestFactsAreChecked(t *testing.T) {
	deep := `{"n":1,"t":[0,0,0,0,0,0,0]}`
	for range 70 {
		deep = `{"n":1,"t":[0,0,0,0,0,1,0],"i":` + deep + `}`
	}
	for name, text := range map[string]string{
		"no JSON":      `{`,
		"out of order": `{"request":{"s":{"n":1,"t":[0,0,0,0,0,0,1],"m":[{"n":"b","s":{"n":1}},{"n":"a","s":{"n":1}}]}}}`,
		"no member":    `{"request":{"s":{"n":1,"m":[{"n":"a","s":null}]}}}`,
		"twice":        `{"response":{"s":{"n":1,"w":[{"t":"a","n":1},{"t":"a","n":1}]}}}`,
		"kinds":        `{"response":{"s":{"n":1,"k":[{"k":"uuid","n":1},{"k":"word","n":1}]}}}`,
		"deep":         `{"response":{"s":` + deep + `}}`,
		"negative":     `{"response":{"s":{"n":1,"l":-1}}}`,
		"query":        `{"params":[{"in":"query","n":"a","k":"word","h":1}]}`,
		"long text":    `{"auth":[{"k":"` + strings.Repeat("x", 600) + `"}]}`,
		"value":        `{"params":[{"in":"header","n":"a","k":"email","h":1,"t":"ada@example.org"}]}`,
		"long":         `{"protocol":"` + strings.Repeat("x", maxFacts) + `"}`,
	} {
		if f, err := DecodeFacts([]byte(text)); err == nil {
			t.Errorf("%s: taken as %+v", name, f)
		}
	}
}

// Whatever a proxy says, it is refused, or can be merged and told again.
func FuzzDecodeFacts(f *testing.F) {
	door := Door{}
	var o Observation
	door.Observe(rawOrder(), &o)
	f.Add(factsOf(&o).Encode(nil))
	f.Add([]byte(`{"request":{"s":{"n":1,"t":[0,0,0,0,0,0,1],"d":"type","v":[{"w":"a","n":1,"m":[{"t":"type","n":1}]}]}}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		facts, err := DecodeFacts(b)
		if err != nil {
			return
		}
		sum := (*Shape)(nil).Merge(facts.Request.Shape).Merge(facts.Response.Shape).Merge(facts.Request.Shape)
		if err := sum.check(64); err != nil && facts.Request.Shape != nil {
			if text, _ := json.Marshal(sum); len(text) < maxFacts {
				t.Errorf("merged it is refused: %v", err)
			}
		}
		var seen Observation
		seen.Add(&facts)
	})
}

// What is written without reflection is what the json package writes: of every
// field alone, of all together, and of texts that need escapes.
func TestFactsAreJSON(t *testing.T) {
	value := Value{Kind: KindWord, Hash: 1<<64 - 1, Text: "a<b>&\u2028\"\\\x01é\xff", Prefix: "0", Length: 7, Sensitive: 1}
	param := ParamSeen{In: "header", Name: "x-tenant", Value: value, Repeated: true, Listed: "form", Deep: true, Position: -3, More: []Value{value, {}}}
	all := Facts{
		Params:   []ParamSeen{{}, {In: "cookie", Name: "theme"}, param},
		Auth:     []AuthSeen{{}, {Kind: "bearer", Scheme: "s", Format: "jwt", In: "header", Name: "n", Issuer: "https://i/?a&b", Audience: "a", Alg: "none", Weak: []string{"no end", ""}}},
		Caller:   CallerSeen{Kind: "workload", Hash: 9, Name: "shop/web"},
		Request:  Content{MediaType: "application/json", Present: true, Shape: &Shape{Count: 3}},
		Response: Content{Present: true},
		Protocol: "sse", Streaming: "server",
		Calls: []Call{{Protocol: "graphql", Name: "query q", Fields: []string{"a.b"}, Refused: true}},
	}
	cases := []Facts{{}, all, {Caller: CallerSeen{Hash: 1}}, {Params: []ParamSeen{}, Calls: []Call{}}, {Response: Content{MediaType: "text/html"}}, {Streaming: "bidi"}}
	fields := reflect.ValueOf(all)
	for i := range fields.NumField() {
		one := reflect.New(fields.Type()).Elem()
		one.Field(i).Set(fields.Field(i))
		cases = append(cases, one.Interface().(Facts))
	}
	for _, f := range cases {
		want, err := json.Marshal(f)
		if err != nil {
			t.Fatal(err)
		}
		if got := f.Encode(nil); string(got) != string(want) {
			t.Errorf("%s\nwant %s", got, want)
		}
	}
	// A field that is added must be written, too.
	for _, typed := range []struct {
		v    any
		want int
	}{{Facts{}, 8}, {ParamSeen{}, 8}, {Value{}, 6}, {AuthSeen{}, 9}, {CallerSeen{}, 3}, {Content{}, 3}} {
		if n := reflect.TypeOf(typed.v).NumField(); n != typed.want {
			t.Errorf("%T has %d fields, %d are written", typed.v, n, typed.want)
		}
	}
}
