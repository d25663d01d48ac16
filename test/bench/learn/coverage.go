package main

import (
	"math"

	"github.com/gabion-io/gabion/segmentation"
	"github.com/gabion-io/gabion/segmentation/learn"
)

// coverage is how often the 90 % interval of a proposal's completeness holds the
// share of sightings that turn out to be unseen when as much time again goes by.
type coverage struct {
	Seed      uint64  `json:"seed"`
	Proposals int     `json:"proposals"`
	Held      int     `json:"held"`
	Coverage  float64 `json:"coverage"`
	Said      float64 `json:"meanUnseenSaid"`
	Was       float64 `json:"meanUnseenWas"`
}

// intervals learns from one stretch of time and looks at the next. Rates spread
// over four orders of magnitude, so that some edges are bound to be missed.
func intervals(t *topology, seed uint64) coverage {
	for n := range t.intents {
		in := &t.intents[n]
		in.rare, in.every, in.flows = false, 0, math.Pow(10, 4*t.Float64()-0.7)
	}
	l := learn.New(t.all(), learn.Options{Mode: segmentation.Enforce})
	for _, r := range t.traffic() {
		l.Add(&r.Edge)
	}
	draft := l.Propose()
	var policies []segmentation.Policy
	for _, p := range draft.Proposals {
		policies = append(policies, p.Policy)
	}
	j := judge{segmentation.Compile(policies, segmentation.World{Workloads: t.all()})}
	type tally struct{ unseen, all float64 }
	next := map[*role]*tally{}
	for n := range t.intents {
		in := &t.intents[n]
		const windows = 128
		flows := float64(t.poisson(in.flows))
		sighted := windows * (1 - math.Pow(1-1.0/windows, flows))
		src, dst := t.ends(in, 0, 0)
		allowed := j.allows(segmentation.Flow{Src: src, Dst: dst, Protocol: in.protocol, Port: in.port})
		for _, r := range []*role{in.src, in.dst} {
			if r == nil {
				continue
			}
			if next[r] == nil {
				next[r] = &tally{}
			}
			next[r].all += sighted
			if !allowed {
				next[r].unseen += sighted
			}
		}
	}
	c := coverage{Seed: seed}
	byID := map[string]*role{}
	for _, r := range t.roles {
		for _, w := range r.replicas {
			byID[w.ID.String()] = r
		}
	}
	for _, p := range draft.Proposals {
		n := next[byID[p.Members[0].String()]]
		if n == nil || n.all == 0 || p.Completeness.Sightings == 0 {
			continue
		}
		was := n.unseen / n.all
		c.Proposals++
		c.Said += p.Completeness.Unseen
		c.Was += was
		if p.Completeness.Low <= was && was <= p.Completeness.High {
			c.Held++
		}
	}
	c.Coverage = float64(c.Held) / float64(max(c.Proposals, 1))
	c.Said, c.Was = c.Said/float64(max(c.Proposals, 1)), c.Was/float64(max(c.Proposals, 1))
	return c
}
