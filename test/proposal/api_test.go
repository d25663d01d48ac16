package proposal_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/gabion-io/gabion/api-discovery"
	"github.com/gabion-io/gabion/controlplane/proposal"
	"github.com/gabion-io/gabion/controlplane/source"
	"github.com/gabion-io/gabion/controlplane/store"
	"github.com/gabion-io/gabion/filters"
)

// known is an inventory of one service.
type known struct{ observed, declared *apidiscovery.Spec }

func (k known) Observed(context.Context, string) (apidiscovery.Spec, error) {
	if k.observed == nil {
		return apidiscovery.Spec{}, store.ErrNotFound
	}
	return *k.observed, nil
}

func (k known) Declared(string) (apidiscovery.Spec, bool) {
	if k.declared == nil {
		return apidiscovery.Spec{}, false
	}
	return *k.declared, true
}

// learnedShop is what was seen of the shop: one operation often, one rarely.
func learnedShop() *apidiscovery.Spec {
	operation := func(method, path string, count uint64) apidiscovery.Operation {
		o := apidiscovery.Operation{OperationKey: apidiscovery.OperationKey{Service: "default/shop", Protocol: apidiscovery.REST, Method: method, Template: apidiscovery.MustPathTemplate(path)}}
		o.ID, o.Traffic.Count = o.OperationKey.ID(), count
		return o
	}
	text := func(count uint64) *apidiscovery.Schema {
		return &apidiscovery.Schema{Types: []string{"string"}, Count: count}
	}
	order := operation("POST", "/orders/{orderId}", 500)
	order.Params = []apidiscovery.Param{
		{In: "path", Name: "orderId", Required: true, Count: 500, Schema: &apidiscovery.Schema{Types: []string{"integer"}, Count: 500}},
		{In: "query", Name: "express", Count: 4, Schema: &apidiscovery.Schema{Types: []string{"boolean"}, Count: 4}},
		{In: "header", Name: "x-once", Count: 1, Schema: text(1)},
	}
	order.Request = []apidiscovery.Body{{MediaType: "application/json", Required: true, Count: 500, Inspected: 300, Schema: &apidiscovery.Schema{Types: []string{"object"}, Count: 300, Properties: []apidiscovery.Property{
		{Name: "sku", Required: true, Count: 300, Schema: text(300)},
		{Name: "kind", Required: true, Count: 300, Schema: &apidiscovery.Schema{Types: []string{"string"}, Enum: []string{"a", "b"}, Count: 300}},
		{Name: "note", Count: 5, Schema: text(5)},
		{Name: "quantity", Count: 250, Schema: &apidiscovery.Schema{Types: []string{"integer"}, Count: 250}},
	}}}}
	order.Responses = []apidiscovery.Response{{Status: 201, Count: 500}} // nothing is asked of them
	return &apidiscovery.Spec{Service: "default/shop", Operations: []apidiscovery.Operation{order, operation("GET", "/rare", 1)}}
}

// An APIPolicy is made of what was learned, carefully; it is rehearsed on what was
// recorded, and accepting it writes the resource that then judges.
func TestAPIProposal(t *testing.T) {
	ctx := context.Background()
	b := newBench(t, source.Store, strings.Replace(shopPolicy, "mode: block", "mode: detect", 1))
	b.with(func(o *proposal.Options) { o.APIs = known{observed: learnedShop()} })
	good, bad := post("/orders/7", "application/json", `{"sku":"rope","kind":"c","note":5}`), post("/orders/7", "application/json", `{"kind":"a","quantity":"many"}`)
	if events := b.live("n1.a", good, bad); len(events) != 0 {
		t.Fatalf("events are %+v", events)
	}
	p, err := b.desk.ProposeAPI(ctx, proposal.APIOptions{Service: "default/shop", Author: "ada"})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"kind: APIPolicy", "mode: detect", "unknownOperations: detect", "kind: Service", "path: /orders/{orderId}", "- sku\n", "type: integer"} {
		if !strings.Contains(p.Candidate, want) {
			t.Errorf("the candidate lacks %q", want)
		}
	}
	for _, no := range []string{"/rare", "enum", "- note\n", "format", "responses"} {
		if strings.Contains(p.Candidate, no) {
			t.Errorf("the candidate has %q", no)
		}
	}
	asks := map[string]string{}
	for _, f := range p.API.Operations[0].Fields {
		asks[f.Where] = f.Asks
	}
	for where, want := range map[string]string{
		"path orderId": "integer", "query express": "nothing: seen 4 times, 20 are needed", "application/json /sku": "required, string",
		"application/json /note": "nothing: seen 5 times, 20 are needed", "application/json /quantity": "integer",
	} {
		if asks[where] != want {
			t.Errorf("of %s is asked %q, want %q", where, asks[where], want)
		}
	}
	if o := p.API.Operations[1]; !strings.Contains(o.LeftOut, "seen 1 times") || p.API.Operations[0].Unseen == 0 || p.API.Unseen == 0 {
		t.Errorf("evidence is %+v", p.API)
	}
	r := p.Rehearsal
	if r == nil || r.Judged != 2 || r.NewlyBlocked != 1 || r.Enforced.NewlyDenied != 0 || len(r.Blocked) != 1 {
		t.Fatalf("rehearsal is %+v", r)
	}
	if want := []string{"body /quantity is a string, not an integer", "body /sku is missing"}; !slices.Equal(r.Blocked[0].Rules, want) {
		t.Errorf("blocked for %q", r.Blocked[0].Rules)
	}
	if again, err := b.desk.ProposeAPI(ctx, proposal.APIOptions{Service: "default/shop", Author: "ada"}); err != nil || again.ID != p.ID {
		t.Errorf("asked again: %s, %v", again.ID, err)
	}
	got, err := b.desk.Accept(ctx, p.ID, "grace")
	if err != nil || !got.Written || got.Revision != 1 {
		t.Fatalf("%+v, %v", got, err)
	}
	events := b.live("n1.a", good, bad)
	if len(events) != 1 || events[0].Decision != filters.Detect || events[0].API == nil || events[0].WouldBe != 400 {
		t.Errorf("events are %+v", events)
	}
	stored, err := b.store.Events(ctx, store.EventQuery{API: true})
	if err != nil || len(stored) != 1 {
		t.Errorf("stored are %+v, %v", stored, err)
	}
}

// A proposal of one operation joins the policy there is, and is written anew when
// that changed.
func TestAPIProposalJoinsThePolicy(t *testing.T) {
	ctx := context.Background()
	const mine = `apiVersion: gabion.io/v1alpha1
kind: APIPolicy
metadata: {name: shop, namespace: default}
spec:
  mode: block
  targetRefs: [{kind: Service, name: shop}]
  operations:
  - {method: GET, path: /mine}
  - {method: POST, path: "/orders/{number}", mode: detect}
`
	b := newBench(t, source.Store, shopPolicy)
	b.apply(mine)
	learned := learnedShop()
	b.with(func(o *proposal.Options) { o.APIs = known{observed: learned} })
	p, err := b.desk.ProposeAPI(ctx, proposal.APIOptions{Service: "default/shop", Operation: learned.Operations[0].ID, Author: "ada"})
	if err != nil || p.Base.Revision != 1 {
		t.Fatalf("%+v, %v", p.Base, err)
	}
	hold := func(text string) {
		t.Helper()
		for _, want := range []string{"mode: block", "path: /mine", "path: /orders/{orderId}", "mode: detect"} {
			if !strings.Contains(text, want) {
				t.Errorf("the candidate lacks %q:\n%s", want, text)
			}
		}
		if strings.Contains(text, "{number}") {
			t.Errorf("the operation is there twice:\n%s", text)
		}
	}
	hold(p.Candidate)
	b.apply(mine + "  - {method: GET, path: /later}\n")
	if _, err := b.desk.Accept(ctx, p.ID, "grace"); !errors.Is(err, proposal.ErrBaseChanged) {
		t.Fatalf("error is %v", err)
	}
	p, err = b.desk.Rehearse(ctx, p.ID, proposal.RehearseOptions{})
	if err != nil {
		t.Fatal(err)
	}
	hold(p.Candidate)
	if !strings.Contains(p.Candidate, "/later") {
		t.Errorf("the change is lost:\n%s", p.Candidate)
	}
	if got, err := b.desk.Accept(ctx, p.ID, "grace"); err != nil || got.Revision != 3 {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestAPIProposalSaysWhyNot(t *testing.T) {
	ctx := context.Background()
	b := newBench(t, source.Store, shopPolicy)
	for i, c := range []struct {
		apis proposal.APIs
		o    proposal.APIOptions
		want string
	}{
		{nil, proposal.APIOptions{Service: "default/shop"}, "no inventory"},
		{known{}, proposal.APIOptions{Service: "default/shop"}, "not found"},
		{known{}, proposal.APIOptions{Service: "default/shop", Declared: true}, "gabion api import"},
		{known{}, proposal.APIOptions{Service: "default/none"}, "no Service default/none"},
		{known{observed: learnedShop()}, proposal.APIOptions{Service: "shop"}, "namespace/name"},
		{known{observed: learnedShop()}, proposal.APIOptions{Service: "default/shop", Operation: learnedShop().Operations[1].ID}, "seen 1 times: at least 20"},
	} {
		b.with(func(o *proposal.Options) { o.APIs = c.apis })
		if _, err := b.desk.ProposeAPI(ctx, c.o); err == nil || !errors.Is(err, proposal.ErrNoAPI) || !strings.Contains(fmt.Sprint(err), c.want) {
			t.Errorf("%d: %v", i, err)
		}
	}
}

// What is declared of responses is in the policy, and told of what a service answers
// otherwise; the rehearsal calls nothing blocked for it.
func TestAPIProposalOfResponses(t *testing.T) {
	ctx := context.Background()
	b := newBench(t, source.Store, strings.Replace(shopPolicy, "mode: block", "mode: detect", 1))
	declared := learnedShop()
	declared.Declared, declared.Source = true, "shop.yaml"
	declared.Operations = declared.Operations[:1]
	object := &apidiscovery.Schema{Types: []string{"object"}, Properties: []apidiscovery.Property{{Name: "id", Required: true, Schema: &apidiscovery.Schema{Types: []string{"integer"}}}}}
	o := &declared.Operations[0]
	o.Params, o.Request = o.Params[:1], nil
	o.Responses = []apidiscovery.Response{{Status: 201, Bodies: []apidiscovery.Body{{MediaType: "application/json", Schema: object}}}, {Status: 4}, {}}
	b.with(func(o *proposal.Options) { o.APIs = known{observed: learnedShop(), declared: declared} })
	fits, other := post("/orders/7", "application/json", "{}"), post("/orders/8", "application/json", "{}")
	fits.answer, other.answer = `{"id":1}`, `{"id":"secret"}`
	b.live("n1.a", fits, other)
	p, err := b.desk.ProposeAPI(ctx, proposal.APIOptions{Service: "default/shop", Declared: true, Author: "ada"})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`status: "201"`, "status: 4XX", "status: default", "contentType: application/json", "- id\n"} {
		if !strings.Contains(p.Candidate, want) {
			t.Errorf("the candidate lacks %q:\n%s", want, p.Candidate)
		}
	}
	if fields := p.API.Operations[0].Fields; !slices.ContainsFunc(fields, func(f proposal.FieldEvidence) bool {
		return f.Where == "201 application/json /id" && f.Asks == "required, integer"
	}) {
		t.Errorf("fields are %+v", fields)
	}
	if r := p.Rehearsal; r == nil || r.Judged != 2 || r.NewlyBlocked != 0 {
		t.Errorf("rehearsal is %+v", r)
	}
	if _, err := b.desk.Accept(ctx, p.ID, "grace"); err != nil {
		t.Fatal(err)
	}
	events := b.live("n1.a", fits, other)
	if len(events) != 1 || events[0].Decision != filters.Allow || events[0].API == nil || events[0].API.Violations[0].String() != "response /id is a string, not an integer" {
		t.Errorf("events are %+v", events)
	}
}
