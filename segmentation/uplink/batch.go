package uplink

import (
	"encoding/binary"
	"net/netip"

	"github.com/gabion-io/gabion/internal/flowreport"
	"github.com/gabion-io/gabion/segmentation"
	"github.com/gabion-io/gabion/segmentation/flowlog"
	"github.com/gabion-io/gabion/workload"
)

// maxRows of a batch: well below what a receiver takes, so that a batch is some
// 200 KiB.
const maxRows = 2000

// batcher numbers what rows name.
type batcher struct {
	out   *flowreport.Batch
	ends  map[endKey]int
	rules map[segmentation.RuleRef]int
}

type endKey struct {
	id   workload.ID
	addr netip.Addr // of what is no workload
	name string     // and the DNS name it was told by
}

// batchOf writes sightings with workloads' names and labels.
func batchOf(queue string, seq uint64, rows []flowlog.Sighting) *flowreport.Batch {
	b := &batcher{
		out:  &flowreport.Batch{Queue: queue, Seq: seq, Rows: make([]flowreport.Row, 0, len(rows))},
		ends: map[endKey]int{}, rules: map[segmentation.RuleRef]int{},
	}
	for i := range rows {
		b.add(&rows[i])
	}
	return b.out
}

func (b *batcher) add(s *flowlog.Sighting) {
	r := flowreport.Row{
		Src: b.end(s.Src), Dst: b.end(s.Dst), Protocol: uint8(s.Protocol), Port: s.Port,
		Egress: s.Direction == segmentation.Egress, Verdict: uint8(s.Verdict), Rule: b.rule(s.Rule),
		Flows: s.Flows, Answered: *s.Answered, Packets: s.Packets, Bytes: s.Bytes,
		First: s.First.UnixNano(), Last: max(s.Last.UnixNano(), s.First.UnixNano()),
	}
	r.Reason = s.Why()
	if o := s.Opener; o != nil {
		r.Process = &flowreport.Process{PID: o.PID, Executable: flowreport.Text(o.Executable), Cgroup: flowreport.Text(o.Cgroup)}
	}
	b.out.Rows = append(b.out.Rows, r)
}

func (b *batcher) end(e segmentation.Endpoint) int {
	key := endKey{addr: e.Addr}
	if len(e.Names) > 0 {
		key.name = e.Names[0]
	}
	if e.Workload != nil {
		key = endKey{id: e.Workload.ID}
	}
	n, known := b.ends[key]
	if !known {
		n = len(b.out.Ends)
		b.ends[key] = n
		end := flowreport.End{Address: e.Addr.WithZone(""), Name: key.name}
		if e.Workload != nil {
			end = flowreport.End{Workload: e.Workload.ID.String(), Labels: e.Workload.Labels}
			if flowreport.CheckLabels(end.Labels) != nil {
				end.Labels = nil // the control plane knows them from the resource
			}
		}
		b.out.Ends = append(b.out.Ends, end)
	}
	return n
}

// rule numbers from 1; 0 is no policy.
func (b *batcher) rule(r segmentation.RuleRef) int {
	if r == (segmentation.RuleRef{}) {
		return 0
	}
	n, known := b.rules[r]
	if !known {
		b.out.Rules = append(b.out.Rules, r.String())
		n = len(b.out.Rules)
		b.rules[r] = n
	}
	return n
}

// record is a batch as it waits: the number of its rows, which is what it weighs
// when it is lost, before the message.
func record(b *flowreport.Batch) ([]byte, error) {
	return weighed(len(b.Rows), flowreport.Message{Batch: b})
}

// weighed is a message of n rows as it waits.
func weighed(n int, message flowreport.Message) ([]byte, error) {
	m, err := message.Encode()
	if err != nil {
		return nil, err
	}
	return append(binary.AppendUvarint(nil, uint64(n)), m...), nil
}

func weight(rec []byte) int {
	n, size := binary.Uvarint(rec)
	if size <= 0 || n > flowreport.MaxRows {
		return 1
	}
	return int(n)
}

func body(rec []byte) []byte {
	if _, size := binary.Uvarint(rec); size > 0 {
		return rec[size:]
	}
	return nil
}
