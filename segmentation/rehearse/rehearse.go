// Package rehearse says what policies would have done to recorded edges, and how
// far an attacker would get: before and after. It judges with the reference
// (segmentation.Evaluate), is pure, and changes nothing.
//
// The control plane's composition and the command line import it.
package rehearse

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/gabion-io/gabion/segmentation"
	"github.com/gabion-io/gabion/workload"
)

// maxExamples of each kind are kept: those with the most flows.
const maxExamples = 10

// Rehearsal folds edges.
type Rehearsal struct {
	workloads     []*workload.Workload
	before, after *segmentation.Evaluator
	result        Result
	served        map[workload.ID]map[service]bool // ports that somebody was seen to use; false: that somebody tried, and nobody counted what came back
	counted       bool                             // some edge says what came back: then one that does not was not answered
}

type service struct {
	protocol segmentation.Protocol
	port     uint16
}

// Result is what a rehearsal found.
type Result struct {
	Edges     int     `json:"edges"`
	Denied    Shift   `json:"newlyDenied"`
	Allowed   Shift   `json:"newlyAllowed"`
	Workloads int     `json:"workloads"`
	Services  int     `json:"ports"`
	Reach     []Reach `json:"reach"` // who reaches most first; of many workloads some
}

// Shift is edges whose verdict changes.
type Shift struct {
	Count    int       `json:"count"`
	Examples []Example `json:"examples"`
}

// Example is one such edge.
type Example struct {
	Src     string `json:"src"`
	Dst     string `json:"dst"`
	Service string `json:"service"`
	Flows   uint64 `json:"flows"`
	Rule    string `json:"rule"`
}

// Reach is what somebody in a workload can open connections to, directly.
type Reach struct {
	From   string `json:"from"`
	Before Radius `json:"before"`
	After  Radius `json:"after"`
}

// Radius counts what is reached, among the ports that somebody was seen to serve.
type Radius struct {
	Workloads int `json:"workloads"`
	Ports     int `json:"ports"`
}

// New compares two sets of policies, each by its modes.
func New(workloads []*workload.Workload, before, after []segmentation.Policy) *Rehearsal {
	return &Rehearsal{
		workloads: workloads, before: segmentation.NewEvaluator(before, workloads), after: segmentation.NewEvaluator(after, workloads),
		served: map[workload.ID]map[service]bool{},
	}
}

// Add folds an edge in.
func (r *Rehearsal) Add(e *segmentation.Edge) {
	r.result.Edges++
	was, _ := r.before.Evaluate(e.Flow())
	is, rule := r.after.Evaluate(e.Flow())
	x := Example{endText(e.Src), endText(e.Dst), serviceText(e.Protocol, e.Port), e.Flows, rule.String()}
	switch {
	case was != segmentation.Denied && is == segmentation.Denied:
		r.result.Denied.add(x)
	case was == segmentation.Denied && is != segmentation.Denied:
		r.result.Allowed.add(x)
	}
	r.counted = r.counted || e.Bytes > 0
	if e.Dst.Workload != nil && (e.Answered == nil || *e.Answered > 0) {
		id, s := e.Dst.Workload.ID, service{e.Protocol, e.Port}
		if r.served[id] == nil {
			r.served[id] = map[service]bool{}
		}
		r.served[id][s] = r.served[id][s] || e.Answered != nil || e.Bytes > 0 || e.Protocol.Normal() == segmentation.ICMP
	}
}

func (s *Shift) add(x Example) {
	s.Count++
	s.Examples = append(s.Examples, x)
	slices.SortFunc(s.Examples, func(a, b Example) int {
		return cmp.Or(cmp.Compare(b.Flows, a.Flows), cmp.Compare(a.Src, b.Src), cmp.Compare(a.Dst, b.Dst), cmp.Compare(a.Service, b.Service))
	})
	s.Examples = s.Examples[:min(len(s.Examples), maxExamples)]
}

// maxSources bounds for how many workloads the radius is worked out: it takes
// every workload times every port.
const maxSources = 200

// Result says what was found so far. The radius is worked out of the workloads that
// first picks, which may be nil, and of some others.
func (r *Rehearsal) Result(first func(workload.Identity) bool) Result {
	out := r.result
	out.Workloads = len(r.workloads)
	for _, ports := range r.served {
		maps.DeleteFunc(ports, func(_ service, proved bool) bool { return !proved && r.counted })
		out.Services += len(ports)
	}
	out.Reach = []Reach{}
	for _, w := range r.sources(first) {
		out.Reach = append(out.Reach, Reach{w.ID.String(), r.radius(r.before, w), r.radius(r.after, w)})
	}
	slices.SortStableFunc(out.Reach, func(a, b Reach) int {
		return cmp.Or(cmp.Compare(b.After.Ports, a.After.Ports), cmp.Compare(a.From, b.From))
	})
	if out.Denied.Examples == nil {
		out.Denied.Examples = []Example{}
	}
	if out.Allowed.Examples == nil {
		out.Allowed.Examples = []Example{}
	}
	return out
}

// sources are those that first picks, and others spread over all.
func (r *Rehearsal) sources(first func(workload.Identity) bool) (out []*workload.Workload) {
	var others []*workload.Workload
	for _, w := range r.workloads {
		if first != nil && first(w.Identity()) && len(out) < maxSources {
			out = append(out, w)
		} else {
			others = append(others, w)
		}
	}
	room := min(maxSources-len(out), len(others))
	for i := range room {
		out = append(out, others[i*len(others)/room])
	}
	return out
}

func (r *Rehearsal) radius(e *segmentation.Evaluator, from *workload.Workload) (out Radius) {
	for _, to := range r.workloads {
		if to == from {
			continue
		}
		ports := 0
		for s := range r.served[to.ID] {
			f := segmentation.Flow{Protocol: s.protocol, Port: s.port}
			f.Src, f.Dst = segmentation.Between(from, to)
			if v, _ := e.Evaluate(f); v != segmentation.Denied {
				ports++
			}
		}
		out.Ports += ports
		if ports > 0 {
			out.Workloads++
		}
	}
	return out
}

func endText(e segmentation.Endpoint) string {
	switch {
	case e.Workload != nil:
		return e.Workload.ID.String()
	case len(e.Names) > 0:
		return e.Names[0]
	}
	return e.Addr.String()
}

func serviceText(p segmentation.Protocol, port uint16) string {
	if p.HasPorts() {
		return fmt.Sprintf("%s %d", p, port)
	}
	return p.String()
}
