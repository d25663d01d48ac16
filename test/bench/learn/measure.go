package main

import (
	"fmt"
	"math"
	"time"

	"github.com/gabion-io/gabion/segmentation"
	"github.com/gabion-io/gabion/segmentation/learn"
)

// score is how well one topology was learned.
type score struct {
	Seed       uint64        `json:"seed"`
	Length     string        `json:"length"`
	Scheme     string        `json:"scheme"`
	Workloads  int           `json:"workloads"`
	Edges      int           `json:"edges"`
	Frequent   float64       `json:"recallFrequent"` // over pairs of replicas, seen or not
	All        float64       `json:"recallAll"`
	RarePair   float64       `json:"recallRarePair"` // over the pairs that ran
	RarePairs  int           `json:"rarePairs"`
	Precision  float64       `json:"precision"` // over roles and ports
	Attacks    int           `json:"attackEdges"`
	Learned    int           `json:"attackEdgesLearned"`
	Anomalies  int           `json:"anomalies"`
	Proposals  int           `json:"proposals"`
	Took       time.Duration `json:"-"`
	Wrong      []string      `json:"-"` // flows that are judged against the intent
	TookMillis int64         `json:"millis"`
}

// count is right out of all.
type count struct {
	right, all int
	wrong      []string
}

func (c *count) add(what string, f *segmentation.Flow, right bool) {
	c.all++
	if right {
		c.right++
		return
	}
	c.wrong = append(c.wrong, fmt.Sprintf("%s: %s to %s on %s %d", what, endText(f.Src), endText(f.Dst), f.Protocol, f.Port))
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

func (c *count) join(o count) {
	c.right, c.all, c.wrong = c.right+o.right, c.all+o.all, append(c.wrong, o.wrong...)
}

func (c count) share() float64 {
	if c.all == 0 {
		return 1
	}
	return math.Round(float64(c.right)/float64(c.all)*1e5) / 1e5
}

// measure learns a topology and compares what the policies allow with the
// intent.
func measure(t *topology, records []record, seed uint64) (score, learn.Draft) {
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
		Seed: seed, Length: t.length.String(), Scheme: t.scheme, Workloads: len(all), Edges: len(records), Anomalies: len(draft.Anomalies), Proposals: len(draft.Proposals),
		Took: took, TookMillis: took.Milliseconds(),
	}
	frequent, rarePair := recall(t, j, records)
	s.Frequent, s.RarePair = frequent.share(), rarePair.share()
	s.RarePairs = rarePair.all
	both := frequent
	both.join(rarePair)
	s.All = both.share()
	tooMuch := precision(t, j)
	s.Precision = tooMuch.share()
	for _, r := range records {
		if r.attack {
			s.Attacks++
			if j.allows(r.Edge.Flow()) {
				s.Learned++
				f := r.Edge.Flow()
				both.add("attack", &f, false)
			}
		}
	}
	s.Wrong = append(both.wrong, tooMuch.wrong...)
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
			f := r.Edge.Flow()
			rarePair.add("missed, rare", &f, j.allows(f))
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
			frequent.add("missed", &f, j.allows(f))
		}
	}
	return frequent, rarePair
}

// precision asks for every two roles and every port that anybody uses, between
// two of their replicas: what is allowed, and was meant to be.
func precision(t *topology, j judge) count {
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
						c.add("too much", &f, meant[[3]int{a.id, b.id, int(port)}])
					}
				}
			}
		}
	}
	return c
}
