package server

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/gabion-io/gabion/api-discovery"
	"github.com/gabion-io/gabion/controlplane/inventory"
	"github.com/gabion-io/gabion/controlplane/store"
)

// Service is an API that was called or declared.
type Service struct {
	Name       string               `json:"name" example:"default/shop"`
	Operations int                  `json:"operations" doc:"that really exist"`
	Exchanges  uint64               `json:"exchanges" doc:"of known operations"`
	First      time.Time            `json:"first,omitzero"`
	Last       time.Time            `json:"last,omitzero"`
	Declared   string               `json:"declared,omitempty" doc:"the file it was declared in; absent: nothing is declared"`
	Broken     string               `json:"broken,omitempty" doc:"why the declaration cannot be read"`
	Drift      map[string]int       `json:"drift,omitempty" doc:"how many of each kind"`
	Findings   int                  `json:"findings"`
	Aside      []apidiscovery.Aside `json:"aside,omitempty" doc:"exchanges that are no operation, and why"`
}

// ServiceList lists what was called or declared.
type ServiceList struct {
	Items []Service `json:"items"`
}

// OperationSummary is one thing that a service does.
type OperationSummary struct {
	ID string `json:"id"`
	apidiscovery.OperationKey
	Exchanges  uint64                   `json:"exchanges"`
	Errors     uint64                   `json:"errors" doc:"answered with 5xx"`
	Auth       []string                 `json:"auth" doc:"how callers said who they are, most used first"`
	Callers    uint64                   `json:"callers" doc:"distinct, estimated"`
	Sensitive  []string                 `json:"sensitive" doc:"kinds of data found, sorted"`
	Drift      []apidiscovery.DriftKind `json:"drift" doc:"how it differs from what is declared"`
	First      time.Time                `json:"first,omitzero"`
	Last       time.Time                `json:"last,omitzero"`
	Confidence float64                  `json:"confidence" doc:"that the template is right, between 0 and 1"`
	Listeners  []string                 `json:"listeners" doc:"that lead to it from outside; none: only workloads can call it"`
}

// OperationList lists operations, by service, path and method.
type OperationList struct {
	Items []OperationSummary `json:"items"`
	Now   time.Time          `json:"now"`
}

// OperationDetail is all that is known of one operation.
type OperationDetail struct {
	apidiscovery.Operation
	Sensitive []SensitivePlace       `json:"sensitive" doc:"kinds of data, and where they are"`
	Drift     []apidiscovery.Drift   `json:"drift" doc:"how it differs from what is declared"`
	Findings  []apidiscovery.Finding `json:"findings" doc:"weaknesses that traffic shows"`
	Listeners []string               `json:"listeners" doc:"that lead to it from outside; none: only workloads can call it"`
}

// SensitivePlace is a place that carries sensitive data.
type SensitivePlace struct {
	Where string   `json:"where" example:"200 application/json /customer/email"`
	Kinds []string `json:"kinds"`
}

func (a *api) inventoryOperations() {
	route(a, operation{id: "list-apis", method: http.MethodGet, path: "/apis", tag: "apis", role: store.RoleViewer,
		summary: "List the services that were called or declared"}, a.listAPIs)
	route(a, operation{id: "list-operations", method: http.MethodGet, path: "/operations", tag: "apis", role: store.RoleViewer,
		summary: "List the operations that really exist"}, a.listOperations)
	route(a, operation{id: "get-operation", method: http.MethodGet, path: "/operations/{id}", tag: "apis", role: store.RoleViewer,
		summary: "Get all that is known of one operation"}, a.getOperation)
	route(a, operation{id: "export-api", method: http.MethodGet, path: "/apis/document", tag: "apis", role: store.RoleViewer,
		summary: "Write the observed API of a service as OpenAPI 3.1"}, a.exportAPI)
	route(a, operation{id: "report-drift", method: http.MethodGet, path: "/apis/drift", tag: "apis", role: store.RoleViewer,
		summary: "Compare what is declared with what is observed of a service"}, a.reportDrift)
}

// known is the inventory, or a clear no where there is none.
func (a *api) known() (*inventory.Inventory, error) {
	if a.Inventory == nil {
		return nil, fmt.Errorf("the inventory of operations is %w", ErrDisabled)
	}
	return a.Inventory, nil
}

// ServiceName names a service in a query: in full, or without its namespace when
// that is clear.
type ServiceName struct {
	Service string `query:"service" required:"true" minLength:"1" maxLength:"512" doc:"namespace/name, or the name alone"`
}

// service finds the service that a name means.
func (a *api) service(ctx context.Context, in *inventory.Inventory, name string) (string, error) {
	var like []string
	names := in.Declarations()
	for _, s := range in.Specs(ctx) {
		names = append(names, s.Service)
	}
	slices.Sort(names)
	for _, n := range slices.Compact(names) {
		if n == name {
			return n, nil
		}
		if strings.HasSuffix(n, "/"+name) {
			like = append(like, n)
		}
	}
	switch len(like) {
	case 0:
		return "", fmt.Errorf("service %q: %w", name, ErrNotFound)
	case 1:
		return like[0], nil
	}
	return "", huma.Error409Conflict(fmt.Sprintf("service %q may be %s: give all of its name", name, strings.Join(like, " or ")))
}

// knownService is the inventory and the service of it that a name means.
func (a *api) knownService(ctx context.Context, given string) (in *inventory.Inventory, name string, err error) {
	if in, err = a.known(); err == nil {
		name, err = a.service(ctx, in, given)
	}
	return in, name, err
}

func (a *api) listAPIs(ctx context.Context, _ *struct{}) (*bodyOf[ServiceList], error) {
	in, err := a.known()
	if err != nil {
		return nil, err
	}
	list := map[string]Service{}
	for _, name := range in.Declarations() {
		list[name] = Service{Name: name}
	}
	for _, s := range in.Specs(ctx) {
		one := Service{Name: s.Service, Operations: len(s.Operations), First: s.From, Last: s.To, Aside: s.Aside}
		for _, o := range s.Operations {
			one.Exchanges += o.Traffic.Count
		}
		list[s.Service] = one
	}
	out := ServiceList{Items: []Service{}}
	for name, s := range list {
		r, err := in.Report(ctx, name)
		if err != nil {
			return nil, err
		}
		d, _ := in.Declaration(name)
		s.Declared, s.Broken, s.Findings = d.Name, d.Broken, len(r.Findings)
		for _, x := range r.Drift {
			if s.Drift == nil {
				s.Drift = map[string]int{}
			}
			s.Drift[string(x.Kind)]++
		}
		out.Items = append(out.Items, s)
	}
	slices.SortFunc(out.Items, func(a, b Service) int { return strings.Compare(a.Name, b.Name) })
	return &bodyOf[ServiceList]{out}, nil
}

// OperationFilter narrows operations.
type OperationFilter struct {
	Service   string                 `query:"service" maxLength:"512" doc:"namespace/name, or the name alone"`
	Method    string                 `query:"method" maxLength:"32"`
	Auth      string                 `query:"auth" enum:"none,basic,bearer,digest,apiKey,cookie,mtls,unknown" doc:"called so at least once"`
	Sensitive string                 `query:"sensitive" maxLength:"64" doc:"a kind of data, or any"`
	Drift     apidiscovery.DriftKind `query:"drift" enum:"shadow,zombie,orphan,mismatch"`
	Exposure  Exposure               `query:"exposure" enum:"outside,inside" doc:"outside: a listener leads to it; inside: none does"`
	Since     time.Time              `query:"since" doc:"first called at this time or later"`
	Idle      time.Time              `query:"idle" doc:"last called before this time"`
}

func (a *api) listOperations(ctx context.Context, f *OperationFilter) (*bodyOf[OperationList], error) {
	in, err := a.known()
	if err != nil {
		return nil, err
	}
	only := ""
	if f.Service != "" {
		if only, err = a.service(ctx, in, f.Service); err != nil {
			return nil, err
		}
	}
	out, reach := OperationList{Items: []OperationSummary{}, Now: a.Now()}, a.exposure()
	names := in.Declarations()
	specs := map[string]apidiscovery.Spec{}
	for _, s := range in.Specs(ctx) {
		specs[s.Service] = s
		names = append(names, s.Service)
	}
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		if only != "" && name != only {
			continue
		}
		r, err := in.Report(ctx, name)
		if err != nil {
			return nil, err
		}
		out.Items = append(out.Items, f.among(specs[name], r, reach)...)
	}
	return &bodyOf[OperationList]{out}, nil
}

// among picks the operations of a service that the filter is for. Orphans are
// operations that are declared only: they are there when they are asked for.
func (f *OperationFilter) among(s apidiscovery.Spec, r inventory.Report, reach exposure) (list []OperationSummary) {
	if f.Drift == apidiscovery.Orphan {
		for _, d := range r.Drift {
			if d.Kind == apidiscovery.Orphan {
				o := OperationSummary{ID: d.ID, OperationKey: d.OperationKey, Auth: []string{}, Sensitive: []string{}, Drift: []apidiscovery.DriftKind{d.Kind}, Listeners: reach.of(d.OperationKey)}
				if f.Exposure.fits(o.Listeners) {
					list = append(list, o)
				}
			}
		}
		return list
	}
	drift := map[string][]apidiscovery.DriftKind{}
	for _, d := range r.Drift {
		if !slices.Contains(drift[d.ID], d.Kind) {
			drift[d.ID] = append(drift[d.ID], d.Kind)
		}
	}
	for i := range s.Operations {
		o := summary(&s.Operations[i], drift[s.Operations[i].ID])
		o.Listeners = reach.of(o.OperationKey)
		if f.fits(&o) && f.Exposure.fits(o.Listeners) {
			list = append(list, o)
		}
	}
	return list
}

func (f *OperationFilter) fits(o *OperationSummary) bool {
	return (f.Method == "" || strings.EqualFold(f.Method, o.Method)) &&
		(f.Auth == "" || slices.ContainsFunc(o.Auth, func(a string) bool { kind, _, _ := strings.Cut(a, " "); return kind == f.Auth })) &&
		(f.Sensitive == "" || f.Sensitive == "any" && len(o.Sensitive) > 0 || slices.Contains(o.Sensitive, f.Sensitive)) &&
		(f.Drift == "" || slices.Contains(o.Drift, f.Drift)) &&
		(f.Since.IsZero() || !o.First.Before(f.Since)) &&
		(f.Idle.IsZero() || o.Last.Before(f.Idle))
}

func summary(o *apidiscovery.Operation, drift []apidiscovery.DriftKind) OperationSummary {
	s := OperationSummary{ID: o.ID, OperationKey: o.OperationKey, Exchanges: o.Traffic.Count, Errors: o.Traffic.Errors, Callers: o.Callers.Distinct,
		First: o.Traffic.First, Last: o.Traffic.Last, Confidence: o.Evidence.Confidence, Auth: []string{}, Sensitive: []string{}, Drift: orEmpty(drift)}
	for _, x := range o.Auth {
		s.Auth = append(s.Auth, strings.TrimSpace(x.Kind+" "+x.Name))
	}
	for _, p := range sensitivePlaces(o) {
		s.Sensitive = append(s.Sensitive, p.Kinds...)
	}
	slices.Sort(s.Sensitive)
	s.Sensitive = slices.Compact(s.Sensitive)
	return s
}

// sensitivePlaces are the places of an operation that carry sensitive data, in
// the order of the operation.
func sensitivePlaces(o *apidiscovery.Operation) []SensitivePlace {
	list := []SensitivePlace{}
	look := func(where string, s *apidiscovery.Schema) {
		s.Walk(func(below string, s *apidiscovery.Schema) {
			if len(s.Sensitive) > 0 {
				list = append(list, SensitivePlace{strings.TrimSpace(where + " " + below), s.Sensitive})
			}
		})
	}
	for _, p := range o.Params {
		look(p.In+" "+p.Name, p.Schema)
	}
	for _, b := range o.Request {
		look("request "+b.MediaType, b.Schema)
	}
	for _, r := range o.Responses {
		for _, b := range r.Bodies {
			look(fmt.Sprintf("%d %s", r.Status, b.MediaType), b.Schema)
		}
	}
	return list
}

// OperationPath names an operation in a path.
type OperationPath struct {
	ID string `path:"id" minLength:"4" maxLength:"32" pattern:"^[0-9a-v]+$" doc:"or an unambiguous beginning of it"`
}

func (a *api) getOperation(ctx context.Context, p *OperationPath) (*bodyOf[OperationDetail], error) {
	in, err := a.known()
	if err != nil {
		return nil, err
	}
	var found []apidiscovery.Operation
	for _, s := range in.Specs(ctx) {
		for _, o := range s.Operations {
			if strings.HasPrefix(o.ID, p.ID) {
				found = append(found, o)
			}
		}
	}
	switch len(found) {
	case 0:
		return nil, fmt.Errorf("operation %s: %w", p.ID, ErrNotFound)
	case 1:
	default:
		return nil, huma.Error409Conflict(fmt.Sprintf("%d operations begin with %s; give more of the id", len(found), p.ID))
	}
	r, err := in.Report(ctx, found[0].Service)
	if err != nil {
		return nil, err
	}
	out := OperationDetail{Operation: found[0], Sensitive: sensitivePlaces(&found[0]), Drift: []apidiscovery.Drift{}, Findings: []apidiscovery.Finding{},
		Listeners: a.exposure().of(found[0].OperationKey)}
	for _, d := range r.Drift {
		if d.ID == out.ID {
			out.Drift = append(out.Drift, d)
		}
	}
	for _, f := range r.Findings {
		if f.ID == out.ID {
			out.Findings = append(out.Findings, f)
		}
	}
	return &bodyOf[OperationDetail]{out}, nil
}

type documentInput struct {
	ServiceName
	Format string `query:"format" enum:"yaml,json" default:"yaml"`
}

type documentOutput struct {
	ContentType string `header:"Content-Type"`
	Body        []byte
}

func (a *api) exportAPI(ctx context.Context, d *documentInput) (*documentOutput, error) {
	in, name, err := a.knownService(ctx, d.Service)
	if err != nil {
		return nil, err
	}
	body, err := in.Document(ctx, name, d.Format == "json")
	if err != nil {
		return nil, err
	}
	return &documentOutput{"application/openapi+" + d.Format, body}, nil
}

func (a *api) reportDrift(ctx context.Context, s *ServiceName) (*bodyOf[inventory.Report], error) {
	in, name, err := a.knownService(ctx, s.Service)
	if err != nil {
		return nil, err
	}
	r, err := in.Report(ctx, name)
	return &bodyOf[inventory.Report]{r}, err
}
