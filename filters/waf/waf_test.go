package waf

import (
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/corazawaf/coraza/v3"

	"github.com/gabion-io/gabion/filters"
	wafrules "github.com/gabion-io/gabion/waf-rules"
)

func engine(t testing.TB, edit func(*Config)) *Engine {
	t.Helper()
	c := Config{Settings: wafrules.Defaults(), Limits: wafrules.Limits{RequestBody: 1 << 20}, Detect: true}
	if edit != nil {
		edit(&c)
	}
	e, err := NewCompiler().Compile(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Release)
	return e
}

func head(path string) *filters.RequestHead {
	return &filters.RequestHead{Method: "GET", Authority: "shop.example:8080", Path: path, Proto: "HTTP/1.1",
		Headers: []filters.Header{{Name: "user-agent", Value: "test"}, {Name: "accept", Value: "*/*"}}}
}

const attack = "/api/search?q=1%27%20UNION%20SELECT%20password%20FROM%20users--&r=1"

// found lists the rules that make up the evidence.
func found(t *testing.T, e *Engine, h *filters.RequestHead) []int {
	t.Helper()
	tx := e.Begin("x")
	defer tx.Close()
	tx.RequestHeaders(h)
	if err := tx.RequestBody(nil, false); err != nil {
		t.Fatal(err)
	}
	var ids []int
	matches, _ := tx.Matches(100)
	for _, m := range matches {
		if !slices.Contains(ids, m.Rule) {
			ids = append(ids, m.Rule)
		}
	}
	return ids
}

// What makes the engine panic is refused, and ends nobody's process.
func TestNewWAFPanics(t *testing.T) {
	text := "SecRule ARGS \"@rx a\" \"id:1,phase:1,pass\"\nSecRuleRemoveByMsg \"x\""
	w, err := newWAF(coraza.NewWAFConfig().WithDirectives(text))
	if w != nil || err == nil {
		t.Errorf("got %v, %v", w, err)
	}
}

// TestExclusionScope tries every condition with a request that meets it and one
// that does not.
func TestExclusionScope(t *testing.T) {
	soon, past := time.Now().Add(time.Hour), time.Now().Add(-time.Hour)
	all := found(t, engine(t, nil), head(attack))
	if !slices.Contains(all, 942100) {
		t.Fatalf("the attack is not found: %v", all)
	}
	for _, c := range []struct {
		name string
		x    wafrules.Exclusion
		want bool // the rule is taken away
	}{
		{"rule", wafrules.Exclusion{}, true},
		{"target", wafrules.Exclusion{Target: "ARGS:q"}, true},
		{"target in other case", wafrules.Exclusion{Target: "ARGS:Q"}, true},
		{"target by pattern", wafrules.Exclusion{Target: "ARGS:/^[pq]$/"}, true},
		{"whole variable", wafrules.Exclusion{Target: "ARGS"}, true},
		{"other target", wafrules.Exclusion{Target: "ARGS:r"}, false},
		{"host", wafrules.Exclusion{Host: "Shop.example"}, true},
		{"wildcard host", wafrules.Exclusion{Host: "*.example"}, true},
		{"other host", wafrules.Exclusion{Host: "hop.example"}, false},
		{"dot is a dot", wafrules.Exclusion{Host: "shopxexample"}, false},
		{"path", wafrules.Exclusion{Path: "/api/search"}, true},
		{"path prefix", wafrules.Exclusion{Path: "/api/*"}, true},
		{"every path", wafrules.Exclusion{Path: "/*"}, true},
		{"part of a path", wafrules.Exclusion{Path: "/api"}, false},
		{"other prefix", wafrules.Exclusion{Path: "/search*"}, false},
		{"method", wafrules.Exclusion{Method: "GET"}, true},
		{"other method", wafrules.Exclusion{Method: "POST"}, false},
		{"until soon", wafrules.Exclusion{Expires: &soon}, true},
		{"until past", wafrules.Exclusion{Expires: &past}, false},
		{"all together", wafrules.Exclusion{Target: "ARGS:q", Host: "shop.example", Path: "/api/*", Method: "GET", Expires: &soon}, true},
		{"all but one", wafrules.Exclusion{Target: "ARGS:q", Host: "shop.example", Path: "/api/*", Method: "PUT", Expires: &soon}, false},
	} {
		for _, by := range []string{"rule", "tag"} {
			x := c.x
			if x.Rule = 942100; by == "tag" {
				x.Rule, x.Tag = 0, "attack-sqli"
			}
			got := found(t, engine(t, func(c *Config) { c.Settings.Exclusions = []wafrules.Exclusion{x} }), head(attack))
			if slices.Contains(got, 942100) == c.want {
				t.Errorf("%s by %s: found %v", c.name, by, got)
			}
		}
	}
	climbing := head("/shop/../api/search" + attack[strings.Index(attack, "?"):])
	e := engine(t, func(c *Config) { c.Settings.Exclusions = []wafrules.Exclusion{{Rule: 942100, Path: "/shop/*"}} })
	if !slices.Contains(found(t, e, climbing), 942100) {
		t.Error("a path that climbs out of the exclusion is excluded")
	}
}

// TestPhase4LeftOut compares with running it: nothing comes of it.
func TestPhase4LeftOut(t *testing.T) {
	e := engine(t, func(c *Config) { c.Settings.ParanoiaLevel = 4 })
	for _, status := range []int{200, 404, 500, 503} {
		for _, run := range []bool{false, true} {
			e.closing = run
			tx := e.Begin("x")
			tx.RequestHeaders(head("/"))
			_ = tx.RequestBody(nil, false)
			tx.ResponseHeaders(&filters.ResponseHead{Status: status, Headers: []filters.Header{{Name: "content-type", Value: "text/html"}}})
			score, logged := tx.OutScore(), len(tx.Logged())
			if err := tx.ResponseBody(nil); err != nil {
				t.Fatal(err)
			}
			if tx.OutScore() != score || score == 0 && len(tx.Logged()) != logged {
				t.Errorf("status %d: phase 4 changed the score from %d to %d", status, score, tx.OutScore())
			}
			tx.Close()
		}
	}
}

func TestRedact(t *testing.T) {
	for in, want := range map[string]string{
		"1' UNION SELECT secret FROM users--": "0' UNION SELECT aaaaaa FROM aaaaa--",
		"../../etc/passwd":                    "../../etc/passwd",
		"<script>alert('Jane')</script>":      "<script>alert('Aaaa')</script>",
		"jane.doe@example.com 4111-1111":      "aaaa.aaa@aaaaaaa.aaa 0000-0000",
		"gr\u00fc\u00dfe \xff\x00":            "aaaaa ? ",
		strings.Repeat("x", 500):              strings.Repeat("a", 96),
	} {
		if got := redact(in, maxShown); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func FuzzRedact(f *testing.F) {
	f.Add("1' OR 'x'='x")
	f.Fuzz(func(t *testing.T, s string) {
		got := redact(s, maxShown)
		if !utf8.ValidString(got) || len(got) > maxShown {
			t.Fatalf("%q gives %q", s, got)
		}
		if strings.ContainsAny(got, "123456789") {
			t.Fatalf("%q keeps digits: %q", s, got)
		}
	})
}
