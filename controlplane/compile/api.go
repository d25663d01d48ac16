package compile

import (
	"fmt"
	"slices"
	"strings"

	"github.com/gabion-io/gabion/api-discovery"
	"github.com/gabion-io/gabion/controlplane/api/v1alpha1"
	"github.com/gabion-io/gabion/filters"
	wafrules "github.com/gabion-io/gabion/waf-rules"
)

type mergedAPI = mergedPolicy[v1alpha1.APIPolicySpec]

// effectiveAPI merges the APIPolicies of a place.
func (c *compiler) effectiveAPI(at place) mergedAPI {
	m := merge(c, c.api, c.api.stack(at), v1alpha1.APIPolicyDefaults())
	m.spec.FailureMode, m.fields = failureMode(m.spec.FailureMode, *m.spec.Mode, m.fields)
	return m
}

// guard is API protection in the filter's form, with who wrote each operation.
type guard struct {
	filters.API
	from []element
}

// guardOf is the filter's form of an effective APIPolicy. Of two operations with
// one method and template the more specific policy's stays.
func guardOf(m mergedAPI) guard {
	s := m.spec
	g := guard{API: filters.API{
		Mode: filters.Mode(*s.Mode), FailureMode: filters.FailureMode(*s.FailureMode),
		UnknownOperations: filters.Unknown(*s.UnknownOperations), UnknownParameters: filters.Unknown(*s.UnknownParameters),
		BodyLimit: int64(*s.RequestBody.Limit), BodyDepth: *s.RequestBody.JSONDepth,
	}}
	last := map[string]int{}
	for i, o := range s.Operations {
		last[operationKey(o)] = i
	}
	for i, o := range s.Operations {
		if last[operationKey(o)] == i {
			g.Operations = append(g.Operations, operationOf(o))
			g.from = append(g.from, m.origins["operations"][i])
		}
	}
	return g
}

func operationKey(o v1alpha1.APIOperation) string {
	t, err := apidiscovery.ParsePathTemplate(o.Path)
	if err != nil {
		return o.Method + " " + o.Path
	}
	return o.Method + " " + t.Canonical()
}

func operationOf(o v1alpha1.APIOperation) filters.APIOperation {
	out := filters.APIOperation{
		Method: o.Method, Path: o.Path, Mode: filters.Mode(deref(o.Mode)), UnknownParameters: filters.Unknown(deref(o.UnknownParameters)),
	}
	for _, p := range o.Parameters {
		one := filters.APIParameter{In: p.In, Name: p.Name, Required: deref(p.Required), Style: deref(p.Style), Schema: p.Schema.Text()}
		if one.Explode = deref(p.Explode); p.Explode == nil {
			one.Explode = one.Style == "" || one.Style == "form" // as OpenAPI has it
		}
		if p.In == "header" {
			one.Name = strings.ToLower(p.Name)
		}
		out.Parameters = append(out.Parameters, one)
	}
	if o.Body != nil {
		out.Body = &filters.APIRequestBody{Required: deref(o.Body.Required), Content: contentOf(o.Body.Content)}
	}
	for _, r := range o.Responses {
		out.Responses = append(out.Responses, filters.APIResponse{Status: r.Status, Content: contentOf(r.Content)})
	}
	return out
}

func contentOf(list []v1alpha1.APIContent) (out []filters.APIContent) {
	for _, c := range list {
		out = append(out, filters.APIContent{ContentType: c.ContentType, Schema: c.Schema.Text()})
	}
	return out
}

// shippedAPI decides what goes out for one binding, as shipped does for the WAF:
// API protection as merged; where the filter's own compile refuses it, the last good
// one; where there is none, without the operations refused. Nil: nothing.
func (c *compiler) shippedAPI(name string, m mergedAPI) *filters.API {
	g := guardOf(m)
	found := c.check(apiPolicy(g.API))
	if !slices.ContainsFunc(found, fatal) {
		c.tellAPI(m, g, found, "")
		return &g.API
	}
	if last, ok := c.o.Good[name]; ok {
		c.tellAPI(m, g, found, keepsLastGood)
		return last.API
	}
	if reduced := g.without(found); !slices.ContainsFunc(c.check(apiPolicy(reduced)), fatal) {
		c.tellAPI(m, g, found, "; the operation is left out")
		return &reduced
	}
	c.tellAPI(m, g, found, "; no API is protected where the policy governs")
	return nil
}

// apiPolicy is API protection as a policy of its own.
func apiPolicy(a filters.API) filters.Policy { return filters.Policy{Mode: filters.ModeOff, API: &a} }

// without takes the refused operations out.
func (g guard) without(found []wafrules.Problem) filters.API {
	refused := map[int]bool{}
	for _, p := range found {
		if list, i, _, ok := listElement(strings.TrimPrefix(p.Path, "api.")); ok && list == "operations" && p.Fatal {
			refused[i] = true
		}
	}
	out := g.API
	out.Operations = nil
	for i, o := range g.Operations {
		if !refused[i] {
			out.Operations = append(out.Operations, o)
		}
	}
	return out
}

// tellAPI turns problems into conditions on the resources that wrote the parts.
func (c *compiler) tellAPI(m mergedAPI, g guard, found []wafrules.Problem, outcome string) {
	for _, p := range found {
		path := strings.TrimPrefix(p.Path, "api.")
		k, at := m.stack[len(m.stack)-1].policy.key, "spec."+path
		if winner, ok := m.winners[path]; ok {
			k = winner
		}
		if list, i, rest, ok := listElement(path); ok && list == "operations" && i < len(g.from) {
			k, at = g.from[i].policy, fmt.Sprintf("spec.operations[%d]%s", g.from[i].index, rest)
		}
		reason := ReasonInvalid
		switch {
		case !p.Fatal:
			c.rep.bad(k, v1alpha1.Programmed, reasonNoEffect, at, "%s", p.Message)
			continue
		case outcome == keepsLastGood:
			reason = ReasonLastGoodKept
		}
		c.rep.bad(k, v1alpha1.Programmed, reason, at, "%s", p.Message+outcome)
	}
}

// bindAPI adds API protection to what governs a binding.
func (c *compiler) bindAPI(t *tableBuilder, key string, at place, binding *filters.Binding, p *filters.Policy) mergedAPI {
	m := c.effectiveAPI(at)
	c.api.use(m.stack)
	if len(m.stack) == 0 {
		return m
	}
	binding.APISource = m.stack[len(m.stack)-1].policy.key.String()
	name := "api " + t.table.Listener + " " + key
	if p.API = c.shippedAPI(name, m); p.API != nil {
		c.good[name] = apiPolicy(*p.API)
		if p.APIBody() == 0 {
			p.API = nil // all that is off is one policy, whatever else it says
		}
	}
	for _, g := range m.stack {
		t.causes[refOf(g.policy.key)] = true
	}
	return m
}
