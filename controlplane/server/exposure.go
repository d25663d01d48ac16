package server

import (
	"slices"
	"strings"

	"github.com/gabion-io/gabion/api-discovery"
	"github.com/gabion-io/gabion/controlplane/ir"
)

// Exposure says from where an operation can be reached.
type Exposure string

const (
	// Outside: a listener of a Gateway has a route to it.
	Outside Exposure = "outside"
	// Inside: none has; only workloads can call it.
	Inside Exposure = "inside"
)

// exposure knows which listeners lead to which operations, by the configuration in
// force. What nobody called yet counts as what was called.
type exposure struct{ listeners []ir.Listener }

// exposure reads the configuration; one that knows nothing while there is none.
func (a *api) exposure() exposure {
	state := a.Live.State()
	if state == nil || state.Compiled.IR == nil {
		return exposure{}
	}
	return exposure{state.Compiled.IR.Listeners}
}

// of lists the listeners that lead to an operation.
func (e exposure) of(o apidiscovery.OperationKey) []string {
	out := []string{}
	path := filled(o.Template)
	for _, l := range e.listeners {
		found := false
		for _, c := range l.Chains {
			for _, h := range c.VirtualHosts {
				found = found || leadsTo(h.Routes, path, o.Method, o.Service)
			}
		}
		if found && !slices.Contains(out, l.Name) {
			out = append(out, l.Name)
		}
	}
	return out
}

// filled is a path that has the template.
func filled(t apidiscovery.PathTemplate) string {
	var b strings.Builder
	for rest := t.String(); ; {
		before, after, found := strings.Cut(rest, "{")
		b.WriteString(before)
		if !found {
			return b.String()
		}
		b.WriteString("x")
		_, rest, _ = strings.Cut(after, "}")
	}
}

// leadsTo follows routes in their order. One that asks for headers or parameters
// takes some of the requests and leaves the others to the next.
func leadsTo(routes []ir.Route, path, method, service string) bool {
	for _, r := range routes {
		m := r.Match
		whole := len(m.Headers) == 0 && len(m.Query) == 0
		m.Headers, m.Query = nil, nil
		if !matches(m, path, method) {
			continue
		}
		for _, b := range r.Backends {
			if i := strings.LastIndexByte(b.Cluster, ':'); i > 0 && b.Cluster[:i] == service {
				return true
			}
		}
		if whole {
			return false
		}
	}
	return false
}

// fits says whether what leads to an operation is what was asked for.
func (x Exposure) fits(listeners []string) bool {
	switch x {
	case Outside:
		return len(listeners) > 0
	case Inside:
		return len(listeners) == 0
	}
	return true
}
