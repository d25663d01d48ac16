package segment

import (
	"encoding/json"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"github.com/gabion-io/gabion/controlplane/ir"
	"github.com/gabion-io/gabion/segmentation"
	"github.com/gabion-io/gabion/workload"
)

// Routed lists the endpoints that routes of the proxies lead to.
func Routed(in *ir.IR) map[netip.AddrPort]bool {
	out := map[netip.AddrPort]bool{}
	clusters := endpointsOf(in)
	eachRoute(in, func(r *ir.Route) {
		for _, name := range clustersOf(r) {
			for _, at := range clusters[name] {
				out[at] = true
			}
		}
	})
	return out
}

// clustersOf are all that get a route's requests, mirrors too.
func clustersOf(r *ir.Route) (out []string) {
	for _, b := range r.Backends {
		out = append(out, b.Cluster)
	}
	for _, m := range r.Mirrors {
		out = append(out, m.Cluster)
	}
	return out
}

// WithAccess is the intent with what HTTP rules say of each route: its requests are
// judged as those of whoever connects to the proxy, to the workloads that the route
// leads to. Where no HTTP rule is about a workload's port, the proxy judges nothing:
// what may connect there is the network's to say. What it was given stays as it is.
func WithAccess(in *ir.IR, compiled Result) *ir.IR {
	j := &judge{result: compiled, at: map[netip.Addr]*workload.Workload{}, known: map[netip.AddrPort]*ir.Access{}, clusters: endpointsOf(in)}
	if !slices.ContainsFunc(compiled.Policies, usesHTTP) {
		return in
	}
	for _, w := range compiled.Workloads {
		for _, a := range w.Addresses {
			j.at[a.Unmap()] = w
		}
	}
	out := *in
	out.Listeners = slices.Clone(in.Listeners)
	for l := range out.Listeners {
		chains := slices.Clone(out.Listeners[l].Chains)
		for c := range chains {
			chains[c].VirtualHosts = slices.Clone(chains[c].VirtualHosts)
			for h := range chains[c].VirtualHosts {
				host := &chains[c].VirtualHosts[h]
				host.Routes = slices.Clone(host.Routes)
				for i := range host.Routes {
					host.Routes[i].Access = j.route(&host.Routes[i])
				}
			}
		}
		out.Listeners[l].Chains = chains
	}
	return &out
}

func eachRoute(in *ir.IR, visit func(*ir.Route)) {
	for l := range in.Listeners {
		for c := range in.Listeners[l].Chains {
			for h := range in.Listeners[l].Chains[c].VirtualHosts {
				routes := in.Listeners[l].Chains[c].VirtualHosts[h].Routes
				for i := range routes {
					visit(&routes[i])
				}
			}
		}
	}
}

// endpointsOf are the addresses of each cluster; those that a name stands for are
// nobody's.
func endpointsOf(in *ir.IR) map[string][]netip.AddrPort {
	out := map[string][]netip.AddrPort{}
	for i := range in.Clusters {
		for _, e := range in.Clusters[i].Endpoints {
			if a, err := netip.ParseAddr(e.Address); err == nil && e.Port <= 65535 {
				out[in.Clusters[i].Name] = append(out[in.Clusters[i].Name], netip.AddrPortFrom(a.Unmap(), uint16(e.Port)))
			}
		}
	}
	return out
}

// usesHTTP says whether a policy that counts tells requests of ingress apart.
func usesHTTP(p segmentation.Policy) bool {
	return p.Mode >= segmentation.Audit && slices.ContainsFunc(p.Ingress.List, func(r segmentation.Rule) bool { return len(r.HTTP) > 0 })
}

// judge says what may be sent where.
type judge struct {
	result   Result
	at       map[netip.Addr]*workload.Workload
	clusters map[string][]netip.AddrPort
	known    map[netip.AddrPort]*ir.Access
}

// route joins what is said of all the workloads that a route may lead to: a request
// must be allowed at each, because the proxy chooses one after it was judged.
func (j *judge) route(r *ir.Route) *ir.Access {
	var enforced, audited []ir.Condition
	for _, name := range clustersOf(r) {
		for _, at := range j.clusters[name] {
			a := j.endpoint(at)
			if a == nil {
				continue
			}
			if a.Enforced != nil {
				enforced = append(enforced, *a.Enforced)
			}
			if a.Audited != nil {
				audited = append(audited, *a.Audited)
			}
		}
	}
	if len(enforced) == 0 && len(audited) == 0 {
		return nil
	}
	out := &ir.Access{}
	if len(enforced) > 0 {
		c := all(enforced)
		out.Enforced = &c
	}
	if len(audited) > 0 {
		c := all(audited)
		out.Audited = &c
	}
	return out
}

// endpoint is nil where nothing tells requests apart.
func (j *judge) endpoint(at netip.AddrPort) *ir.Access {
	if a, known := j.known[at]; known {
		return a
	}
	var out *ir.Access
	if w := j.at[at.Addr()]; w != nil {
		out = j.workload(w, at.Port())
	}
	j.known[at] = out
	return out
}

func (j *judge) workload(w *workload.Workload, port uint16) *ir.Access {
	var enforced, all []*segmentation.Policy
	for i := range j.result.Policies {
		p := &j.result.Policies[i]
		if p.Mode < segmentation.Audit || !p.Ingress.Governed || !p.Subject.Matches(w.Identity()) {
			continue
		}
		all = append(all, p)
		if p.Mode == segmentation.Enforce {
			enforced = append(enforced, p)
		}
	}
	out := &ir.Access{Enforced: j.passes(enforced, w, port)}
	if len(all) > len(enforced) {
		out.Audited = j.passes(all, w, port)
	}
	if out.Enforced == nil && out.Audited == nil {
		return nil
	}
	return out
}

// passes is what some policies let through to a port together; nil where none of
// them tells requests apart.
func (j *judge) passes(policies []*segmentation.Policy, w *workload.Workload, port uint16) *ir.Condition {
	var allow, deny []ir.Condition
	tells := false
	for _, p := range policies {
		for i := range p.Ingress.List {
			r := &p.Ingress.List[i]
			if !reaches(r, w, port) {
				continue
			}
			tells = tells || len(r.HTTP) > 0
			if r.Deny {
				deny = append(deny, j.rule(r))
			} else {
				allow = append(allow, j.rule(r))
			}
		}
	}
	if !tells {
		return nil
	}
	out := anyOf(allow)
	if len(deny) > 0 {
		denied := anyOf(deny)
		out = all([]ir.Condition{out, {Not: &denied}})
	}
	return &out
}

// reaches says whether a rule is about TCP connections to a port of a workload.
func reaches(r *segmentation.Rule, w *workload.Workload, port uint16) bool {
	if len(r.Ports) == 0 {
		return true
	}
	for _, p := range r.Ports {
		for _, on := range p.On(w) {
			if (on.Protocol == segmentation.AnyProtocol || on.Protocol == segmentation.TCP) && on.From <= port && port <= on.To {
				return true
			}
		}
	}
	return false
}

func (j *judge) rule(r *segmentation.Rule) ir.Condition {
	var parts []ir.Condition
	if len(r.Peers) > 0 {
		parts = append(parts, j.peers(r.Peers))
	}
	if len(r.HTTP) > 0 {
		var requests []ir.Condition
		for i := range r.HTTP {
			requests = append(requests, request(&r.HTTP[i], r.Deny))
		}
		parts = append(parts, anyOf(requests))
	}
	return all(parts)
}

// peers is who connects to the proxy, by address. Names mean nobody who comes in.
func (j *judge) peers(list []segmentation.Peer) ir.Condition {
	var each []ir.Condition
	var plain []netip.Prefix
	for i := range list {
		switch p := &list[i]; {
		case p.Workloads != nil:
			for _, w := range j.result.Workloads {
				if !p.Workloads.Matches(w.Identity()) {
					continue
				}
				for _, a := range w.Addresses {
					plain = append(plain, netip.PrefixFrom(a.Unmap(), a.Unmap().BitLen()))
				}
			}
		case p.CIDR != nil && len(p.CIDR.Except) == 0:
			plain = append(plain, p.CIDR.Prefix)
		case p.CIDR != nil:
			each = append(each, all([]ir.Condition{
				{Peers: []netip.Prefix{p.CIDR.Prefix}}, {Not: &ir.Condition{Peers: p.CIDR.Except}},
			}))
		}
	}
	if len(plain) > 0 {
		slices.SortFunc(plain, netip.Prefix.Compare)
		each = append(each, ir.Condition{Peers: slices.Compact(plain)})
	}
	return anyOf(each)
}

// hidden are the paths of segmentation.HidesSlash.
const hidden = ".*%(2[fF]|5[cC]).*"

func request(h *segmentation.HTTPRule, deny bool) ir.Condition {
	var parts []ir.Condition
	if len(h.Methods) > 0 {
		parts = append(parts, ir.Condition{Methods: h.Methods})
	}
	switch path := (ir.Condition{Path: pattern(h.Path)}); {
	case h.Path == "":
	case !h.Path.TellsApart():
		parts = append(parts, path)
	case deny:
		parts = append(parts, anyOf([]ir.Condition{path, {Path: hidden}}))
	default:
		parts = append(parts, path, ir.Condition{Not: &ir.Condition{Path: hidden}})
	}
	if len(h.Callers) > 0 {
		parts = append(parts, ir.Condition{Callers: h.Callers})
	}
	return all(parts)
}

// pattern says a template as a regular expression.
func pattern(t segmentation.PathTemplate) string {
	parts := strings.Split(string(t), "/")
	var b strings.Builder
	for i, p := range parts {
		if p == "**" && i == len(parts)-1 {
			b.WriteString("(/.*)?")
			break
		}
		if i > 0 {
			b.WriteString("/")
		}
		if segmentation.IsParameter(p) {
			b.WriteString("[^/]+")
		} else {
			b.WriteString(regexp.QuoteMeta(p))
		}
	}
	return b.String()
}

// all and anyOf leave out what says nothing new.
func all(list []ir.Condition) ir.Condition {
	list = distinct(list)
	switch len(list) {
	case 0:
		return ir.Condition{}
	case 1:
		return list[0]
	}
	return ir.Condition{All: list}
}

func anyOf(list []ir.Condition) ir.Condition {
	list = distinct(list)
	switch len(list) {
	case 0:
		return ir.Condition{Never: true}
	case 1:
		return list[0]
	}
	return ir.Condition{Any: list}
}

func distinct(list []ir.Condition) (out []ir.Condition) {
	seen := map[string]bool{}
	for _, c := range list {
		text, err := json.Marshal(c)
		if err != nil {
			panic(err) // plain data
		}
		if !seen[string(text)] {
			seen[string(text)] = true
			out = append(out, c)
		}
	}
	return out
}
