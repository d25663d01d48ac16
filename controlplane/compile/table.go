package compile

import (
	"encoding/json"
	"slices"

	"github.com/gabion-io/gabion/controlplane/api/v1alpha1"
	"github.com/gabion-io/gabion/controlplane/ir"
	"github.com/gabion-io/gabion/filters"
)

// tableBuilder fills the filter's table of one ir.Listener.
type tableBuilder struct {
	table  filters.Table
	causes map[ir.Ref]bool
	places map[string]place // by key
	shared map[*route]bool  // routes that several listeners of the socket serve
}

func (c *compiler) newTable(name string, s *socket) *tableBuilder {
	seen, shared := map[*route]bool{}, map[*route]bool{}
	for _, l := range s.listeners {
		for _, a := range l.routes {
			shared[a.route] = seen[a.route]
			seen[a.route] = true
		}
	}
	return &tableBuilder{
		shared: shared,
		table: filters.Table{
			Listener: name,
			Bindings: map[string]filters.Binding{},
			Policies: map[string]filters.Policy{},
			Unknown:  filters.FailOpen,
			Spool:    c.o.Spool,
			Learn:    c.o.Learn,
			MemLimit: c.memLimit(),
		},
		causes: map[ir.Ref]bool{},
		places: map[string]place{},
	}
}

// bind gives a route's rule its key on a listener. A rule that several listeners
// of one socket serve has a key for each, since policies can tell them apart.
func (c *compiler) bind(t *tableBuilder, l *gatewayListener, r *route, u rule) string {
	key := r.id() + "/" + u.name
	if t.shared[r] {
		key += "@" + l.name()
	}
	if _, done := t.table.Bindings[key]; done {
		return key
	}
	at := place{
		namespace: r.key.Namespace, gateway: l.key(), listener: string(l.spec.Name),
		services: u.services, route: r.key, rule: u.name,
	}
	t.places[key] = at
	binding := filters.Binding{Route: r.key.Namespace + "/" + r.key.Name, Rule: u.name}
	m := c.effectiveWAF(at)
	c.waf.use(m.stack)
	policy, governed := filters.Policy{Mode: filters.ModeOff}, false
	if len(m.stack) > 0 {
		binding.Source = m.stack[len(m.stack)-1].policy.key.String()
		name := t.table.Listener + " " + key
		if p, ok := c.shipped(name, m); ok {
			policy, governed = p, true
			c.good[name] = p
		}
		for _, g := range m.stack {
			t.causes[refOf(g.policy.key)] = true
		}
	}
	api := c.bindAPI(t, key, at, &binding, &policy)
	if governed || policy.API != nil {
		binding.Policy = filters.PolicyID(policy)
		t.table.Policies[binding.Policy] = policy
	}
	c.bound = append(c.bound, boundRule{listener: l.name(), key: key, route: r.key, rule: u.name, waf: m, api: api})
	t.table.Bindings[key] = binding
	return key
}

// unknownKey says what a key means that the table does not hold: what the
// policies of the Gateway say of failures.
func (c *compiler) unknownKey(t *tableBuilder, listeners []*gatewayListener) {
	for _, l := range listeners {
		m := c.effectiveWAF(place{namespace: l.gateway.Namespace, gateway: l.key(), listener: string(l.spec.Name)})
		if len(m.stack) > 0 && *m.spec.Mode != "off" && *m.spec.FailureMode == "closed" {
			t.table.Unknown = filters.FailClosed
		}
		api := c.effectiveAPI(place{namespace: l.gateway.Namespace, gateway: l.key(), listener: string(l.spec.Name)})
		if len(api.stack) > 0 && *api.spec.Mode != "off" && *api.spec.FailureMode == "closed" {
			t.table.Unknown = filters.FailClosed
		}
	}
}

// finish renders the table.
func (t *tableBuilder) finish() (json.RawMessage, []ir.Ref) {
	text, err := json.Marshal(t.table)
	if err != nil {
		panic(err) // plain data
	}
	var causes []ir.Ref
	for ref := range t.causes {
		causes = append(causes, ref)
	}
	slices.SortFunc(causes, func(a, b ir.Ref) int { return keyOf(a).Compare(keyOf(b)) })
	return text, causes
}

func refOf(k v1alpha1.Key) ir.Ref { return ir.Ref{Kind: k.Kind, Namespace: k.Namespace, Name: k.Name} }
func keyOf(r ir.Ref) v1alpha1.Key {
	return v1alpha1.Key{Kind: r.Kind, Namespace: r.Namespace, Name: r.Name}
}
