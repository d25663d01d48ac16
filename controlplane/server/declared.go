package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/gabion-io/gabion/api-discovery"
	"github.com/gabion-io/gabion/controlplane/inventory"
	"github.com/gabion-io/gabion/controlplane/store"
)

// Declaration is what a service is declared to have.
type Declaration struct {
	Service    string    `json:"service"`
	Name       string    `json:"name" doc:"of the file it came from"`
	Operations int       `json:"operations"`
	Deprecated int       `json:"deprecated" doc:"of them, declared deprecated"`
	Problems   []string  `json:"problems,omitempty" doc:"parts of the document that were left out"`
	Changed    bool      `json:"changed" doc:"false: it was declared like this before"`
	Author     string    `json:"author,omitempty"`
	Time       time.Time `json:"time,omitzero"`
}

// Decision is what a person decides about templates.
type Decision struct {
	Service  string   `json:"service,omitempty" maxLength:"512" doc:"absent: every service"`
	Action   string   `json:"action" enum:"pin,merge,split,rename"`
	Template string   `json:"template" minLength:"1" maxLength:"2048" example:"/top/{kind}"`
	Value    string   `json:"value,omitempty" maxLength:"256" doc:"with split: the word in the last hole that is a template of its own"`
	Names    []string `json:"names,omitempty" maxItems:"32" doc:"with rename: what the holes are called, from left to right"`
	Reason   string   `json:"reason,omitempty" maxLength:"1024"`
}

// DecisionList lists decisions, oldest first.
type DecisionList struct {
	Items []store.StoredOverride `json:"items"`
}

// RevisionsOfAPI lists what a service was observed to have, newest first.
type RevisionsOfAPI struct {
	Items []store.ObservedAPI `json:"items"`
}

// ChangeList lists what changed, what breaks callers first.
type ChangeList struct {
	Items []apidiscovery.Change `json:"items"`
}

func (a *api) declaredOperations() {
	route(a, operation{id: "import-api", method: http.MethodPut, path: "/apis/declared", tag: "apis", role: store.RoleEditor,
		summary: "Declare the API of a service: OpenAPI, Swagger, protobuf descriptors or a GraphQL schema"}, a.importAPI)
	route(a, operation{id: "remove-declared", method: http.MethodDelete, path: "/apis/declared", tag: "apis", role: store.RoleEditor, status: http.StatusNoContent,
		summary: "Take a declaration back"}, a.removeDeclared)
	route(a, operation{id: "list-api-revisions", method: http.MethodGet, path: "/apis/revisions", tag: "apis", role: store.RoleViewer,
		summary: "List the revisions of the observed API of a service"}, a.listAPIRevisions)
	route(a, operation{id: "keep-api-revision", method: http.MethodPost, path: "/apis/revisions", tag: "apis", role: store.RoleEditor,
		summary: "Keep what is observed now as a revision, if it says something new"}, a.keepAPIRevision)
	route(a, operation{id: "list-api-changes", method: http.MethodGet, path: "/apis/changes", tag: "apis", role: store.RoleViewer,
		summary: "Say what changed between two revisions, and what breaks callers"}, a.listAPIChanges)
	route(a, operation{id: "list-decisions", method: http.MethodGet, path: "/apis/decisions", tag: "apis", role: store.RoleViewer,
		summary: "List what persons decided about templates"}, a.listDecisions)
	route(a, operation{id: "decide-template", method: http.MethodPost, path: "/apis/decisions", tag: "apis", role: store.RoleEditor, status: http.StatusCreated,
		summary: "Pin, merge, split or rename a template"}, a.decideTemplate)
	route(a, operation{id: "undo-decision", method: http.MethodDelete, path: "/apis/decisions/{id}", tag: "apis", role: store.RoleEditor, status: http.StatusNoContent,
		summary: "Take a decision back"}, a.undoDecision)
}

type importInput struct {
	ServiceName
	Name    string `query:"name" maxLength:"255" doc:"of the file: what it ends in may say what is inside"`
	RawBody []byte `contentType:"application/octet-stream"`
}

// importAPI takes a service that was never called: a declaration may come first.
func (a *api) importAPI(ctx context.Context, i *importInput) (*bodyOf[Declaration], error) {
	in, err := a.known()
	if err != nil {
		return nil, err
	}
	name, err := a.serviceOrNew(ctx, in, i.Service)
	if err != nil {
		return nil, err
	}
	if len(i.RawBody) == 0 {
		return nil, fmt.Errorf("the document is empty: %w", ErrInvalid)
	}
	d, changed, err := in.Declare(ctx, store.DeclaredAPI{Service: name, Name: i.Name, Body: i.RawBody, Author: caller(ctx).Name})
	if err != nil {
		return nil, err
	}
	return &bodyOf[Declaration]{Declaration{Service: name, Name: d.Name, Operations: len(d.Spec.Operations), Deprecated: len(d.Spec.Deprecated),
		Problems: d.Problems, Changed: changed, Author: caller(ctx).Name, Time: a.Now()}}, nil
}

func (a *api) removeDeclared(ctx context.Context, s *ServiceName) (*struct{}, error) {
	in, name, err := a.knownService(ctx, s.Service)
	if err != nil {
		return nil, err
	}
	_, _, err = in.Declare(ctx, store.DeclaredAPI{Service: name, Author: caller(ctx).Name})
	return nil, err
}

func (a *api) listAPIRevisions(ctx context.Context, s *ServiceName) (*bodyOf[RevisionsOfAPI], error) {
	in, name, err := a.knownService(ctx, s.Service)
	if err != nil {
		return nil, err
	}
	list, err := in.Revisions(ctx, name)
	return &bodyOf[RevisionsOfAPI]{RevisionsOfAPI{orEmpty(list)}}, err
}

func (a *api) keepAPIRevision(ctx context.Context, s *ServiceName) (*bodyOf[store.ObservedAPI], error) {
	in, name, err := a.knownService(ctx, s.Service)
	if err != nil {
		return nil, err
	}
	o, added, err := in.Revise(ctx, name, caller(ctx).Name)
	if err == nil && added {
		a.note(ctx, "api revise", "API "+name, fmt.Sprintf("revision %d", o.Revision))
	}
	return &bodyOf[store.ObservedAPI]{o}, err
}

type changesInput struct {
	ServiceName
	From int64 `query:"from" required:"true" minimum:"0" doc:"revision; 0: what is observed now"`
	To   int64 `query:"to" minimum:"0" doc:"revision; 0 or absent: what is observed now"`
}

func (a *api) listAPIChanges(ctx context.Context, c *changesInput) (*bodyOf[ChangeList], error) {
	in, name, err := a.knownService(ctx, c.Service)
	if err != nil {
		return nil, err
	}
	list, err := in.Changes(ctx, name, c.From, c.To)
	return &bodyOf[ChangeList]{ChangeList{orEmpty(list)}}, err
}

func (a *api) listDecisions(context.Context, *struct{}) (*bodyOf[DecisionList], error) {
	in, err := a.known()
	if err != nil {
		return nil, err
	}
	return &bodyOf[DecisionList]{DecisionList{in.Overrides()}}, nil
}

func (a *api) decideTemplate(ctx context.Context, d *bodyOf[Decision]) (*bodyOf[store.StoredOverride], error) {
	in, err := a.known()
	if err != nil {
		return nil, err
	}
	o, err := d.Body.override()
	if err != nil {
		return nil, err
	}
	if o.Service != "" {
		if o.Service, err = a.service(ctx, in, o.Service); err != nil {
			return nil, err
		}
	}
	o.Author = caller(ctx).Name
	stored, err := in.Decide(ctx, o)
	return &bodyOf[store.StoredOverride]{stored}, err
}

// override checks a decision: one that can do nothing is refused.
func (d Decision) override() (apidiscovery.Override, error) {
	t, err := apidiscovery.ParsePathTemplate(d.Template)
	if err != nil {
		return apidiscovery.Override{}, fmt.Errorf("%w: %w", err, ErrInvalid)
	}
	o := apidiscovery.Override{Service: d.Service, Action: d.Action, Template: t, Value: d.Value, Names: d.Names, Reason: d.Reason}
	holes := len(t.Names())
	switch {
	case d.Action != apidiscovery.OverridePin && holes == 0:
		err = fmt.Errorf("template %q has no hole to %s", d.Template, d.Action)
	case (d.Action == apidiscovery.OverrideSplit) != (d.Value != ""):
		err = fmt.Errorf("a value belongs to split, and split needs one")
	case (d.Action == apidiscovery.OverrideRename) != (len(d.Names) > 0):
		err = fmt.Errorf("names belong to rename, and rename needs them")
	case len(d.Names) > 0 && len(d.Names) != holes:
		err = fmt.Errorf("template %q has %d holes, and %d names are given", d.Template, holes, len(d.Names))
	}
	if err == nil && len(d.Names) > 0 {
		err = checkNames(d.Names)
	}
	if err != nil {
		return o, fmt.Errorf("%w: %w", err, ErrInvalid)
	}
	return o, nil
}

// checkNames: the names of a template's holes are told apart and fit into braces.
func checkNames(names []string) error {
	text := ""
	for _, n := range names {
		text += "/{" + n + "}"
	}
	t, err := apidiscovery.ParsePathTemplate(text)
	if err == nil && len(t.Names()) != len(names) {
		err = fmt.Errorf("names %q cannot stand in a template", names)
	}
	return err
}

type decisionPath struct {
	ID int64 `path:"id" minimum:"1"`
}

func (a *api) undoDecision(ctx context.Context, d *decisionPath) (*struct{}, error) {
	in, err := a.known()
	if err != nil {
		return nil, err
	}
	return nil, in.Undo(ctx, d.ID, caller(ctx).Name)
}

// serviceOrNew is service, for what may name one that is not known yet.
func (a *api) serviceOrNew(ctx context.Context, in *inventory.Inventory, name string) (string, error) {
	known, err := a.service(ctx, in, name)
	if errors.Is(err, ErrNotFound) {
		return name, nil
	}
	return known, err
}
