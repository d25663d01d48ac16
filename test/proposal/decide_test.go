package proposal_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/gabion-io/gabion/controlplane/proposal"
	"github.com/gabion-io/gabion/controlplane/source"
	"github.com/gabion-io/gabion/controlplane/store"
	"github.com/gabion-io/gabion/filters"
)

// propose makes a proposal from one injection on a bench.
func propose(t *testing.T, b *bench) proposal.Proposal {
	t.Helper()
	b.with(func(o *proposal.Options) { o.Budget = 1 })
	p, err := b.desk.Propose(context.Background(), proposal.ProposeOptions{Events: idsOf(b.live("n1.a", get(injection))), Author: "ada"})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestBaseChangedMustBeRehearsedAgain(t *testing.T) {
	ctx := context.Background()
	b := newBench(t, source.Store, shopPolicy)
	p := propose(t, b)
	b.apply(shopPolicy + "  paranoiaLevel: 2\n")
	if _, err := b.desk.Accept(ctx, p.ID, "grace"); !errors.Is(err, proposal.ErrBaseChanged) || !strings.Contains(err.Error(), "rehearse "+p.ID) {
		t.Fatalf("error is %v", err)
	}
	p, err := b.desk.Rehearse(ctx, p.ID, proposal.RehearseOptions{})
	if err != nil || !strings.Contains(p.Candidate, "paranoiaLevel: 2") || p.Base.Revision != 2 || p.Rehearsal.Base != p.Base {
		t.Fatalf("%+v, %v", p, err)
	}
	got, err := b.desk.Accept(ctx, p.ID, "grace")
	if err != nil || got.Revision != 3 {
		t.Fatalf("%+v, %v", got, err)
	}
	r, err := b.store.Resource(ctx, store.Key{Kind: "WAFPolicy", Namespace: "default", Name: "shop"})
	if err != nil || string(r.Manifest) != p.Candidate {
		t.Errorf("stored is %s, %v", r.Manifest, err)
	}
	if v, err := b.store.VerifyAudit(ctx); err != nil || v.Broken != 0 {
		t.Errorf("%+v, %v", v, err)
	}
	if _, err := b.desk.Rehearse(ctx, p.ID, proposal.RehearseOptions{}); !errors.Is(err, proposal.ErrDecided) {
		t.Errorf("rehearsing what is decided: %v", err)
	}
}

func TestBaseDeletedMustBeRehearsedAgain(t *testing.T) {
	ctx := context.Background()
	b := newBench(t, source.Store, shopPolicy)
	p := propose(t, b)
	if err := b.store.DeleteResource(ctx, store.Key{Kind: p.Base.Kind, Namespace: p.Base.Namespace, Name: p.Base.Name}, store.PutOptions{Author: "ada"}); err != nil {
		t.Fatal(err)
	}
	if _, err := b.desk.Accept(ctx, p.ID, "grace"); !errors.Is(err, proposal.ErrBaseChanged) {
		t.Fatalf("error is %v", err)
	}
	p, err := b.desk.Rehearse(ctx, p.ID, proposal.RehearseOptions{})
	if err != nil || p.Base.Revision != 0 || strings.Contains(p.Candidate, "mode: block") {
		t.Fatalf("%+v, %v", p, err)
	}
	if got, err := b.desk.Accept(ctx, p.ID, "grace"); err != nil || !got.Written || got.Revision != 3 {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestFileOwnedIsPatchedByItsOwner(t *testing.T) {
	ctx := context.Background()
	b := newBench(t, source.File, shopPolicy)
	p := propose(t, b)
	got, err := b.desk.Accept(ctx, p.ID, "grace")
	if err != nil || got.Written || got.File != "resources.yaml" || !strings.Contains(got.Patch, "+++ resources.yaml") || got.Proposal.State != proposal.Proposed {
		t.Fatalf("%+v, %v", got, err)
	}
	if stored, err := b.store.Resources(ctx, ""); err != nil || len(stored) != 0 {
		t.Errorf("something was written: %+v, %v", stored, err)
	}
	b.files[len(b.files)-1] = items(t, source.File, p.Candidate)[0] // the owner edits the file
	got, err = b.desk.Accept(ctx, p.ID, "grace")
	if err != nil || got.Written || got.Patch != "" || got.Proposal.State != proposal.Accepted {
		t.Fatalf("%+v, %v", got, err)
	}
}

func TestUngovernedRouteGetsAPolicyOfItsOwn(t *testing.T) {
	ctx := context.Background()
	flags := strings.Replace(shopPolicy, "name: shop", "name: waf", 1)
	b := newBench(t, source.Flags, flags)
	p := propose(t, b)
	if p.Base.String() != "WAFPolicy default/shop-exclusions" || p.Base.Revision != 0 || !strings.Contains(p.Candidate, "kind: HTTPRoute") || !strings.HasPrefix(p.Patch, "--- before/") {
		t.Fatalf("%+v\n%s", p.Base, p.Candidate)
	}
	if p.Evidence.Replay.Passed != 1 {
		t.Errorf("%+v", p.Evidence.Replay)
	}
	got, err := b.desk.Accept(ctx, p.ID, "grace")
	if err != nil || !got.Written || got.Revision != 1 {
		t.Fatalf("%+v, %v", got, err)
	}
	events := b.live("n1.a", get(injection), get("/x"+injection))
	if len(events) != 1 || events[0].Decision != filters.Denied || events[0].Path != "/x/search" {
		t.Errorf("events are %+v", events)
	}
	// The next one joins the same policy.
	p2, err := b.desk.Propose(ctx, proposal.ProposeOptions{Events: idsOf(events), Author: "ada"})
	if err != nil || p2.Base.String() != p.Base.String() || p2.Base.Revision != 1 {
		t.Errorf("%+v, %v", p2.Base, err)
	}
}

func TestDecisionsRace(t *testing.T) {
	ctx := context.Background()
	b := newBench(t, source.Store, shopPolicy)
	p := propose(t, b)
	var wg sync.WaitGroup
	written := make(chan int64, 8)
	for range 8 {
		wg.Go(func() {
			got, err := b.desk.Accept(ctx, p.ID, "grace")
			if err != nil {
				t.Error(err)
			}
			if got.Written {
				written <- got.Revision
			}
		})
	}
	wg.Wait()
	if len(written) != 1 {
		t.Errorf("written %d times", len(written))
	}
}

// interrupted is a world in which something happens just after it was looked at.
type interrupted struct {
	proposal.World
	happens func()
}

func (i *interrupted) Effective(ctx context.Context, candidate []byte) (map[string]filters.Table, error) {
	tables, err := i.World.Effective(ctx, candidate)
	if happens := i.happens; happens != nil {
		i.happens = nil
		happens()
	}
	return tables, err
}

// A candidate whose target is deleted while it is judged is not written.
func TestAcceptedIsJudgedByWhatItIsWrittenInto(t *testing.T) {
	ctx := context.Background()
	b := newBench(t, source.Store, shopPolicy)
	b.apply("apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: new}\nspec:\n  parentRefs: [{name: web}]\n  rules: [{backendRefs: [{name: shop, port: 80}]}]\n")
	candidate := "apiVersion: gabion.io/v1alpha1\nkind: WAFPolicy\nmetadata: {name: new}\nspec: {targetRefs: [{kind: HTTPRoute, name: new}]}\n"
	body, err := json.Marshal(proposal.Proposal{ID: "p", Kind: proposal.KindExclusion, Base: proposal.Base{Kind: "WAFPolicy", Namespace: "default", Name: "new"}, Candidate: candidate})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.store.PutProposal(ctx, store.Proposal{ID: "p", Kind: proposal.KindExclusion, Target: store.Key{Kind: "WAFPolicy", Namespace: "default", Name: "new"}, Body: body, Author: "ada"}); err != nil {
		t.Fatal(err)
	}
	b.with(func(o *proposal.Options) {
		o.World = &interrupted{o.World, func() {
			if err := b.store.DeleteResource(ctx, store.Key{Kind: "HTTPRoute", Namespace: "default", Name: "new"}, store.PutOptions{Author: "bob"}); err != nil {
				t.Error(err)
			}
		}}
	})
	if got, err := b.desk.Accept(ctx, "p", "grace"); !errors.Is(err, proposal.ErrInvalid) || !strings.Contains(err.Error(), "HTTPRoute default/new does not exist") {
		t.Errorf("%+v, %v", got, err)
	}
	if r, err := b.store.Resource(ctx, store.Key{Kind: "WAFPolicy", Namespace: "default", Name: "new"}); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("written all the same: %+v, %v", r, err)
	}
}

// overtaken is a world in which somebody else always writes first.
type overtaken struct{ proposal.World }

func (overtaken) Judged(_ context.Context, change func(store.Mark) error) error { return change(-1) }

// Who is overtaken again and again is told, and nothing is written.
func TestOvertakenAcceptanceIsNotWritten(t *testing.T) {
	ctx := context.Background()
	b := newBench(t, source.Store, shopPolicy)
	p := propose(t, b)
	b.with(func(o *proposal.Options) { o.World = overtaken{o.World} })
	if got, err := b.desk.Accept(ctx, p.ID, "grace"); !errors.Is(err, proposal.ErrBaseChanged) || got.Written {
		t.Errorf("%+v, %v", got, err)
	}
	if p, err := b.desk.Get(ctx, p.ID); err != nil || p.State != proposal.Proposed {
		t.Errorf("%+v, %v", p, err)
	}
}

func TestRejectedCannotBeAccepted(t *testing.T) {
	ctx := context.Background()
	b := newBench(t, source.Store, shopPolicy)
	p := propose(t, b)
	if _, err := b.desk.Reject(ctx, p.ID, "grace", ""); err != nil {
		t.Fatal(err)
	}
	if _, err := b.desk.Accept(ctx, p.ID, "grace"); !errors.Is(err, proposal.ErrDecided) {
		t.Errorf("error is %v", err)
	}
	list, err := b.desk.List(ctx, proposal.Rejected)
	if err != nil || len(list) != 1 || list[0].State != proposal.Rejected {
		t.Errorf("%+v, %v", list, err)
	}
	if list, err = b.desk.List(ctx, proposal.Proposed); err != nil || len(list) != 0 {
		t.Errorf("%+v, %v", list, err)
	}
}

func TestAskingForTheImpossible(t *testing.T) {
	ctx := context.Background()
	b := newBench(t, source.Store, shopPolicy)
	b.with(func(o *proposal.Options) { o.Budget = 1 })
	limit := filters.Event{ID: "limit", Engine: "chain", Decision: filters.Denied, Policy: "WAFPolicy default/shop", Reason: "request body beyond 10 bytes", Time: b.now}
	allowed := filters.Event{ID: "allowed", Engine: "waf", Decision: filters.Allow, Policy: "WAFPolicy default/shop", Score: 2, Time: b.now}
	lost := filters.Event{ID: "lost", Engine: "waf", Decision: filters.Denied, Score: 5, Matches: []filters.Match{{Rule: 942100, Score: 5, Variable: "ARGS:q", Phase: 2}}, Time: b.now}
	elsewhere := lost
	elsewhere.ID, elsewhere.Policy = "elsewhere", "WAFPolicy default/other"
	if _, err := b.store.AddEvents(ctx, []filters.Event{limit, allowed, lost, elsewhere}); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		events []string
		want   error
	}{
		"no events":      {nil, proposal.ErrNotExcludable},
		"unknown event":  {[]string{"nobody"}, proposal.ErrNotFound},
		"a limit":        {[]string{"limit"}, proposal.ErrNotExcludable},
		"passes already": {[]string{"allowed"}, proposal.ErrNotExcludable},
		"no route":       {[]string{"lost"}, proposal.ErrNotExcludable},
		"two policies":   {[]string{"allowed", "elsewhere"}, proposal.ErrNotExcludable},
		"too many":       {make([]string, 1001), proposal.ErrNotExcludable},
	} {
		if _, err := b.desk.Propose(ctx, proposal.ProposeOptions{Events: c.events, Author: "ada"}); !errors.Is(err, c.want) {
			t.Errorf("%s: error is %v", name, err)
		}
	}
	for name, candidate := range map[string]string{
		"not YAML":       "\x00\t{",
		"no resource":    "",
		"unknown field":  shopPolicy + "  surprise: 1\n",
		"refused rule":   shopPolicy + "  rules: ['Include /etc/passwd']\n",
		"impossible one": shopPolicy + "  exclusions: [{rule: 1, tag: a}]\n",
	} {
		if _, err := b.desk.RehearseCandidate(ctx, []byte(candidate), proposal.RehearseOptions{}); !errors.Is(err, proposal.ErrInvalid) {
			t.Errorf("%s: error is %v", name, err)
		}
	}
	for _, id := range []string{"", "nobody"} {
		if _, err := b.desk.Accept(ctx, id, "ada"); !errors.Is(err, proposal.ErrNotFound) {
			t.Errorf("error is %v", err)
		}
	}
}

func TestNotRecordedIsSaid(t *testing.T) {
	b := newBench(t, source.Store, shopPolicy)
	b.with(func(o *proposal.Options) { o.Recordings = nil })
	p := propose(t, b)
	if p.Evidence.Replay.NotRecorded != 1 || len(p.Evidence.Notes) == 0 || !strings.Contains(p.Evidence.Notes[0], "not recorded") {
		t.Errorf("%+v", p.Evidence)
	}
	if len(p.Exclusions) == 0 || p.Exclusions[0].Target == "" {
		t.Errorf("%+v", p.Exclusions)
	}
}

func TestSeveralEventsInOneProposal(t *testing.T) {
	b := newBench(t, source.Store, shopPolicy)
	b.with(func(o *proposal.Options) { o.Budget = 1 })
	events := b.live("n1.a", get(injection), post("/reviews", "application/json", `{"items":[{"text":"1' or '1'='1' -- "},{"text":"x"},{"text":"1' or '1'='1' -- "}]}`))
	if len(events) != 2 {
		t.Fatalf("%d events", len(events))
	}
	p, err := b.desk.Propose(context.Background(), proposal.ProposeOptions{Events: append(idsOf(events), events[0].ID), Author: "ada"})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%s\n%s%q", p.Title, p.Patch, p.Evidence.Notes)
	if p.Evidence.Covered != 2 || p.Evidence.Replay.Passed != 2 {
		t.Errorf("%+v", p.Evidence)
	}
	for _, x := range p.Exclusions {
		if x.Target == "" || x.Path == "" || x.Method == "" || x.Host == "" {
			t.Errorf("too wide: %+v", x)
		}
	}
}
