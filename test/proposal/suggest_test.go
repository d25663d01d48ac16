package proposal_test

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gabion-io/gabion/controlplane/proposal"
	"github.com/gabion-io/gabion/controlplane/source"
	"github.com/gabion-io/gabion/filters"
	"github.com/gabion-io/gabion/internal/exchange"
)

// visit stores what a client's request left behind, and harmless traffic of the
// same client beside it.
type visit struct {
	client   string
	at       time.Duration // after the beginning
	times    int           // how often, a second apart; -1: never, harmless traffic only
	harmless int
	on       string // where the harmless traffic goes: "POST /comments"; "": GET /
	status   int    // how it is answered; 0: 200
	change   func(*filters.Event)
}

func (b *bench) visits(like filters.Event, start time.Time, vs ...visit) {
	b.t.Helper()
	n := 0
	for _, v := range vs {
		var events []filters.Event
		var seen []exchange.Exchange
		for i := range max(cmp.Or(v.times, 1), 0) {
			n++
			e := like
			e.ID, e.Client, e.Time = fmt.Sprintf("%s-%s-%d-%d", b.t.Name(), v.client, n, i), v.client, start.Add(v.at+time.Duration(i)*time.Second)
			if v.change != nil {
				v.change(&e)
			}
			events = append(events, e)
			seen = append(seen, exchange.Exchange{ID: e.ID, Event: e.ID, Client: v.client, Time: e.Time, Method: e.Method, Path: e.Path, Status: 200})
		}
		method, path, ok := strings.Cut(v.on, " ")
		if !ok {
			method, path = "GET", "/"
		}
		for i := range v.harmless {
			seen = append(seen, exchange.Exchange{ID: fmt.Sprintf("%s-%s-%s-ok-%d", b.t.Name(), v.client, v.on, i), Client: v.client, Time: start.Add(v.at), Method: method, Path: path, Status: cmp.Or(v.status, 200)})
		}
		if _, err := b.store.AddEvents(context.Background(), events); err != nil {
			b.t.Fatal(err)
		}
		if _, err := b.store.AddExchanges(context.Background(), seen); err != nil {
			b.t.Fatal(err)
		}
	}
}

// crowd is n clients, one visit each, spread evenly over a time.
func crowd(n int, over time.Duration, change func(*visit)) []visit {
	var out []visit
	for i := range n {
		v := visit{client: fmt.Sprintf("net%d.host", i), at: over * time.Duration(i) / time.Duration(max(n-1, 1)), harmless: 5}
		if change != nil {
			change(&v)
		}
		out = append(out, v)
	}
	return out
}

func TestSuggestionsCannotBeManufactured(t *testing.T) {
	b := newBench(t, source.Store, shopPolicy)
	b.with(func(o *proposal.Options) { o.Budget = 1 })
	b.with(func(o *proposal.Options) { o.Recordings = nil })
	like := b.live("teacher.a", get(injection))[0]
	const day = 24 * time.Hour
	for name, c := range map[string]struct {
		visits []visit
		want   int
	}{
		"ten clients over two days":               {crowd(10, 2*day, nil), 1},
		"one attacker with ten thousand requests": {[]visit{{client: "evil.1", times: 10_000, harmless: 20_000}}, 0},
		"one attacker, for days": {
			append(crowd(0, 0, nil), visit{client: "evil.1", harmless: 50}, visit{client: "evil.1", at: day}, visit{client: "evil.1", at: 2 * day}, visit{client: "evil.1", at: 3 * day}), 0},
		"one network with many addresses": {crowd(50, 2*day, func(v *visit) { v.change = func(e *filters.Event) { e.ClientNet = "192.0.2.0/24" } }), 0},
		"ten clients within a minute":     {crowd(10, time.Minute, nil), 0},
		"a minute's crowd, and one of them again two days later": {
			append(crowd(10, time.Minute, nil), visit{client: "net1.host", at: 2 * day, harmless: 5}), 0},
		"four clients":                {crowd(4, 2*day, nil), 0},
		"clients who do nothing else": {crowd(10, 2*day, func(v *visit) { v.harmless = 0 }), 0},
		"events of two classes": {crowd(10, 2*day, func(v *visit) {
			v.change = func(e *filters.Event) {
				e.Matches = append(append([]filters.Match{}, e.Matches...), filters.Match{Rule: 941100, Score: 2, Variable: "ARGS:q", Phase: 2, Tags: []string{"attack-xss"}})
			}
		}), 0},
		"strong events": {crowd(10, 2*day, func(v *visit) {
			v.change = func(e *filters.Event) { e.Score = 10; e.Matches[0].Score = 10 }
		}), 0},
		"ends of processes": {crowd(10, 2*day, func(v *visit) {
			v.change = func(e *filters.Event) {
				e.Decision, e.Process = filters.Ended, &filters.ProcessEnd{Name: "envoy", Exit: "signal: killed"}
			}
		}), 0},
		"events without a client": {crowd(10, 2*day, func(v *visit) { v.client = "" }), 0},
		"different places": {crowd(10, 2*day, func(v *visit) {
			at := v.at
			v.change = func(e *filters.Event) { e.Path = "/page-" + string(rune('a'+at/(5*time.Hour))) }
		}), 0},
	} {
		b := newBench(t, source.Store, shopPolicy)
		b.with(func(o *proposal.Options) { o.Budget = 1 })
		b.now = b.now.Add(4 * day)
		start := b.now.Add(-4 * day)
		mine := like
		mine.Matches = append([]filters.Match{}, like.Matches...)
		b.visits(mine, start, c.visits...)
		got, err := b.desk.Suggest(context.Background(), proposal.SuggestRules{})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if len(got.Proposals) != c.want {
			t.Errorf("%s: %d suggestions, want %d: %+v", name, len(got.Proposals), c.want, got)
		}
		for _, p := range got.Proposals {
			if p.Author != proposal.Learned || p.Evidence.Clients < 5 || p.Evidence.Supplied != "learned from 10 clients over 48h0m0s" {
				t.Errorf("%s: %+v", name, p.Evidence)
			}
		}
		again, err := b.desk.Suggest(context.Background(), proposal.SuggestRules{})
		if err != nil || len(again.Proposals) != 0 {
			t.Errorf("%s: suggested again: %+v, %v", name, again, err)
		}
	}
}

func TestSuggestionOnceRejectedStaysAway(t *testing.T) {
	ctx := context.Background()
	b := newBench(t, source.Store, shopPolicy)
	b.with(func(o *proposal.Options) { o.Budget = 1 })
	like := b.live("teacher.a", get(injection))[0]
	b.now = b.now.Add(4 * 24 * time.Hour)
	b.visits(like, b.now.Add(-3*24*time.Hour), crowd(8, 48*time.Hour, nil)...)
	got, err := b.desk.Suggest(ctx, proposal.SuggestRules{})
	if err != nil || len(got.Proposals) != 1 {
		t.Fatalf("%+v, %v", got, err)
	}
	p, err := b.desk.Reject(ctx, got.Proposals[0].ID, "ada", "it is an attack")
	if err != nil || p.State != proposal.Rejected || p.Reason != "it is an attack" || p.DecidedBy != "ada" {
		t.Fatalf("%+v, %v", p, err)
	}
	if again, err := b.desk.Reject(ctx, got.Proposals[0].ID, "ada", "other words"); err != nil || again.Reason != "it is an attack" {
		t.Errorf("rejecting again: %+v, %v", again, err)
	}
	if got, err = b.desk.Suggest(ctx, proposal.SuggestRules{}); err != nil || len(got.Proposals) != 0 {
		t.Errorf("suggested again: %+v, %v", got, err)
	}
}
