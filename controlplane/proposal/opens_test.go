package proposal

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gabion-io/gabion/filters"
	wafrules "github.com/gabion-io/gabion/waf-rules"
	"github.com/gabion-io/gabion/waf-rules/regression"
)

// policyWith is the built-in default policy with exclusions.
func policyWith(t testing.TB, mode filters.Mode, xs ...wafrules.Exclusion) filters.Policy {
	t.Helper()
	s := wafrules.Defaults()
	s.Exclusions = xs
	b, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	return filters.Policy{
		Mode: mode, FailureMode: filters.FailOpen, WAF: b,
		RequestBody:  filters.BodyInspection{Inspect: true, Limit: 128 << 10, StructuredLimit: 1 << 20, Depth: 64, Beyond: filters.BeyondPartial},
		ResponseBody: filters.BodyInspection{Limit: 128 << 10, Beyond: filters.BeyondPartial},
		Block:        filters.BlockResponse{Status: 403},
	}
}

// suiteOf picks the cases of some rules.
func suiteOf(t testing.TB, rules ...int) []regression.Case {
	t.Helper()
	all, err := regression.Load()
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(all, func(c regression.Case) bool { return !slices.Contains(rules, c.Rule) })
}

func TestOpenedFindsWhatAnExclusionOpens(t *testing.T) {
	cases := suiteOf(t, 942100, 941110, 932160)
	for name, c := range map[string]struct {
		x    []wafrules.Exclusion
		want func(Opens) bool
	}{
		"a target on one path": {
			[]wafrules.Exclusion{{Rule: 942100, Target: "ARGS:q", Method: "GET", Host: "shop.example.com", Path: "/search"}},
			func(o Opens) bool { return o.Opened > 0 && only(o.IDs, "942100-") },
		},
		"a posted field": {
			[]wafrules.Exclusion{{Rule: 942100, Target: "ARGS:comment", Method: "POST", Path: "/reviews"}},
			func(o Opens) bool { return o.Opened > 0 && only(o.IDs, "942100-") },
		},
		"a JSON field": {
			[]wafrules.Exclusion{{Rule: 942100, Target: "ARGS:json.items.0.name", Method: "POST", Path: "/orders/*"}},
			func(o Opens) bool { return o.Opened > 0 && only(o.IDs, "942100-") },
		},
		"the rule everywhere": {
			[]wafrules.Exclusion{{Rule: 942100}},
			func(o Opens) bool { return o.Opened > 0 && only(o.IDs, "942100-") },
		},
		"a whole class of attacks": {
			[]wafrules.Exclusion{{Tag: "attack-xss", Path: "/editor/*"}},
			func(o Opens) bool { return o.Opened > 10 },
		},
		"a rule these attacks do not need": {
			[]wafrules.Exclusion{{Rule: 913100, Path: "/search"}},
			func(o Opens) bool { return o.Opened == 0 },
		},
	} {
		got := Opened(context.Background(), AttackTrial{
			Cases: cases, Before: policyWith(t, filters.ModeDetect), After: policyWith(t, filters.ModeDetect, c.x...), Exclusions: c.x,
		})
		if got.Error != "" || !got.Complete || got.Tried != got.Attacks || got.Attacks == 0 || got.Denied < got.Opened {
			t.Errorf("%s: %+v", name, got)
		}
		if !c.want(got) {
			t.Errorf("%s: opened %d of %d: %v", name, got.Opened, got.Denied, got.IDs)
		}
		t.Logf("%s: %d attacks, %d denied before, %d opened", name, got.Attacks, got.Denied, got.Opened)
	}
}

func only(ids []string, prefix string) bool {
	return !slices.ContainsFunc(ids, func(id string) bool { return !strings.HasPrefix(id, prefix) })
}

func TestOpenedKeepsToItsBudget(t *testing.T) {
	all, err := regression.Load()
	if err != nil {
		t.Fatal(err)
	}
	x := wafrules.Exclusion{Rule: 942100, Target: "ARGS:q", Path: "/search"}
	calls := 0
	got := Opened(context.Background(), AttackTrial{
		Cases: all, Before: policyWith(t, filters.ModeBlock), After: policyWith(t, filters.ModeBlock, x), Exclusions: []wafrules.Exclusion{x},
		Budget: 300 * time.Millisecond, Progress: func(done, total int) { calls++ },
	})
	if got.Complete || got.Tried == 0 || got.Tried == got.Attacks || got.Error != "" {
		t.Errorf("%+v", got)
	}
	if calls != got.Tried {
		t.Errorf("progress was told %d times for %d attacks", calls, got.Tried)
	}
}

func TestMovedAttacksFallUnderTheExclusion(t *testing.T) {
	cases, err := regression.Load()
	if err != nil {
		t.Fatal(err)
	}
	x := wafrules.Exclusion{Rule: 942100, Target: "ARGS:q", Method: "GET", Host: "*.example.com", Path: "/search"}
	n := 0
	for i := range cases {
		for _, raw := range moved(&cases[i].Stages[0].Request, x) {
			n++
			line, rest, _ := strings.Cut(string(raw), "\r\n")
			if cases[i].Stages[0].Request.Encoded == nil && (!strings.HasPrefix(line, "GET /search?q=") || !strings.Contains(rest, "Host: www.example.com\r\n")) {
				t.Fatalf("%s moved to %q", cases[i].ID, raw)
			}
		}
	}
	if n < 3000 {
		t.Errorf("only %d requests were made of %d cases", n, len(cases))
	}
}

func FuzzMoved(f *testing.F) {
	f.Add("GET", "/a?b=c", "x=y", "ARGS:q", "/s/*", "*.example.com")
	f.Add("POST", "/%2e%2e/", "{\"a\":[1]}", "REQUEST_HEADERS:/^x$/", "/", "")
	f.Fuzz(func(t *testing.T, method, target, body, variable, path, host string) {
		for _, encoded := range [][]byte{nil, []byte(method + " " + target + " " + body)} {
			r := regression.Request{Method: method, Target: target, Version: "HTTP/1.1", Body: []byte(body), Encoded: encoded,
				Headers: []regression.Field{{Name: "Content-Type", Value: "application/json"}, {Name: "Cookie", Value: body}}}
			if got := moved(&r, wafrules.Exclusion{Rule: 1, Target: variable, Path: path, Host: host, Method: method}); len(got) > maxVariants {
				t.Fatalf("%d variants", len(got))
			}
		}
	})
}
