// Package compile turns resources into intent: a source.Set into an ir.IR and
// conditions. It is pure and deterministic, and best effort: what is invalid is
// dropped with a condition, the rest ships.
//
// It knows nothing of Envoy (controlplane/xds) and does no input or output.
// The reconciler, the API server and the command line import it.
package compile

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/gabion-io/gabion/controlplane/api/v1alpha1"
	"github.com/gabion-io/gabion/controlplane/ir"
	"github.com/gabion-io/gabion/controlplane/source"
	"github.com/gabion-io/gabion/filters"
	wafrules "github.com/gabion-io/gabion/waf-rules"
)

// Options are what Compile needs beside the resources.
type Options struct {
	RootNamespace string // empty: "default"
	GatewayClass  string // empty: "gabion"; Gateways of another class are left alone, with a condition
	Now           time.Time

	// Check compiles a policy with the filter's own code. It is called once per
	// distinct policy; nil accepts all. It must be a function of the policy.
	Check func(filters.Policy) []wafrules.Problem
	// Good is Result.Good of the compilation before: what keeps shipping where a
	// changed policy fails Check. Nil at first.
	Good map[string]filters.Policy

	Spool     *filters.Spool // for every table
	Learn     *filters.Learn // for every table; nil: nothing is told of operations
	RecordKey []byte         // HPKE X25519 public key; nil: nothing is recorded
	RecordDir string         // spool directory of recordings
}

// Result is everything Compile has to say.
type Result struct {
	IR         *ir.IR
	Conditions []v1alpha1.Condition // by resource, bad ones first
	// Good holds the policy that ships for each "listener key"; give it to the
	// next compilation.
	Good map[string]filters.Policy
	// Next is the next instant at which the result changes by itself (an
	// exclusion or a certificate ends); zero when there is none.
	Next time.Time
}

// Compile turns resources into intent.
func Compile(set source.Set, o Options) Result {
	c := newCompiler(set, o)
	out := c.run()
	return Result{IR: out, Conditions: c.rep.sorted(), Good: c.good, Next: c.next}
}

// compiler holds what one compilation has found so far, in the order of run.
type compiler struct {
	o   Options
	ix  *index
	rep *report

	sockets   []*socket
	listeners []*gatewayListener
	allRoutes []*route
	ruleNames map[[2]string]bool
	clusters  map[string]*ir.Cluster
	secrets   map[string]ir.Secret

	waf              *policies[v1alpha1.WAFPolicySpec]
	api              *policies[v1alpha1.APIPolicySpec]
	listenerPolicies *policies[v1alpha1.ListenerPolicySpec]
	recordings       *policies[v1alpha1.RecordingSpec]

	bound     []boundRule
	idleParts *idleParts
	kept      map[v1alpha1.Key]ir.Recording
	checked   map[string][]wafrules.Problem
	good      map[string]filters.Policy
	next      time.Time
}

func newCompiler(set source.Set, o Options) *compiler {
	o.RootNamespace = cmp.Or(o.RootNamespace, v1alpha1.DefaultNamespace)
	o.GatewayClass = cmp.Or(o.GatewayClass, "gabion")
	return &compiler{
		o: o, ix: newIndex(set), rep: newReport(set.Conditions()),
		ruleNames: map[[2]string]bool{},
		clusters:  map[string]*ir.Cluster{},
		secrets:   map[string]ir.Secret{},
		idleParts: newIdleParts(),
		kept:      map[v1alpha1.Key]ir.Recording{},
		checked:   map[string][]wafrules.Problem{},
		good:      map[string]filters.Policy{},
	}
}

func (c *compiler) run() *ir.IR {
	c.gateways()
	c.routes()
	c.danglingBackendTLS()
	c.attachPolicies()
	out := &ir.IR{Proxy: c.proxy()}
	for _, l := range c.listeners {
		l.options = c.effectiveListener(l)
		c.listenerPolicies.use(l.options.stack)
	}
	for _, s := range c.sockets {
		if l, ok := c.buildListener(s); ok {
			out.Listeners = append(out.Listeners, l)
		}
	}
	slices.SortFunc(out.Listeners, func(a, b ir.Listener) int { return cmp.Compare(a.Name, b.Name) })
	for _, name := range sortedKeys(c.clusters) {
		out.Clusters = append(out.Clusters, *c.clusters[name])
	}
	for _, name := range sortedKeys(c.secrets) {
		out.Secrets = append(out.Secrets, c.secrets[name])
	}
	out.Recording = c.recordingsKept()
	c.idleParts.report(c.rep)
	c.waf.idle(c, "route")
	c.api.idle(c, "route")
	c.listenerPolicies.idle(c, "listener")
	if len(c.o.RecordKey) > 0 {
		c.recordings.idle(c, "route")
	}
	c.praise()
	return out
}

func (c *compiler) attachPolicies() {
	c.waf = newPolicies(c, collect(c, func(p *v1alpha1.WAFPolicy) (*v1alpha1.WAFPolicySpec, v1alpha1.Attachment) {
		return &p.Spec, p.Spec.Attachment
	}), c.ix.workloads())
	c.api = newPolicies(c, collect(c, func(p *v1alpha1.APIPolicy) (*v1alpha1.APIPolicySpec, v1alpha1.Attachment) {
		return &p.Spec, p.Spec.Attachment
	}), c.ix.workloads())
	c.listenerPolicies = newPolicies(c, collect(c, func(p *v1alpha1.ListenerPolicy) (*v1alpha1.ListenerPolicySpec, v1alpha1.Attachment) {
		return &p.Spec, p.Spec.Attachment
	}), c.ix.labelledGateways())
	c.recordings = newPolicies(c, collect(c, func(p *v1alpha1.Recording) (*v1alpha1.RecordingSpec, v1alpha1.Attachment) {
		return &p.Spec, p.Spec.Attachment
	}), c.ix.workloads())
}

// buildListener turns a socket into a listener of the proxy.
func (c *compiler) buildListener(s *socket) (ir.Listener, bool) {
	out := ir.Listener{
		Name: s.listeners[0].name(), Resource: refOf(s.listeners[0].key()),
		Address: s.address, Port: s.port, Options: c.listenerOptions(s),
	}
	if len(s.listeners[0].gateway.Spec.Addresses) > 1 {
		out.Name += "/" + s.address
	}
	t := c.newTable(out.Name, s)
	if !s.listeners[0].https {
		out.Chains = []ir.FilterChain{{Name: "http", VirtualHosts: c.virtualHosts(t, s.listeners)}}
	}
	for _, l := range s.listeners {
		tls, ok := c.terminate(l)
		if tls == nil || !ok {
			continue
		}
		chain := ir.FilterChain{Name: l.name(), TLS: tls, VirtualHosts: c.virtualHosts(t, []*gatewayListener{l})}
		if l.hostname != anyHost {
			chain.ServerNames = []string{l.hostname}
		}
		out.Chains = append(out.Chains, chain)
	}
	c.unknownKey(t, s.listeners)
	c.record(t)
	out.FilterTable, out.FilterCauses = t.finish()
	return out, len(out.Chains) > 0
}

// wake notes an instant at which the result changes by itself.
func (c *compiler) wake(at time.Time) {
	if at.After(c.o.Now) && (c.next.IsZero() || at.Before(c.next)) {
		c.next = at
	}
}

// praise reports what is well, so that silence never has to be read as such.
func (c *compiler) praise() {
	for _, item := range c.ix.set.Items() {
		k := item.Key()
		switch k.Kind {
		case v1alpha1.KindGateway, v1alpha1.KindHTTPRoute, v1alpha1.KindGRPCRoute, v1alpha1.KindBackendTLSPolicy,
			v1alpha1.KindWAFPolicy, v1alpha1.KindAPIPolicy, v1alpha1.KindListenerPolicy, v1alpha1.KindRecording:
			c.rep.good(k, v1alpha1.Accepted, "well-formed")
			c.rep.good(k, v1alpha1.ResolvedRefs, "everything it names exists")
			if !c.rep.isBad(k, v1alpha1.Accepted) && !c.rep.isBad(k, v1alpha1.ResolvedRefs) {
				c.rep.good(k, v1alpha1.Programmed, "all of it is shipped to the proxies")
			}
			c.rep.good(k, v1alpha1.Conflicted, "no other resource claims the same")
		}
	}
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

func deref[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

func compareBy(a, b string, m, n int) int { return cmp.Or(cmp.Compare(a, b), cmp.Compare(m, n)) }
