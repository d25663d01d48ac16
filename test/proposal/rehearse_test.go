package proposal_test

import (
	"context"
	"encoding/json"
	"errors"
	"github.com/gabion-io/gabion/controlplane/proposal"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gabion-io/gabion/controlplane/source"
	"github.com/gabion-io/gabion/filters"
	"github.com/gabion-io/gabion/internal/recording"
	"github.com/gabion-io/gabion/waf-rules/regression"
)

const detectPolicy = "apiVersion: gabion.io/v1alpha1\nkind: WAFPolicy\nmetadata: {name: shop, namespace: default}\nspec: {profile: crs, mode: detect}\n"

func TestRehearseSaysWhatWouldChange(t *testing.T) {
	ctx := context.Background()
	b := newBench(t, source.Store, detectPolicy)
	b.live("n1.a", get(injection), get("/about"), get("/secret-value/4711?token=hunter2"), post("/reviews", "application/json", `{"text":"<script>alert(1)</script>"}`))
	for name, c := range map[string]struct {
		candidate string
		want      func(proposal.Rehearsal) bool
	}{
		"the same": {detectPolicy, func(r proposal.Rehearsal) bool { return r.Unchanged == 4 && r.NewlyBlocked+r.NewlyPassed == 0 }},
		"flip to block": {strings.Replace(detectPolicy, "detect", "block", 1), func(r proposal.Rehearsal) bool {
			return r.NewlyBlocked == 2 && r.Enforced.NewlyDenied == 2 && r.Unchanged == 2
		}},
		"a higher threshold": {strings.Replace(detectPolicy, "detect", "detect, anomalyThreshold: {inbound: 100}", 1), func(r proposal.Rehearsal) bool { return r.NewlyPassed == 2 && r.Enforced.NewlyPassed == 0 }},
		"off":                {strings.Replace(detectPolicy, "detect", "'off'", 1), func(r proposal.Rehearsal) bool { return r.NewlyPassed == 2 }},
		"an exclusion": {strings.Replace(detectPolicy, "detect", "detect, exclusions: [{rule: 942100, path: /search}]", 1), func(r proposal.Rehearsal) bool {
			return r.NewlyPassed == 1 && r.Rules[0].Name == "942100" && r.Routes[0].Name == "default/shop"
		}},
		"a rule of one's own": {strings.Replace(detectPolicy, "detect", `detect, rules: ['SecRule REQUEST_URI "@contains secret-" "id:1,phase:1,deny,status:403,log"']`, 1), func(r proposal.Rehearsal) bool {
			return r.NewlyBlocked == 1 && r.Enforced.NewlyDenied == 0 && r.Rules[0].Name == "1"
		}},
	} {
		var told [2]int
		r, err := b.desk.RehearseCandidate(ctx, []byte(c.candidate), proposal.RehearseOptions{Progress: func(done, total int) { told = [2]int{done, total} }})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if !c.want(r) || r.Judged != 4 || !r.Coverage.Data || r.Drift.Compared != 4 || r.Drift.SamePolicy+r.Drift.PolicyChanged != 0 {
			t.Errorf("%s: %+v", name, r)
		}
		if told != [2]int{4, 4} {
			t.Errorf("%s: progress ended at %v", name, told)
		}
		text, err := json.Marshal(r)
		if err != nil || strings.Contains(string(text), "hunter2") || strings.Contains(string(text), "alert(1)") || strings.Contains(string(text), "4711") {
			t.Errorf("%s: raw values in %s", name, text)
		}
	}
}

func TestRehearseCountsWhatItCannotJudge(t *testing.T) {
	ctx := context.Background()
	b := newBench(t, source.Store, detectPolicy)
	r, err := b.desk.RehearseCandidate(ctx, []byte(detectPolicy), proposal.RehearseOptions{})
	if err != nil || r.Coverage.Data || !strings.Contains(r.Coverage.Summary, "Nothing was recorded") {
		t.Errorf("without recordings: %+v, %v", r.Coverage, err)
	}

	b.live("n1.a", post("/a", "text/plain", "hello"), post("/b", "text/plain", "hello"), get("/c"))
	b.tape[0].RequestBody, b.tape[0].RequestBodyTruncated = b.tape[0].RequestBody[:2], true
	b.tape[1].Key = "gone"
	b.with(func(o *proposal.Options) { o.Lost = func(context.Context) (uint64, error) { return 7, nil } })
	r, err = b.desk.RehearseCandidate(ctx, []byte(detectPolicy), proposal.RehearseOptions{})
	if err != nil || r.Judged != 1 || r.Unjudged != (proposal.Unjudged{TruncatedBody: 1, UnknownKey: 1}) || r.Coverage.Recordings != 3 || r.Coverage.Lost != 7 {
		t.Errorf("%+v, %v", r, err)
	}
	if !strings.Contains(r.Coverage.Summary, "1 of 3 recorded exchanges judged") || !strings.Contains(r.Coverage.Summary, "7 exchanges were lost") {
		t.Errorf("summary is %q", r.Coverage.Summary)
	}

	b.with(func(o *proposal.Options) {
		o.Lost = func(context.Context) (uint64, error) { return 0, errors.New("the store is closed") }
	})
	r, err = b.desk.RehearseCandidate(ctx, []byte(detectPolicy), proposal.RehearseOptions{})
	if err != nil || r.Coverage.LostUnknown != "the store is closed" || !strings.Contains(r.Coverage.Summary, "lost before they were stored is unknown: the store is closed") {
		t.Errorf("what cannot be known is shown as nothing: %+v, %v", r.Coverage, err)
	}

	b.tape = b.tape[:2]
	r, err = b.desk.RehearseCandidate(ctx, []byte(detectPolicy), proposal.RehearseOptions{})
	if err != nil || r.Coverage.Data || !strings.HasPrefix(r.Coverage.Summary, "None of 2") {
		t.Errorf("%+v, %v", r, err)
	}
}

// What a policy does not look at need not have been kept.
func TestRehearseJudgesCutBodiesBeyondTheLimit(t *testing.T) {
	b := newBench(t, source.Store, strings.Replace(detectPolicy, "detect", "detect, requestBody: {limit: 1Ki, structuredLimit: 1Ki}", 1))
	b.live("n1.a", post("/a", "text/plain", strings.Repeat("a", 5000)))
	b.tape[0].RequestBody, b.tape[0].RequestBodyTruncated = b.tape[0].RequestBody[:2000], true
	r, err := b.desk.RehearseCandidate(context.Background(), []byte(detectPolicy), proposal.RehearseOptions{})
	if err != nil || r.Unjudged.TruncatedBody != 1 {
		t.Errorf("a candidate that inspects more: %+v, %v", r, err)
	}
	same, err := b.store.Resources(context.Background(), "WAFPolicy")
	if err != nil {
		t.Fatal(err)
	}
	r, err = b.desk.RehearseCandidate(context.Background(), same[0].Manifest, proposal.RehearseOptions{})
	if err != nil || r.Judged != 1 || r.Drift.SamePolicy != 0 {
		t.Errorf("the same policy: %+v, %v", r, err)
	}
}

func TestRehearseReportsDrift(t *testing.T) {
	b := newBench(t, source.Store, detectPolicy)
	b.live("n1.a", get(injection), get("/about"))
	b.tape[1].Decision = filters.Denied // the live verdict cannot be told by replay
	higher := strings.Replace(detectPolicy, "detect", "detect, anomalyThreshold: {inbound: 100}", 1)
	r, err := b.desk.RehearseCandidate(context.Background(), []byte(higher), proposal.RehearseOptions{})
	if err != nil || r.Drift.SamePolicy != 1 || !slices.Equal(r.Drift.Sample, []string{b.tape[1].ID}) {
		t.Errorf("%+v, %v", r.Drift, err)
	}
	b.apply(higher)
	r, err = b.desk.RehearseCandidate(context.Background(), []byte(higher), proposal.RehearseOptions{})
	if err != nil || r.Drift.PolicyChanged != 2 || r.Drift.SamePolicy != 0 {
		t.Errorf("%+v, %v", r.Drift, err)
	}
}

func TestRehearsalDoesNotDependOnOrder(t *testing.T) {
	b := newBench(t, source.Store, detectPolicy)
	var requests []request
	for i := range 30 {
		requests = append(requests, get(strings.Replace(injection, "/search", "/search/"+string(rune('a'+i%26)), 1)))
	}
	b.live("n1.a", requests...)
	for i, x := range b.tape {
		x.Time = x.Time.Add(time.Duration(i) * time.Second)
	}
	candidate := []byte(strings.Replace(detectPolicy, "detect", "block", 1))
	first, err := b.desk.RehearseCandidate(context.Background(), candidate, proposal.RehearseOptions{})
	if err != nil || len(first.Blocked) != proposal.MaxExamples {
		t.Fatalf("%+v, %v", first, err)
	}
	slices.Reverse(b.tape)
	second, err := b.desk.RehearseCandidate(context.Background(), candidate, proposal.RehearseOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(first, second); diff != "" {
		t.Error(diff)
	}
}

func TestRehearseStops(t *testing.T) {
	b := newBench(t, source.Store, detectPolicy)
	b.live("n1.a", get("/a"), get("/b"), get("/c"), get("/d"), get("/e"), get("/f"), get("/g"), get("/h"))
	ctx, cancel := context.WithCancel(context.Background())
	_, err := b.desk.RehearseCandidate(ctx, []byte(detectPolicy), proposal.RehearseOptions{Progress: func(int, int) { cancel() }})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v", err)
	}
	b.with(func(o *proposal.Options) { o.Recordings = brokenTape{} })
	if _, err = b.desk.RehearseCandidate(context.Background(), []byte(detectPolicy), proposal.RehearseOptions{}); !errors.Is(err, os.ErrPermission) {
		t.Errorf("error is %v", err)
	}
}

type brokenTape struct{}

func (brokenTape) Count(recording.Query) (int, error) { return 1, nil }
func (brokenTape) Each(recording.Query, func(*recording.Exchange) error) (recording.OpenReport, error) {
	return recording.OpenReport{}, os.ErrPermission
}

// Same input, same verdict as live.
func TestReplayAgreesWithLive(t *testing.T) {
	cases, err := regression.Load()
	if err != nil {
		t.Fatal(err)
	}
	step := 40 // of 4,674 cases
	if os.Getenv("GABION_FULL") != "" {
		step = 1
	}
	for _, mode := range []string{"detect", "block"} {
		b := newBench(t, source.Store, strings.Replace(detectPolicy, "detect", mode, 1))
		var requests []request
		for i := 0; i < len(cases); i += step {
			for j := range cases[i].Stages {
				if r := &cases[i].Stages[j].Request; r.Encoded == nil {
					requests = append(requests, recast(r))
				}
			}
		}
		b.live("n1.a", requests...)
		tables, err := b.world().Effective(context.Background(), nil)
		if err != nil {
			t.Fatal(err)
		}
		got, err := proposal.Mismatches(context.Background(), engine, b, recording.Query{}, tables)
		if err != nil {
			t.Fatal(err)
		}
		if got.Checked+got.Unjudged.Total() != len(requests) || got.Checked < len(requests)*9/10 {
			t.Errorf("%s: %d of %d replayed, %+v", mode, got.Checked, len(requests), got.Unjudged)
		}
		for _, m := range got.Mismatches {
			t.Errorf("%s: %+v", mode, m)
		}
		t.Logf("%s: %d replayed, %d mismatches, %+v", mode, got.Checked, len(got.Mismatches), got.Unjudged)
	}
}
