package proposal

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gabion-io/gabion/filters"
	wafrules "github.com/gabion-io/gabion/waf-rules"
)

func match(rule, score int, variable string) filters.Match {
	return filters.Match{Rule: rule, Score: score, Variable: variable, Phase: 2, Severity: "critical", Tags: []string{"attack-sqli"}}
}

func event(id string, matches ...filters.Match) filters.Event {
	e := filters.Event{ID: id, Engine: "waf", Decision: filters.Detect, Method: "GET", Host: "shop.example.com:8080", Path: "/search", Matches: matches}
	for _, m := range matches {
		e.Score += m.Score
	}
	return e
}

func defaultLimits(filters.Event) thresholds { return thresholds{5, 4} }

func at(e filters.Event, method, host, path string) filters.Event {
	e.Method, e.Host, e.Path = method, host, path
	return e
}

func TestNarrowestExclusions(t *testing.T) {
	q := match(942100, 5, "ARGS:q")
	cases := map[string]struct {
		events []filters.Event
		want   []wafrules.Exclusion
	}{
		"one event": {
			[]filters.Event{event("a", q)},
			[]wafrules.Exclusion{{Rule: 942100, Target: "ARGS:q", Method: "GET", Host: "shop.example.com", Path: "/search"}},
		},
		"what is under the threshold may stay": {
			[]filters.Event{event("a", match(920320, 2, "REQUEST_HEADERS"), q, match(920280, 2, "REQUEST_HEADERS:Host"))},
			[]wafrules.Exclusion{{Rule: 942100, Target: "ARGS:q", Method: "GET", Host: "shop.example.com", Path: "/search"}},
		},
		"two hosts are named": {
			[]filters.Event{event("a", q), at(event("b", q), "GET", "www.example.com", "/search")},
			[]wafrules.Exclusion{
				{Rule: 942100, Target: "ARGS:q", Method: "GET", Host: "shop.example.com", Path: "/search"},
				{Rule: 942100, Target: "ARGS:q", Method: "GET", Host: "www.example.com", Path: "/search"},
			},
		},
		"many hosts are a pattern": {
			[]filters.Event{event("a", q), at(event("b", q), "GET", "b.example.com", "/search"), at(event("c", q), "GET", "c.example.com", "/search"),
				at(event("d", q), "GET", "d.example.com", "/search"), at(event("e", q), "GET", "e.example.com", "/search")},
			[]wafrules.Exclusion{{Rule: 942100, Target: "ARGS:q", Method: "GET", Host: "*.example.com", Path: "/search"}},
		},
		"many paths share a prefix": {
			[]filters.Event{at(event("a", q), "GET", "h", "/a/1"), at(event("b", q), "GET", "h", "/a/2"), at(event("c", q), "GET", "h", "/a/3"),
				at(event("d", q), "GET", "h", "/a/4"), at(event("e", q), "GET", "h", "/a/5")},
			[]wafrules.Exclusion{{Rule: 942100, Target: "ARGS:q", Method: "GET", Host: "h", Path: "/a/*"}},
		},
		"a masked segment ends the path": {
			[]filters.Event{at(event("a", q), "GET", "h", "/accounts/{id}/orders")},
			[]wafrules.Exclusion{{Rule: 942100, Target: "ARGS:q", Method: "GET", Host: "h", Path: "/accounts/*"}},
		},
		"a method and a host ingest did not keep": {
			[]filters.Event{at(event("a", q), "OTHER", "{value}", "/a")},
			[]wafrules.Exclusion{{Rule: 942100, Target: "ARGS:q", Path: "/a"}},
		},
		"places in an array are any place": {
			[]filters.Event{event("a", match(942100, 5, "ARGS_POST:json.items.0.name")), event("b", match(942100, 5, "ARGS_POST:json.items.12.name"))},
			[]wafrules.Exclusion{{Rule: 942100, Target: `ARGS_POST:/^json\.items\.[0-9]+\.name$/`, Method: "GET", Host: "shop.example.com", Path: "/search"}},
		},
		"a name that was redacted is any name": {
			[]filters.Event{event("a", match(942100, 5, "ARGS:aaa aaa"))},
			[]wafrules.Exclusion{{Rule: 942100, Target: "ARGS", Method: "GET", Host: "shop.example.com", Path: "/search"}},
		},
		"transaction variables mean the rule": {
			[]filters.Event{event("a", match(921180, 5, "TX:paramcounter"))},
			[]wafrules.Exclusion{{Rule: 921180, Method: "GET", Host: "shop.example.com", Path: "/search"}},
		},
		"the shared suspect suffices": {
			// b needs only one of its two gone, and a needs 942100 anyway.
			[]filters.Event{event("a", q), event("b", match(942200, 3, "ARGS:q"), match(942100, 3, "ARGS:q"))},
			[]wafrules.Exclusion{{Rule: 942100, Target: "ARGS:q", Method: "GET", Host: "shop.example.com", Path: "/search"}},
		},
		"a rule that denies by itself": {
			[]filters.Event{event("a", filters.Match{Rule: 200002, Variable: "REQBODY_ERROR", Phase: 2})},
			[]wafrules.Exclusion{{Rule: 200002, Target: "REQBODY_ERROR", Method: "GET", Host: "shop.example.com", Path: "/search"}},
		},
		"an own rule that only logs stays": {
			[]filters.Event{event("a", filters.Match{Rule: 1000, Variable: "ARGS:q", Phase: 2}, q)},
			[]wafrules.Exclusion{{Rule: 942100, Target: "ARGS:q", Method: "GET", Host: "shop.example.com", Path: "/search"}},
		},
	}
	for name, c := range cases {
		chosen, err := choose(c.events, defaultLimits, widen{}, nil)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got := exclusions(c.events, chosen)
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		for _, e := range c.events {
			if !score(e, thresholds{5, 4}, got).passes(thresholds{5, 4}) {
				t.Errorf("%s: %s does not pass under %+v", name, e.ID, got)
			}
		}
		for _, x := range got {
			if err := x.Validate(); err != nil {
				t.Errorf("%s: %+v: %v", name, x, err)
			}
		}
	}
}

func TestBareHost(t *testing.T) {
	for in, want := range map[string]string{"A.example:80": "a.example", "[::1]:80": "[::1]", "::1": "[::1]", "127.0.0.1:8080": "127.0.0.1", "": "", "[::1]": "[::1]"} {
		if got := bareHost(in); got != want {
			t.Errorf("bareHost(%q) is %q", in, got)
		}
	}
}

func TestNotExcludable(t *testing.T) {
	limit := event("a")
	limit.Engine, limit.Reason = "chain", "request body beyond 131072 bytes"
	hidden := event("b", match(942100, 5, "ARGS:q"))
	hidden.Score, hidden.MoreMatches = 50, 9
	for _, e := range []filters.Event{limit, hidden} {
		if _, err := choose([]filters.Event{e}, defaultLimits, widen{}, nil); err == nil {
			t.Errorf("%s: no error", e.ID)
		}
	}
}

func TestCovers(t *testing.T) {
	e := at(event("a"), "GET", "a.example.com:80", "/a/{id}")
	m := match(942100, 5, "ARGS_POST:json.items.3.name")
	for _, c := range []struct {
		x    wafrules.Exclusion
		want bool
	}{
		{wafrules.Exclusion{Rule: 942100}, true},
		{wafrules.Exclusion{Rule: 942101}, false},
		{wafrules.Exclusion{Tag: "attack-sqli"}, true},
		{wafrules.Exclusion{Tag: "attack-xss"}, false},
		{wafrules.Exclusion{Rule: 942100, Host: "*.example.com"}, true},
		{wafrules.Exclusion{Rule: 942100, Host: "*.a.example.com"}, false},
		{wafrules.Exclusion{Rule: 942100, Path: "/a/*"}, true},
		{wafrules.Exclusion{Rule: 942100, Path: "/a"}, false},
		{wafrules.Exclusion{Rule: 942100, Method: "POST"}, false},
		{wafrules.Exclusion{Rule: 942100, Target: "ARGS:json.items.3.name"}, true},
		{wafrules.Exclusion{Rule: 942100, Target: "ARGS_GET:json.items.3.name"}, false},
		{wafrules.Exclusion{Rule: 942100, Target: `ARGS_POST:/^json\.items\.[0-9]+\.name$/`}, true},
		{wafrules.Exclusion{Rule: 942100, Target: "ARGS_POST"}, true},
		{wafrules.Exclusion{Rule: 942100, Target: "ARGS_POST:/(/"}, false},
	} {
		if got := covers(c.x, e, m); got != c.want {
			t.Errorf("covers(%+v) is %v", c.x, got)
		}
	}
}
