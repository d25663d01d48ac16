package proposal_test

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gabion-io/gabion/controlplane/proposal"
	"github.com/gabion-io/gabion/filters"
	"github.com/gabion-io/gabion/filters/chain"
	wafrules "github.com/gabion-io/gabion/waf-rules"
)

// policyWith is the built-in default policy, by the untouched rule set, with exclusions.
func policyWith(t testing.TB, mode filters.Mode, xs ...wafrules.Exclusion) filters.Policy {
	t.Helper()
	s := wafrules.Defaults()
	s.Profile = wafrules.ProfileCRS
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

func TestOpenedFindsWhatAnExclusionOpens(t *testing.T) {
	attacks := suite(t, 942100, 941110, 932160)
	for name, c := range map[string]struct {
		x    []wafrules.Exclusion
		want func(proposal.Opens) bool
	}{
		"a target on one path": {
			[]wafrules.Exclusion{{Rule: 942100, Target: "ARGS:q", Method: "GET", Host: "shop.example.com", Path: "/search"}},
			func(o proposal.Opens) bool { return o.Opened > 0 && only(o.IDs, "942100-") },
		},
		"a posted field": {
			[]wafrules.Exclusion{{Rule: 942100, Target: "ARGS:comment", Method: "POST", Path: "/reviews"}},
			func(o proposal.Opens) bool { return o.Opened > 0 && only(o.IDs, "942100-") },
		},
		"a JSON field": {
			[]wafrules.Exclusion{{Rule: 942100, Target: "ARGS:json.items.0.name", Method: "POST", Path: "/orders/*"}},
			func(o proposal.Opens) bool { return o.Opened > 0 && only(o.IDs, "942100-") },
		},
		"the rule everywhere": {
			[]wafrules.Exclusion{{Rule: 942100}},
			func(o proposal.Opens) bool { return o.Opened > 0 && only(o.IDs, "942100-") },
		},
		"a whole class of attacks": {
			[]wafrules.Exclusion{{Tag: "attack-xss", Path: "/editor/*"}},
			func(o proposal.Opens) bool { return o.Opened > 10 },
		},
		"a rule these attacks do not need": {
			[]wafrules.Exclusion{{Rule: 913100, Path: "/search"}},
			func(o proposal.Opens) bool { return o.Opened == 0 },
		},
	} {
		got := proposal.Opened(context.Background(), proposal.AttackTrial{
			Engine: engine, Attacks: attacks, Before: policyWith(t, filters.ModeDetect), After: policyWith(t, filters.ModeDetect, c.x...), Exclusions: c.x,
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
	x := wafrules.Exclusion{Rule: 942100, Target: "ARGS:q", Path: "/search"}
	calls := 0
	got := proposal.Opened(context.Background(), proposal.AttackTrial{
		Engine: engine, Attacks: suite(t), Before: policyWith(t, filters.ModeBlock), After: policyWith(t, filters.ModeBlock, x), Exclusions: []wafrules.Exclusion{x},
		Budget: 300 * time.Millisecond, Progress: func(done, total int) { calls++ },
	})
	if got.Complete || got.Tried == 0 || got.Tried == got.Attacks || got.Error != "" {
		t.Errorf("%+v", got)
	}
	if calls != got.Tried {
		t.Errorf("progress was told %d times for %d attacks", calls, got.Tried)
	}
}

// What cannot be tried has no price, rather than none.
func TestWhatCannotBeTriedHasNoPrice(t *testing.T) {
	for target, known := range map[string]bool{
		"ARGS:json.items.3.name": true, "ARGS:json.2": true, "REQUEST_METHOD": true,
		"MULTIPART_PART_HEADERS:photo": false, "REQUEST_HEADERS:host": false, "RESPONSE_HEADERS:server": false,
	} {
		x := wafrules.Exclusion{Rule: 942100, Target: target, Method: "POST", Host: "shop.example.com", Path: "/orders"}
		got := proposal.Opened(context.Background(), proposal.AttackTrial{
			Engine: engine, Attacks: suite(t, 942100), Before: policyWith(t, filters.ModeDetect), After: policyWith(t, filters.ModeDetect, x), Exclusions: []wafrules.Exclusion{x},
		})
		if (got.Error == "") != known {
			t.Errorf("%s: %+v", target, got)
		}
		if strings.HasPrefix(target, "ARGS") && got.Opened == 0 {
			t.Errorf("%s: nothing opens of %d denied", target, got.Denied)
		}
	}
}

// Each of two rules that find the same attacks can go for nothing. When one went,
// the price of the other is what both found.
func TestPriceIsThatOfWhatIsInForce(t *testing.T) {
	ctx := context.Background()
	b, like, _ := learner(t, chain.NewChecker())
	b.with(func(o *proposal.Options) {
		o.Budget, o.Attacks = time.Minute, func() ([]wafrules.Attack, error) { return suite(t, 942360), nil }
	})
	var proposed []proposal.Proposal
	for _, rule := range []int{942360, 942190, 942270, 942100} {
		e := like
		e.ID, e.Client, e.Time = "of-"+strconv.Itoa(rule), "n1.a", b.now
		with("GET", "/search", misfire(rule, "ARGS:q", "sqli"))(&e)
		if _, err := b.store.AddEvents(ctx, []filters.Event{e}); err != nil {
			t.Fatal(err)
		}
		p, err := b.desk.Propose(ctx, proposal.ProposeOptions{Events: []string{e.ID}, Author: "ada"})
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%d: %+v", rule, p.Evidence.Opens)
		proposed = append(proposed, p)
	}
	last := proposed[len(proposed)-1]
	for i, p := range proposed[:len(proposed)-1] {
		if i > 0 {
			if _, err := b.desk.Rehearse(ctx, p.ID, proposal.RehearseOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := b.desk.Accept(ctx, p.ID, "grace"); err != nil {
			t.Fatal(err)
		}
	}
	again, err := b.desk.Rehearse(ctx, last.ID, proposal.RehearseOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if was, is := last.Evidence.Opens, again.Evidence.Opens; is.Error != "" || is.Opened <= was.Opened {
		t.Errorf("the price was %d and is %d: %+v", was.Opened, is.Opened, is)
	}
}
