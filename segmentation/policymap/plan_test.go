package policymap

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/gabion-io/gabion/segmentation"
	"github.com/gabion-io/gabion/segmentation/bpf"
	"github.com/gabion-io/gabion/workload"
)

// flow is what a rule's key is made from.
type flow struct {
	way      segmentation.Direction
	peer     uint32
	protocol uint8
	port     uint16
}

// judge is judge.h: the verdict and the rule.
func judge(rules map[bpf.RuleKey]bpf.Rule, e bpf.Endpoint, f flow) bpf.Rule {
	lane := &e.Lanes[f.way]
	if !lane.Governed() {
		return bpf.Rule{Verdict: uint32(segmentation.Allowed)}
	}
	for _, s := range lane.Shapes[:lane.Count] {
		wild := s &^ bpf.ShapeAnyPeer
		k := bpf.RuleKey{Subject: e.Subject, Peer: f.peer, Port: f.port, Protocol: f.protocol, Way: uint8(f.way) | wild<<1}
		if s&bpf.ShapeAnyPeer != 0 {
			k.Peer = 0
		}
		if wild >= 16 {
			k.Port = 0
		} else {
			k.Port &= 0xffff << wild
		}
		if wild == bpf.ShapeAnyProtocol {
			k.Protocol = 0
		}
		if r, ok := rules[k]; ok {
			return r
		}
	}
	return bpf.Rule{Verdict: uint32(segmentation.Denied), Rule: lane.Rule}
}

// table is some rules of one workload, whatever policies they may be of.
func table(r *rand.Rand) *segmentation.Table {
	t := &segmentation.Table{
		Subjects:  []segmentation.Subject{{Key: "subject", Governed: [2]bool{true, true}}},
		SubjectOf: map[workload.ID]int{subject: 0},
		Peers:     []segmentation.PeerClass{{Key: "outside"}, {Key: "one"}, {Key: "other"}},
	}
	ref := func(n int) segmentation.RuleRef {
		return segmentation.RuleRef{Policy: segmentation.PolicyName{Kind: fmt.Sprint(n)}}
	}
	for _, d := range []segmentation.Direction{segmentation.Ingress, segmentation.Egress} {
		last := r.IntN(4)
		if last == 3 {
			continue // nothing governs it
		}
		t.Entries = append(t.Entries, segmentation.Entry{Direction: d, Peer: segmentation.AnyPeer, Protocol: segmentation.AnyProtocol, To: 65535,
			Verdict: []segmentation.Verdict{segmentation.Denied, segmentation.Denied, segmentation.Audited}[last], Rule: ref(r.IntN(2))})
		for range r.IntN(6) {
			from := uint16(80 + r.IntN(3))
			t.Entries = append(t.Entries, segmentation.Entry{
				Direction: d, Peer: r.IntN(4) - 1, Protocol: segmentation.TCP, From: from, To: from + uint16(r.IntN(3)),
				Verdict: segmentation.Verdict(r.IntN(3)), Rule: ref(10 + r.IntN(3)),
			})
		}
	}
	return t
}

var subject = workload.ID{Namespace: "shop", Name: "cart"}

// Between any two policies each step in place leaves every flow with the verdict that
// it had or the one that it gets, and the last with that.
func TestEveryStepOfAPlanIsOldOrNew(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	in, closedOnly := 0, 0
	for range 500 {
		n := NewNumbers()
		places := []Interface{{Index: 3, Workload: subject}}
		old, next := Render(table(r), segmentation.World{}, places, n), Render(table(r), segmentation.World{}, places, n)
		p, ok := planFor(old, next, inPlace)
		if !ok {
			continue
		}
		in++
		if l := next.Endpoints[3].Lanes[0]; l.Count == 0 && l.Closed != 0 {
			closedOnly++
		}
		rules, e := maps.Clone(old.Rules), old.Endpoints[3]
		check := func(step string) {
			for f := range flows(n) {
				was, is, will := judge(old.Rules, old.Endpoints[3], f), judge(rules, e, f), judge(next.Rules, next.Endpoints[3], f)
				if is.Verdict != was.Verdict && is.Verdict != will.Verdict {
					t.Fatalf("after %s %+v is %+v, it was %+v and becomes %+v", step, f, is, was, will)
				}
			}
		}
		if wide, ok := p.before[3]; ok {
			e = wide
			check("lanes grow")
		}
		for _, k := range slices.Concat(p.add, p.change) {
			rules[k] = next.Rules[k]
			check(fmt.Sprintf("%+v is written", k))
		}
		for _, k := range p.remove {
			delete(rules, k)
			check(fmt.Sprintf("%+v is removed", k))
		}
		e = next.Endpoints[3]
		for f := range flows(n) {
			if is, will := judge(rules, e, f), judge(next.Rules, next.Endpoints[3], f); is != will {
				t.Fatalf("at the end %+v is %+v, not %+v", f, is, will)
			}
		}
	}
	if in < 200 || closedOnly < 3 {
		t.Errorf("only %d changes were in place, %d of them to lanes without a rule", in, closedOnly)
	}
}

// flows are all that a table can tell apart.
func flows(n *Numbers) func(func(flow) bool) {
	return func(yield func(flow) bool) {
		for _, way := range []segmentation.Direction{segmentation.Ingress, segmentation.Egress} {
			for _, peer := range []uint32{bpf.Outside, n.peer("one"), n.peer("other")} {
				for _, protocol := range []segmentation.Protocol{segmentation.TCP, segmentation.UDP} {
					for port := range uint16(8) {
						if !yield(flow{way, peer, uint8(protocol), 78 + port}) {
							return
						}
					}
				}
			}
		}
	}
}
