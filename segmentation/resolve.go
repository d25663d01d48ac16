package segmentation

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/gabion-io/gabion/workload"
)

// subjects makes the classes of governed workloads, and their entries. Workloads
// that the same policies select, and whose named ports are equal where that
// matters, are one class.
func (c *compiler) subjects() {
	number := map[string]int{}
	workloads := slices.Clone(c.world.Workloads)
	slices.SortFunc(workloads, func(a, b *workload.Workload) int { return a.ID.Compare(b.ID) })
	selecting := c.selecting(workloads)
	for i, w := range workloads {
		selected := selecting[i]
		if len(selected) == 0 {
			continue
		}
		key := c.subjectKey(w, selected)
		n, known := number[key]
		if !known {
			n = len(c.table.Subjects)
			number[key] = n
			c.table.Subjects = append(c.table.Subjects, Subject{Key: key})
			for _, d := range []Direction{Ingress, Egress} {
				c.table.Subjects[n].Governed[d] = c.resolve(n, w, selected, d)
			}
			c.table.Subjects[n].Named = c.named(selected)
		}
		c.table.SubjectOf[w.ID] = n
	}
}

// selecting lists, for each workload, the policies that select it and take part.
func (c *compiler) selecting(workloads []*workload.Workload) [][]int {
	index := newSelectionIndex(workloads)
	out := make([][]int, len(workloads))
	for i := range c.policies {
		if c.policies[i].Mode == Observe {
			continue
		}
		for _, n := range index.of(&c.policies[i].Subject) {
			out[n] = append(out[n], i)
		}
	}
	return out
}

func (c *compiler) subjectKey(w *workload.Workload, selected []int) string {
	parts := make([]string, 0, len(selected)+1)
	for _, i := range selected {
		parts = append(parts, c.policies[i].Name.String())
	}
	ports := workload.Identity{Ports: w.Ports}.Key()
	return fmt.Sprintf("%s; ports %s; proxied %v %v", strings.Join(parts, ","), ports, c.proxied(w, Ingress), c.proxied(w, Egress))
}

// named says whether one of the policies has an egress rule about a DNS name.
func (c *compiler) named(selected []int) bool {
	return slices.ContainsFunc(selected, func(i int) bool {
		return slices.ContainsFunc(c.policies[i].Egress.List, func(r Rule) bool {
			return slices.ContainsFunc(r.Peers, func(p Peer) bool { return p.Name != nil })
		})
	})
}

func (c *compiler) proxied(w *workload.Workload, d Direction) bool {
	return c.world.Proxied != nil && c.world.Proxied(w, d)
}

// resolve writes the entries of one subject and direction; false: it is governed
// by nothing there.
func (c *compiler) resolve(subject int, w *workload.Workload, selected []int, d Direction) bool {
	r := resolver{compiler: c, subject: w, direction: d, number: subject}
	for _, i := range selected {
		p := &c.policies[i]
		if rules := p.In(d); rules.Governed {
			r.policies = append(r.policies, p)
		}
	}
	if len(r.policies) == 0 {
		return false
	}
	r.cell(AnyPeer, peerClass{})
	for _, n := range r.special() {
		r.cell(n, c.classes[n])
	}
	return true
}

// resolver makes the entries of one subject and direction.
type resolver struct {
	*compiler
	subject   *workload.Workload
	direction Direction
	number    int
	policies  []*Policy
}

// special lists the classes that some rule treats otherwise than any peer.
func (r *resolver) special() (out []int) {
	for _, p := range r.policies {
		for i := range p.In(r.direction).List {
			rule := &p.In(r.direction).List[i]
			for n := range rule.Peers {
				out = append(out, r.classesOf(&rule.Peers[n])...)
			}
			if len(rule.Peers) == 0 && r.direction == Egress {
				out = append(out, r.index.namedPort(rule.Ports)...)
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// classesOf lists the classes that a peer means in a rule of this direction.
func (r *resolver) classesOf(p *Peer) []int {
	if p.Name != nil && r.direction == Ingress {
		return nil
	}
	return r.index.of(p)
}

// means says whether a rule is about a class, or about any peer.
func (r *resolver) means(rule *Rule, class int) bool {
	for i := range rule.Peers {
		if _, found := slices.BinarySearch(r.classesOf(&rule.Peers[i]), class); found {
			return true
		}
	}
	return len(rule.Peers) == 0
}

// applied is a rule that is about a peer, with its ports resolved.
type applied struct {
	mode  Mode
	deny  bool
	ports []Ports // nil: everything
	ref   RuleRef
}

func (a *applied) covers(p Protocol, port uint16) bool {
	return a.ports == nil || slices.ContainsFunc(a.ports, func(r Ports) bool {
		return (r.Protocol == AnyProtocol || r.Protocol == p) && r.From <= port && port <= r.To
	})
}

// cell writes the entries of one peer: one for all protocols, and those that
// differ from it.
func (r *resolver) cell(peer int, class peerClass) {
	rules := r.about(peer, class)
	base := r.decide(rules, AnyProtocol, 0)
	base.Peer, base.To = peer, 65535
	r.table.Entries = append(r.table.Entries, base)
	for _, p := range protocolsOf(rules) {
		var last *Entry
		for _, from := range cutsOf(rules, p) {
			e := r.decide(rules, p, from)
			e.Peer, e.From = peer, from
			if last != nil {
				last.To = from - 1
			}
			if last != nil && last.Verdict == e.Verdict && last.Rule == e.Rule {
				continue
			}
			r.keep(last, base)
			last = &e
		}
		last.To = 65535
		r.keep(last, base)
	}
}

// keep writes an entry unless the one for all protocols says the same.
func (r *resolver) keep(e *Entry, base Entry) {
	if e != nil && (e.Verdict != base.Verdict || e.Rule != base.Rule) {
		r.table.Entries = append(r.table.Entries, *e)
	}
}

// about lists the rules that are about a peer, in the order of Evaluate.
func (r *resolver) about(peer int, class peerClass) (out []applied) {
	for _, p := range r.policies {
		list := p.In(r.direction).List
		for i := range list {
			rule := &list[i]
			if len(rule.HTTP) > 0 && r.proxied(r.subject, r.direction) == rule.Deny {
				continue
			}
			if !r.means(rule, peer) {
				continue
			}
			a := applied{mode: p.Mode, deny: rule.Deny, ref: RuleRef{p.Name, r.direction, i}}
			dst := r.subject
			if r.direction == Egress {
				dst = class.workload
			}
			for _, ports := range rule.Ports {
				a.ports = append(a.ports, ports.On(dst)...)
			}
			if len(rule.Ports) == 0 || len(a.ports) > 0 {
				out = append(out, a)
			}
		}
	}
	return out
}

// decide is Judge for one protocol and port.
func (r *resolver) decide(rules []applied, p Protocol, port uint16) Entry {
	e := Entry{Subject: r.number, Direction: r.direction, Protocol: p, Verdict: Allowed}
	allowed, rule := r.least(rules, p, port, Enforce)
	e.Rule = rule
	if !allowed {
		e.Verdict = Denied
	} else if allowed, would := r.least(rules, p, port, Audit); !allowed {
		e.Verdict, e.Rule = Audited, would
	}
	return e
}

func (r *resolver) least(rules []applied, p Protocol, port uint16, least Mode) (bool, RuleRef) {
	at := slices.IndexFunc(r.policies, func(p *Policy) bool { return p.Mode >= least })
	if at < 0 {
		return true, RuleRef{}
	}
	var allow *applied
	for i := range rules {
		a := &rules[i]
		if a.mode < least || allow != nil && !a.deny || !a.covers(p, port) {
			continue
		}
		if a.deny {
			return false, a.ref
		}
		allow = a
	}
	if allow != nil {
		return true, allow.ref
	}
	return false, RuleRef{r.policies[at].Name, r.direction, Default}
}

func protocolsOf(rules []applied) (out []Protocol) {
	for _, a := range rules {
		for _, p := range a.ports {
			if p.Protocol != AnyProtocol {
				out = append(out, p.Protocol)
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// cutsOf lists the ports at which the rules of a protocol begin or have ended.
func cutsOf(rules []applied, p Protocol) []uint16 {
	out := []uint16{0}
	for _, a := range rules {
		for _, r := range a.ports {
			if r.Protocol != p {
				continue
			}
			out = append(out, r.From)
			if r.To < 65535 {
				out = append(out, r.To+1)
			}
		}
	}
	slices.SortFunc(out, cmp.Compare)
	return slices.Compact(out)
}
