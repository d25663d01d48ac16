package inventory

import (
	"context"
	"fmt"
	"time"

	"github.com/gabion-io/gabion/api-discovery"
	"github.com/gabion-io/gabion/controlplane/store"
)

// Report is how a service's declared API and the observed one differ, and what
// weaknesses the traffic shows.
type Report struct {
	Service  string                 `json:"service"`
	Declared string                 `json:"declared,omitempty" doc:"the file it was declared in; absent: nothing is declared"`
	Traffic  uint64                 `json:"exchanges" doc:"of known operations"`
	Since    time.Time              `json:"since,omitzero" doc:"of the first"`
	Drift    []apidiscovery.Drift   `json:"drift"`
	Findings []apidiscovery.Finding `json:"findings"`
	Problems []string               `json:"problems,omitempty" doc:"parts of the declared document that were left out"`
}

// Report compares what is declared with what is observed of a service. It is
// shared: readers must not change it.
func (in *Inventory) Report(ctx context.Context, service string) (Report, error) {
	in.see(ctx)
	in.turn.Lock()
	defer in.turn.Unlock()
	declared, isDeclared := in.Declaration(service)
	c := in.conclude(service)
	switch {
	case c == nil && !isDeclared:
		return Report{}, fmt.Errorf("service %q: %w", service, store.ErrNotFound)
	case c == nil:
		return in.report(declared, isDeclared, apidiscovery.Spec{}, service), nil
	case c.report == nil:
		r := in.report(declared, isDeclared, c.spec, service)
		c.report = &r
	}
	return *c.report, nil
}

func (in *Inventory) report(declared Declared, isDeclared bool, observed apidiscovery.Spec, service string) Report {
	r := Report{Service: service, Since: observed.From, Drift: []apidiscovery.Drift{}, Findings: []apidiscovery.Finding{}}
	for _, o := range observed.Operations {
		r.Traffic += o.Traffic.Count
	}
	if in.o.Documents == nil {
		return r
	}
	r.Findings = append(r.Findings, in.o.Documents.Findings(observed)...)
	if !isDeclared || declared.Broken != "" {
		return r
	}
	r.Declared, r.Problems = declared.Name, declared.Problems
	observed.Service = service
	r.Drift = append(r.Drift, in.o.Documents.Compare(declared.Spec, observed)...)
	return r
}

// Document writes a service's observed API as OpenAPI 3.1.
func (in *Inventory) Document(ctx context.Context, service string, json bool) ([]byte, error) {
	spec, err := in.Spec(ctx, service)
	if err != nil {
		return nil, err
	}
	return in.render(spec, json)
}

func (in *Inventory) render(spec apidiscovery.Spec, json bool) ([]byte, error) {
	if in.o.Documents == nil {
		return nil, fmt.Errorf("%w: this control plane writes no documents", ErrInvalid)
	}
	if len(spec.Operations) == 0 {
		return nil, fmt.Errorf("operations of %q: %w: only what was answered with success is one", spec.Service, store.ErrNotFound)
	}
	return in.o.Documents.Render(spec, json)
}

// Revise keeps what is observed of a service now as a revision, if it says
// something new.
func (in *Inventory) Revise(ctx context.Context, service, reason string) (o store.ObservedAPI, added bool, err error) {
	body, err := in.Document(ctx, service, false)
	if err != nil {
		return o, false, err
	}
	return in.o.Store.AddObserved(ctx, store.ObservedAPI{Service: service, Reason: reason, Body: body})
}

// reviseDaily keeps a revision of each service that has none of today.
func (in *Inventory) reviseDaily(ctx context.Context) error {
	if in.o.Documents == nil {
		return nil
	}
	today := in.o.Now().UTC().Format(time.DateOnly)
	for _, s := range in.Specs(ctx) {
		if len(s.Operations) == 0 || in.revised[s.Service] == today {
			continue
		}
		if _, _, err := in.Revise(ctx, s.Service, "daily"); err != nil {
			return err
		}
		in.revised[s.Service] = today
	}
	return nil
}

// Revisions lists the revisions of a service's observed API, newest first.
func (in *Inventory) Revisions(ctx context.Context, service string) ([]store.ObservedAPI, error) {
	return in.o.Store.Observed(ctx, service)
}

// Changes says what changed from one revision of a service to another; revision 0
// is what is observed now.
func (in *Inventory) Changes(ctx context.Context, service string, from, to int64) ([]apidiscovery.Change, error) {
	if in.o.Documents == nil {
		return nil, fmt.Errorf("%w: this control plane compares no documents", ErrInvalid)
	}
	before, err := in.at(ctx, service, from)
	if err != nil {
		return nil, err
	}
	after, err := in.at(ctx, service, to)
	if err != nil {
		return nil, err
	}
	return in.o.Documents.Changes(before, after)
}

func (in *Inventory) at(ctx context.Context, service string, revision int64) ([]byte, error) {
	if revision == 0 {
		return in.Document(ctx, service, false)
	}
	o, err := in.o.Store.ObservedAt(ctx, service, revision)
	return o.Body, err
}
