package same

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gabion-io/gabion/filters"
	"github.com/gabion-io/gabion/filters/waf"
	wafrules "github.com/gabion-io/gabion/waf-rules"
)

// stockJSON is what the stock engine made of jsonMessages while it had its own reader.
var stockJSON []outcome

// jsonConfig logs every argument, and has limits that bodies of a test can reach.
func jsonConfig() waf.Config {
	s := wafrules.Defaults()
	s.Profile, s.MaxArguments, s.JSONDepth = wafrules.ProfileCRS, 40, 6
	s.Rules = []string{`SecRule ARGS|ARGS_NAMES|&ARGS|REQBODY_ERROR|REQBODY_ERROR_MSG|ARGS_COMBINED_SIZE "@unconditionalMatch" "id:1001,phase:2,pass,log,t:none,msg:'all'"`}
	return waf.Config{Settings: s, Limits: wafrules.Limits{RequestBody: 1 << 20, ResponseBody: 1 << 20}, Detect: true}
}

func jsonMessages() (out []message) {
	bodies := []string{
		`{}`, `[]`, `1`, `"a"`, `null`, ``, ` `, `{"a":1}`, `[1,2,3]`, `[[],[[]],{}]`, `{"a":{"b":[1,{"c":null}]},"d":[true,false]}`,
		`{"a":1,"a":2,"A":3}`, `{"a.b":1,"a":{"b":2}}`, `{"":1,".":[2]}`, `{"e":"\u0041\n\"\\\/\ud83d\ude00\ud800x\udc00"}`, "{\"r\":\"\xff\xc3\"}",
		"{\"c\":\"a\x01b\"}", `{"a":1`, `{"a":1}}`, `[1,2,`, `{"a" 1}`, `{a:1}`, `[1 2]`, `[-Inf,0x1p-2,1e999,-0,01]`, `{"a":[[[[[[[[1]]]]]]]]}`,
		`[` + strings.Repeat(`1,`, 60) + `1]`, `[` + strings.Repeat(`[],[{}],`, 30) + `1]`, `{"` + strings.Repeat("k", 3000) + `":[1,2,3,4,5,6,7,8,9]}`,
		`[` + strings.Repeat(`[`, 40) + strings.Repeat(`]`, 40) + `]`, strings.Repeat(`[`, 5000), "\ufeff{\"a\":1}", `{"a":1}{"b":2}`, `{"n":[0,1,2],"s":"<script>alert(1)</script>"}`,
	}
	rnd := rand.New(rand.NewPCG(11, 12))
	for range 400 {
		b := []byte(bodies[rnd.IntN(len(bodies))])
		for range 1 + rnd.IntN(3) {
			other := bodies[rnd.IntN(len(bodies))]
			at, from := rnd.IntN(len(b)+1), rnd.IntN(len(other)+1)
			b = slices.Insert(b, at, []byte(other[from:min(len(other), from+rnd.IntN(12))])...)
		}
		bodies = append(bodies, string(b))
	}
	for i, body := range bodies {
		out = append(out, message{id: fmt.Sprintf("json %d", i), body: []byte(body), head: filters.RequestHead{Method: "POST", Scheme: "http", Authority: "shop.example.com",
			Path: "/", Proto: "HTTP/1.1", Headers: []filters.Header{{Name: "user-agent", Value: "x"}, {Name: "content-type", Value: "application/json"}}}})
	}
	return out
}

// readStockJSON fills it, before a fast engine is compiled.
func readStockJSON(c *waf.Compiler) error {
	e, err := c.Compile(jsonConfig())
	if err != nil {
		return err
	}
	defer e.Release()
	stockJSON, err = readJSON(e)
	return err
}

// arguments are the hits of the rule that logs every argument.
func (o *outcome) arguments() []string {
	out := slices.DeleteFunc(slices.Clone(o.order), func(hit string) bool { return !strings.HasPrefix(hit, "1001 ") })
	slices.Sort(out)
	return out
}

// readJSON gives what an engine makes of jsonMessages.
func readJSON(e *waf.Engine) (out []outcome, err error) {
	for _, m := range jsonMessages() {
		o, err := run(e, m)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", m.id, err)
		}
		out = append(out, o)
	}
	return out, nil
}

// TestJSONReader: the reader of JSON bodies that is there instead of the engine's own
// makes the same arguments and the same errors of them.
func TestJSONReader(t *testing.T) {
	if stockJSON == nil {
		t.Skip("in the other run")
	}
	e, err := waf.NewCompiler().Compile(jsonConfig())
	if err != nil {
		t.Fatal(err)
	}
	defer e.Release()
	all, err := readJSON(e)
	if err != nil {
		t.Fatal(err)
	}
	arguments, denied := 0, 0
	for i, m := range jsonMessages() {
		want, got := stockJSON[i], all[i]
		if diff := cmp.Diff(want.arguments(), got.arguments()); diff != "" {
			t.Errorf("%q: stock (-), ours (+)\n%s", m.body, diff)
		}
		if diff := cmp.Diff(want.Denial, got.Denial); diff != "" {
			t.Errorf("%q: stock (-), ours (+)\n%s", m.body, diff)
		}
		arguments += len(want.arguments())
		if want.Denial != nil {
			denied++
		}
	}
	if arguments < 4000 || denied < 50 {
		t.Errorf("only %d arguments, %d denied", arguments, denied)
	}
}
