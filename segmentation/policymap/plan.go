package policymap

import (
	"maps"
	"slices"

	"github.com/gabion-io/gabion/segmentation/bpf"
)

// plan is how to get from one image to another in place: steps of single writes,
// in an order in which every flow is judged either as before or as after, never
// otherwise. Why that holds: the first match settles a flow, and the order of
// keys is total.
//
//   - Keys that are new are written most specific first: the first new key that
//     matches a flow is the one that the new image has for it.
//   - Then values change. A flow whose match stays has one key, which changes at
//     once.
//   - Then keys that are gone are removed, least specific first: the old match
//     of a flow is removed after every other old one that it could fall to.
//
// Lanes say where to look: they grow before the first step and shrink after the
// last, each time with a table of endpoints of its own that is switched to. That a
// lane denies what no key is about comes after all keys, and so may be there while any
// of them is.
type plan struct {
	before  map[uint32]bpf.Endpoint // endpoints to write first
	add     []bpf.RuleKey
	change  []bpf.RuleKey
	rewrite change[bpf.Address]
	retrie  change[bpf.Prefix]
	after   map[uint32]bpf.Endpoint
	gone    []uint32 // endpoints
	remove  []bpf.RuleKey
}

// change is what is new or other in a table, and what is gone.
type change[K comparable] struct{ put, remove []K }

func (c change[K]) empty() bool { return len(c.put)+len(c.remove) == 0 }

func diff[K comparable, V comparable](old, next map[K]V) (c change[K]) {
	for k, v := range next {
		if was, ok := old[k]; !ok || was != v {
			c.put = append(c.put, k)
		}
	}
	for k := range old {
		if _, ok := next[k]; !ok {
			c.remove = append(c.remove, k)
		}
	}
	return c
}

// planFor says how to change in place, and whether that can be done without a
// flow ever seeing a mixture.
func planFor(old, next *Image, most int) (plan, bool) {
	rules := diff(old.Rules, next.Rules)
	p := plan{
		rewrite: diff(old.Addresses, next.Addresses), retrie: diff(old.Prefixes, next.Prefixes), remove: rules.remove,
	}
	for _, k := range rules.put {
		if _, there := old.Rules[k]; there {
			p.change = append(p.change, k)
		} else {
			p.add = append(p.add, k)
		}
	}
	byRank(p.add)
	byRank(p.change)
	byRank(p.remove)
	slices.Reverse(p.remove)
	ends := diff(old.Endpoints, next.Endpoints)
	p.gone = ends.remove
	if len(rules.put)+len(rules.remove) > most {
		return p, false
	}
	p.before, p.after = map[uint32]bpf.Endpoint{}, map[uint32]bpf.Endpoint{}
	for _, i := range ends.put {
		was, there := old.Endpoints[i]
		if there && (was.Subject != next.Endpoints[i].Subject || was.Workload != next.Endpoints[i].Workload) {
			return p, false // its rules and its lanes would change at two moments
		}
		if wide := widest(was, next.Endpoints[i]); there && wide != was {
			p.before[i] = wide
		}
		p.after[i] = next.Endpoints[i]
	}
	if p.rewrite.empty() && p.retrie.empty() {
		return p, true
	}
	return p, p.unseen(old, next)
}

// unseen says whether all changes of rules concern numbers that no address has
// while they are made: then addresses can change in between.
func (p *plan) unseen(old, next *Image) bool {
	before, after := old.identities(), next.identities()
	for _, k := range p.add {
		if k.Peer == 0 || before[k.Peer] {
			return false
		}
	}
	for _, k := range p.remove {
		if k.Peer == 0 || after[k.Peer] {
			return false
		}
	}
	return len(p.change) == 0 && p.retrie.empty()
}

func (img *Image) identities() map[uint32]bool {
	out := map[uint32]bool{bpf.Outside: true}
	for v := range maps.Values(img.Addresses) {
		out[v.Identity] = true
	}
	for v := range maps.Values(img.Prefixes) {
		out[v.Identity] = true
	}
	return out
}

// widest is an endpoint whose lanes look wherever either's do. A lane that was or
// becomes ungoverned switches in one write and is left as it was.
func widest(old, next bpf.Endpoint) bpf.Endpoint {
	out := old
	for d := range out.Lanes {
		a, b := old.Lanes[d], next.Lanes[d]
		if !a.Governed() || !b.Governed() {
			if !b.Governed() {
				out.Lanes[d] = b // open before its rules go
			}
			continue
		}
		var used [bpf.Shapes]bool
		for _, l := range []bpf.Lane{a, b} {
			for _, s := range l.Shapes[:l.Count] {
				r := int(s &^ bpf.ShapeAnyPeer)
				if s&bpf.ShapeAnyPeer != 0 {
					r += bpf.Shapes / 2
				}
				used[r] = true
			}
		}
		setShapes(&out.Lanes[d], used)
		out.Lanes[d].Strict = max(a.Strict, b.Strict)
		out.Lanes[d].Closed = max(a.Closed, b.Closed)
		if a.Closed == 0 {
			out.Lanes[d].Rule = b.Rule
		}
		out.Lanes[d].Named = max(a.Named, b.Named)
	}
	return out
}
