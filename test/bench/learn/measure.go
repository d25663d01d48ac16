package main

import (
	"math"
	"time"

	"github.com/gabion-io/gabion/segmentation"
	"github.com/gabion-io/gabion/segmentation/learn"
)

// score is how well one topology was learned.
type score struct {
	Seed       uint64        `json:"seed"`
	Scheme     string        `json:"scheme"`
	Workloads  int           `json:"workloads"`
	Edges      int           `json:"edges"`
	Frequent   float64       `json:"recallFrequent"` // over pairs of replicas, seen or not
	All        float64       `json:"recallAll"`
	RarePair   float64       `json:"recallRarePair"` // over the pairs that ran
	Precision  float64       `json:"precision"`      // over roles and ports
	Attacks    int           `json:"attackEdges"`
	Learned    int           `json:"attackEdgesLearned"`
	Anomalies  int           `json:"anomalies"`
	Proposals  int           `json:"proposals"`
	Took       time.Duration `json:"-"`
	TookMillis int64         `json:"millis"`
}

// count is right out of all.
type count struct{ right, all int }

func (c *count) add(right bool) {
	c.all++
	if right {
		c.right++
	}
}

func (c *count) join(o count) { c.right, c.all = c.right+o.right, c.all+o.all }

func (c count) share() float64 {
	if c.all == 0 {
		return 1
	}
	return math.Round(float64(c.right)/float64(c.all)*1e5) / 1e5
}

// measure learns a topology and compares what the policies allow with the
// intent.
func measure(t *topology, seed uint64) (score, learn.Draft) {
	records := append(append(t.traffic(), t.attacks()...), t.noise()...)
	t.Shuffle(len(records), func(i, j int) { records[i], records[j] = records[j], records[i] })
	all := t.all()
	began := time.Now()
	l := learn.New(all, learn.Options{Mode: segmentation.Enforce})
	for i := range records {
		l.Add(&records[i].Edge)
	}
	draft := l.Propose()
	took := time.Since(began)
	var policies []segmentation.Policy
	for _, p := range draft.Proposals {
		policies = append(policies, p.Policy)
	}
	j := judge{segmentation.Compile(policies, segmentation.World{Workloads: all})}
	s := score{
		Seed: seed, Scheme: t.scheme, Workloads: len(all), Edges: len(records), Anomalies: len(draft.Anomalies), Proposals: len(draft.Proposals),
		Took: took, TookMillis: took.Milliseconds(),
	}
	frequent, rarePair := recall(t, j, records)
	s.Frequent, s.RarePair = frequent.share(), rarePair.share()
	both := frequent
	both.join(rarePair)
	s.All = both.share()
	s.Precision = precision(t, j)
	for _, r := range records {
		if r.attack {
			s.Attacks++
			if j.allows(r.Edge.Flow()) {
				s.Learned++
			}
		}
	}
	return s, draft
}

// judge asks the table; what only a name stands for is asked by its addresses.
type judge struct{ table *segmentation.Table }

func (j judge) allows(f segmentation.Flow) bool {
	out, _ := j.table.Judge(f, segmentation.Egress)
	in, _ := j.table.Judge(f, segmentation.Ingress)
	return out == segmentation.Allowed && in == segmentation.Allowed
}

// recall counts, for frequent intents, up to twenty pairs of replicas each, and
// for rare ones the pair that ran.
func recall(t *topology, j judge, records []record) (frequent, rarePair count) {
	for _, r := range records {
		if r.intent >= 0 && t.intents[r.intent].rare {
			rarePair.add(j.allows(r.Edge.Flow()))
		}
	}
	for n := range t.intents {
		in := &t.intents[n]
		if in.rare {
			continue
		}
		for range 20 {
			src, dst := t.ends(in, t.IntN(len(in.src.replicas)), t.IntN(1<<20))
			f := segmentation.Flow{Src: src, Dst: dst, Protocol: in.protocol, Port: in.port}
			frequent.add(j.allows(f))
		}
	}
	return frequent, rarePair
}

// precision asks for every two roles and every port that anybody uses, between
// two of their replicas: what is allowed, and was meant to be.
func precision(t *topology, j judge) float64 {
	ports := map[uint16]segmentation.Protocol{}
	meant := map[[3]int]bool{}
	for _, in := range t.intents {
		ports[in.port] = in.protocol
		if in.dst != nil {
			meant[[3]int{in.src.id, in.dst.id, int(in.port)}] = true
		}
	}
	var c count
	for _, a := range t.roles {
		for _, b := range t.roles {
			for port, protocol := range ports {
				for range 2 {
					f := segmentation.Flow{Protocol: protocol, Port: port}
					f.Src, f.Dst = segmentation.At(a.replicas[t.IntN(len(a.replicas))]), segmentation.At(b.replicas[t.IntN(len(b.replicas))])
					if j.allows(f) {
						c.add(meant[[3]int{a.id, b.id, int(port)}])
					}
				}
			}
		}
	}
	return c.share()
}
