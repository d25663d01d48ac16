package main

import (
	"math"
	"slices"
	"time"

	"github.com/gabion-io/gabion/segmentation"
	"github.com/gabion-io/gabion/workload"
)

// record is one edge that was observed, with what it is the trace of.
type record struct {
	segmentation.Edge
	intent int // index; -1: none, an attack or noise
	attack bool
}

// traffic draws edges from the intents.
func (t *topology) traffic() (out []record) {
	for n := range t.intents {
		out = append(out, t.flowsOf(n)...)
	}
	return out
}

func (t *topology) flowsOf(n int) (out []record) {
	in := &t.intents[n]
	if in.rare {
		src, dst := t.ends(in, t.IntN(len(in.src.replicas)), t.IntN(1<<20))
		return []record{t.record(n, src, dst, in, uint64(in.flows), t.length)}
	}
	targets := 1
	if in.dst != nil {
		targets = len(in.dst.replicas)
	}
	for i := range in.src.replicas {
		for j := range targets {
			mean := in.flows / float64(len(in.src.replicas)*targets) * (0.3 + 1.4*t.Float64())
			flows := t.poisson(mean)
			if flows == 0 {
				continue
			}
			src, dst := t.ends(in, i, j)
			if in.every > 0 {
				out = append(out, t.scheduled(n, src, dst, in, flows, i)...)
				continue
			}
			out = append(out, t.record(n, src, dst, in, flows, t.length))
		}
	}
	return out
}

// scheduled is a job that runs at one time of the day; each replica is one run.
func (t *topology) scheduled(n int, src, dst segmentation.Endpoint, in *intent, flows uint64, run int) []record {
	at := t.begin.Add(time.Duration(run)*in.every + 2*time.Hour)
	if !at.Before(t.begin.Add(t.length)) {
		at = t.begin.Add(time.Duration(t.Float64() * float64(t.length)))
	}
	r := t.record(n, src, dst, in, flows, t.length)
	r.First, r.Last = at, at.Add(3*time.Minute)
	return []record{r}
}

func (t *topology) ends(in *intent, i, j int) (segmentation.Endpoint, segmentation.Endpoint) {
	src := in.src.replicas[i]
	if in.dst == nil {
		return segmentation.At(src), in.outside
	}
	return segmentation.At(src), segmentation.At(in.dst.replicas[j%len(in.dst.replicas)])
}

func (t *topology) poisson(mean float64) uint64 {
	if mean > 50 {
		return uint64(max(0, math.Round(mean+math.Sqrt(mean)*t.NormFloat64())))
	}
	limit, p, n := math.Exp(-mean), t.Float64(), uint64(0)
	for p > limit {
		p *= t.Float64()
		n++
	}
	return n
}

func (t *topology) record(n int, src, dst segmentation.Endpoint, in *intent, flows uint64, length time.Duration) record {
	// The first and the last of so many flows at random times.
	early := 1 - math.Pow(t.Float64(), 1/float64(flows))
	late := early
	if flows > 1 {
		late = early + (1-early)*math.Pow(t.Float64(), 1/float64(flows-1))
	}
	r := record{intent: n, Edge: segmentation.Edge{
		Src: src, Dst: dst, Protocol: in.protocol, Port: in.port, Flows: flows, Bytes: flows * uint64(400+t.IntN(4000)),
		First: t.begin.Add(time.Duration(early * float64(length))).Truncate(time.Second),
		Last:  t.begin.Add(time.Duration(late * float64(length))).Truncate(time.Second),
	}}
	if t.answered {
		r.Answered = &flows
	}
	return r
}

// intended says whether a flow is meant to be, by roles.
func (t *topology) intended(src, dst *role, protocol segmentation.Protocol, port uint16) bool {
	return slices.ContainsFunc(t.intents, func(in intent) bool {
		return in.src == src && in.dst == dst && in.protocol == protocol && in.port == port
	})
}

func (t *topology) roleOf(w *workload.Workload) *role {
	for _, r := range t.roles {
		if slices.Contains(r.replicas, w) {
			return r
		}
	}
	return nil
}

// attacks are scans from replicas that were taken over: wide, deep and slow. What
// is open answers. Probes of what the role is meant to reach are no attack edges.
func (t *topology) attacks() (out []record) {
	all := t.all()
	for kind := range 3 {
		source := all[t.IntN(len(all))]
		from := t.roleOf(source)
		at, step := t.begin.Add(time.Duration(t.Float64()*0.9*float64(t.length))), 200*time.Millisecond
		targets, ports := 20+t.IntN(30), []uint16{22, 80, 5432, 8080}
		switch kind {
		case 1: // deep
			targets, ports = 1+t.IntN(2), nil
			for p := range 30 + t.IntN(60) {
				ports = append(ports, uint16(1+p*97))
			}
			ports = append(ports, 80, 8080, 5432, 9090)
		case 2: // slow
			at, step = t.begin, t.length/time.Duration(targets*len(ports)+1)
		}
		for range targets {
			target := all[t.IntN(len(all))]
			to := t.roleOf(target)
			if to == from {
				continue
			}
			for _, port := range ports {
				at = at.Add(step)
				if t.intended(from, to, segmentation.TCP, port) {
					continue
				}
				out = append(out, t.probe(source, target, port, at, slices.Contains(to.ports, port) || port == 9090, true))
			}
		}
	}
	return out
}

func (t *topology) probe(source, target *workload.Workload, port uint16, at time.Time, open, attack bool) record {
	r := record{intent: -1, attack: attack, Edge: segmentation.Edge{
		Src: segmentation.At(source), Dst: segmentation.At(target), Protocol: segmentation.TCP, Port: port, Flows: 1, First: at, Last: at,
	}}
	answered := uint64(0)
	if open {
		answered, r.Bytes = 1, 180
	}
	if t.answered {
		r.Answered = &answered
	}
	return r
}

// noise is attempts that nobody answers: old addresses, dead services.
func (t *topology) noise() (out []record) {
	all := t.all()
	for range len(all) / 20 {
		source, target := all[t.IntN(len(all))], all[t.IntN(len(all))]
		at := t.begin.Add(time.Duration(t.Float64() * float64(t.length)))
		out = append(out, t.probe(source, target, uint16(1024+t.IntN(60000)), at, false, false))
	}
	return out
}
