package proposal

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gabion-io/gabion/api-discovery"
	"github.com/gabion-io/gabion/controlplane/api/v1alpha1"
	"github.com/gabion-io/gabion/controlplane/store"
)

// KindAPI is a proposal of what requests of a service's operations look like.
const KindAPI = "api"

// ErrNoAPI: nothing is known from which an APIPolicy could be made.
var ErrNoAPI = errors.New("no APIPolicy can be made")

// APIs is what is known of services' APIs.
type APIs interface {
	// Observed is what was learned; ErrNotFound when the service was never called.
	Observed(ctx context.Context, service string) (apidiscovery.Spec, error)
	// Declared is what was imported; false when nothing was.
	Declared(service string) (apidiscovery.Spec, bool)
}

// APIOptions say what an APIPolicy is to be made of.
type APIOptions struct {
	Service   string // "default/shop"
	Operation string // id; empty: all of the service
	Declared  bool   // from what is declared, not from what was learned
	Author    string
	Progress  Progress
	DryRun    bool // make it, do not store it
}

// ProposeAPI makes an APIPolicy of a service, or adds one operation to it, and
// rehearses it: nothing is shown that was not tried on what was recorded.
func (d *Desk) ProposeAPI(ctx context.Context, o APIOptions) (Proposal, error) {
	if d.o.APIs == nil {
		return Proposal{}, fmt.Errorf("%w: there is no inventory of operations", ErrNoAPI)
	}
	made, err := d.draftAPI(ctx, o)
	if err != nil {
		return Proposal{}, err
	}
	base, text, err := d.current(ctx, made.base())
	if err != nil {
		return Proposal{}, err
	}
	if base.Origin == "flags" {
		return Proposal{}, fmt.Errorf("%w: %s stands for flags of 'gabion up'", ErrNoAPI, base)
	}
	candidate, err := made.policy(text)
	if err != nil {
		return Proposal{}, err
	}
	p := Proposal{ID: d.o.NewID(), Kind: KindAPI, State: Proposed, Created: d.o.Now().UTC(), Author: o.Author, Base: base,
		Candidate: string(candidate), Patch: home{base: base, text: text}.patch(candidate), Title: made.title(), API: &made.evidence}
	p.Evidence.Supplied, p.Evidence.Events = made.supplied(), []string{}
	p.Evidence.First, p.Evidence.Last = made.evidence.From, made.evidence.To
	r, err := d.RehearseCandidate(ctx, candidate, RehearseOptions{Progress: o.Progress})
	if err != nil {
		return Proposal{}, err
	}
	r.Base = base
	p.Rehearsal = &r
	if o.DryRun {
		return p, nil
	}
	// Asked again, the answer of today takes the place of the one of before.
	open, err := d.List(ctx, Proposed)
	if err != nil {
		return Proposal{}, err
	}
	for _, old := range open {
		if old.Kind == KindAPI && old.Base.key() == base.key() && old.API != nil && p.API.same(old.API) {
			p.ID, p.Created = old.ID, old.Created
		}
	}
	return d.put(ctx, p)
}

// same: both are about the same operations of the same source.
func (e *APIEvidence) same(o *APIEvidence) bool {
	return e.Source == o.Source && (len(e.Operations) == 1) == (len(o.Operations) == 1) &&
		(len(e.Operations) != 1 || e.Operations[0].Operation == o.Operations[0].Operation)
}

// apiDraft is an APIPolicy in the making.
type apiDraft struct {
	namespace, name string // of the service, and of the policy
	only            string // the one operation it is about; empty: the whole service
	evidence        APIEvidence
}

func (d *Desk) draftAPI(ctx context.Context, o APIOptions) (apiDraft, error) {
	namespace, name, ok := strings.Cut(o.Service, "/")
	if !ok {
		return apiDraft{}, fmt.Errorf("%w: %q is no Service: policies attach to one by namespace/name", ErrNoAPI, o.Service)
	}
	if _, err := d.o.World.Resource(ctx, store.Key{Kind: v1alpha1.KindService, Namespace: namespace, Name: name}); err != nil {
		return apiDraft{}, fmt.Errorf("%w: there is no Service %s that a policy could attach to: %w", ErrNoAPI, o.Service, err)
	}
	out := apiDraft{namespace: namespace, name: name}
	spec, rules := apidiscovery.Spec{}, learnedRules()
	if o.Declared {
		var known bool
		if spec, known = d.o.APIs.Declared(o.Service); !known {
			return out, fmt.Errorf("%w: nothing is declared of %s: see 'gabion api import'", ErrNoAPI, o.Service)
		}
		rules = declaredRules()
	} else {
		var err error
		if spec, err = d.o.APIs.Observed(ctx, o.Service); err != nil {
			return out, fmt.Errorf("%w: %w", ErrNoAPI, err)
		}
	}
	if o.Operation != "" {
		spec.Operations = slices.DeleteFunc(slices.Clone(spec.Operations), func(p apidiscovery.Operation) bool { return p.ID != o.Operation })
	}
	out.evidence = rules.describe(spec)
	if o.Operation != "" && len(out.evidence.Operations) > 0 {
		out.only = out.evidence.Operations[0].Operation
	}
	if len(out.evidence.adds) == 0 {
		why := "no operation is known"
		for _, op := range out.evidence.Operations {
			why = op.Operation + ": " + op.LeftOut
		}
		return out, fmt.Errorf("%w of %s: %s", ErrNoAPI, o.Service, why)
	}
	return out, nil
}

func (m apiDraft) base() Base {
	return Base{Kind: v1alpha1.KindAPIPolicy, Namespace: m.namespace, Name: m.name}
}

// policy is the candidate: a new policy of the service, or the one there is with
// the operations in place of those it has of them.
func (m apiDraft) policy(text []byte) ([]byte, error) { return withOperations(text, m) }

func withOperations(text []byte, m apiDraft) ([]byte, error) {
	if text == nil {
		p := &v1alpha1.APIPolicy{
			TypeMeta:   metav1.TypeMeta{APIVersion: v1alpha1.APIVersion, Kind: v1alpha1.KindAPIPolicy},
			ObjectMeta: metav1.ObjectMeta{Name: m.name, Namespace: m.namespace},
		}
		mode, unknown := "detect", "detect"
		p.Spec.Mode = &mode
		if m.only == "" {
			p.Spec.UnknownOperations = &unknown
		}
		p.Spec.TargetRefs = []v1alpha1.TargetRef{{Kind: v1alpha1.KindService, Name: m.name}}
		p.Spec.Operations = m.evidence.adds
		return v1alpha1.Encode(p)
	}
	objects, problems := v1alpha1.Decode("policy", text)
	if len(problems) > 0 {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, problems[0])
	}
	p, ok := objects[0].(*v1alpha1.APIPolicy)
	if !ok || len(objects) != 1 {
		return nil, fmt.Errorf("%w: it is no APIPolicy", ErrInvalid)
	}
	for _, add := range m.evidence.adds {
		same := func(o v1alpha1.APIOperation) bool {
			return o.Method == add.Method && canonical(o.Path) == canonical(add.Path)
		}
		if i := slices.IndexFunc(p.Spec.Operations, same); i >= 0 {
			add.Mode, add.UnknownParameters = p.Spec.Operations[i].Mode, p.Spec.Operations[i].UnknownParameters
			p.Spec.Operations[i] = add
			continue
		}
		p.Spec.Operations = append(p.Spec.Operations, add)
	}
	return v1alpha1.Encode(p)
}

func canonical(path string) string {
	t, err := apidiscovery.ParsePathTemplate(path)
	if err != nil {
		return path
	}
	return t.Canonical()
}

func (m apiDraft) title() string {
	if m.only != "" {
		return fmt.Sprintf("hold %s of %s/%s to what its requests look like", m.only, m.namespace, m.name)
	}
	return fmt.Sprintf("hold %s of %s/%s to what their requests look like", count(len(m.evidence.adds), "operation"), m.namespace, m.name)
}

func (m apiDraft) supplied() string {
	if m.evidence.Source == "declared" {
		return "declared in " + m.evidence.Document
	}
	return fmt.Sprintf("learned from %s", count(int(m.evidence.Exchanges), "exchange"))
}

// rebaseAPI writes the candidate anew on the resource as it stands.
func (d *Desk) rebaseAPI(p Proposal, base Base, text []byte) (Proposal, error) {
	m := apiDraft{namespace: base.Namespace, name: base.Name}
	was, problems := v1alpha1.Decode("candidate", []byte(p.Candidate))
	if len(problems) > 0 || len(was) != 1 {
		return p, fmt.Errorf("read the candidate of proposal %s: %w", p.ID, ErrInvalid)
	}
	policy, ok := was[0].(*v1alpha1.APIPolicy)
	if !ok || p.API == nil {
		return p, fmt.Errorf("read the candidate of proposal %s: %w", p.ID, ErrInvalid)
	}
	if policy.Spec.UnknownOperations == nil && len(p.API.Operations) == 1 {
		m.only = p.API.Operations[0].Operation
	}
	for _, o := range policy.Spec.Operations { // of the candidate, those it was made for
		if slices.ContainsFunc(p.API.Operations, func(e APIOperationEvidence) bool { return e.LeftOut == "" && e.Operation == o.Method+" "+o.Path }) {
			m.evidence.adds = append(m.evidence.adds, o)
		}
	}
	candidate, err := m.policy(text)
	if err != nil {
		return p, fmt.Errorf("write proposal %s on %s of today: %w", p.ID, base, err)
	}
	p.Base, p.Candidate = base, string(candidate)
	p.Patch = home{base: base, text: text}.patch(candidate)
	return p, nil
}
