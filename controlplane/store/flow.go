package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"github.com/uptrace/bun"

	"github.com/gabion-io/gabion/segmentation"
	"github.com/gabion-io/gabion/workload"
)

// FlowEnd is one end of flows: a workload with the labels it had, or an address.
type FlowEnd struct {
	Workload string          `json:"workload,omitempty"` // namespace/name
	Labels   workload.Labels `json:"labels,omitempty"`
	Address  string          `json:"address,omitempty"` // of what is no workload
	DNSName  string          `json:"dnsName,omitempty"` // by which the other end was told the address
}

// String names it.
func (e FlowEnd) String() string {
	switch {
	case e.Workload != "":
		return e.Workload
	case e.DNSName != "":
		return e.DNSName + " (" + e.Address + ")"
	}
	return e.Address
}

// Flow is what one workload's flows with one peer came to in a window of time, as
// they were judged at one of their ends.
type Flow struct {
	Cursor    int64                  `json:"cursor"`
	Host      string                 `json:"host"` // whose agent reported it
	Src       FlowEnd                `json:"src"`
	Dst       FlowEnd                `json:"dst"`
	Protocol  segmentation.Protocol  `json:"protocol"`
	Port      uint16                 `json:"port"`
	Direction segmentation.Direction `json:"direction"` // egress: judged at the source
	Verdict   segmentation.Verdict   `json:"verdict"`
	Rule      string                 `json:"rule,omitempty"`
	Reason    string                 `json:"reason,omitempty"` // of drops; of what passed, that it was there before
	Flows     uint64                 `json:"flows"`            // that began
	Answered  uint64                 `json:"answered"`
	Packets   uint64                 `json:"packets"`
	Bytes     uint64                 `json:"bytes"`
	First     time.Time              `json:"first"`
	Last      time.Time              `json:"last"`
	PID       uint32                 `json:"pid,omitempty"` // of who opened one of them, where known
	Process   string                 `json:"process,omitempty"`
	Cgroup    string                 `json:"cgroup,omitempty"`
}

// FlowReport is one batch of a host's agent.
type FlowReport struct {
	Host  string
	Queue string // of the agent's run
	Seq   uint64 // of the batch; not above the last of its queue: a repetition
	Flows []Flow // Cursor and Host are filled in
}

type flowRow struct {
	bun.BaseModel `bun:"table:flows"`
	Cursor        int64 `bun:",pk,autoincrement"`
	Host          string
	Src, Dst      int64
	Protocol      int64
	Port          int64
	Way           int64
	Verdict       int64
	Rule          string
	Reason        string
	Flows         int64
	Answered      int64
	Packets       int64
	Bytes         int64
	First         int64
	Last          int64
	Pid           int64
	Process       string
	Cgroup        string
	Size          int64
}

func newFlowRow(host string, f Flow, src, dst int64) flowRow {
	r := flowRow{
		Host: text(host), Src: src, Dst: dst, Protocol: int64(f.Protocol), Port: int64(f.Port), Way: int64(f.Direction), Verdict: int64(f.Verdict),
		Rule: text(f.Rule), Reason: text(f.Reason), Flows: int64(f.Flows), Answered: int64(f.Answered), Packets: int64(f.Packets), Bytes: int64(f.Bytes),
		First: nanos(f.First), Last: nanos(f.Last), Pid: int64(f.PID), Process: text(f.Process), Cgroup: text(f.Cgroup),
	}
	r.Size = int64(len(r.Host)+len(r.Rule)+len(r.Reason)+len(r.Process)+len(r.Cgroup)) + rowBytes
	return r
}

func (r flowRow) flow(ends map[int64]FlowEnd) Flow {
	return Flow{
		Cursor: r.Cursor, Host: r.Host, Src: ends[r.Src], Dst: ends[r.Dst], Protocol: segmentation.Protocol(r.Protocol), Port: uint16(r.Port),
		Direction: segmentation.Direction(r.Way), Verdict: segmentation.Verdict(r.Verdict), Rule: r.Rule, Reason: r.Reason,
		Flows: uint64(r.Flows), Answered: uint64(r.Answered), Packets: uint64(r.Packets), Bytes: uint64(r.Bytes),
		First: fromNanos(r.First), Last: fromNanos(r.Last), PID: uint32(r.Pid), Process: r.Process, Cgroup: r.Cgroup,
	}
}

type flowEndRow struct {
	bun.BaseModel `bun:"table:flow_ends"`
	ID            int64 `bun:",pk,autoincrement"`
	Hash          string
	Namespace     string
	Name          string
	Labels        string
	Address       string
	Last          int64
	Size          int64
}

func newFlowEndRow(e FlowEnd, now int64) (flowEndRow, error) {
	var r flowEndRow
	if e.Workload != "" {
		id, err := workload.ParseID(e.Workload)
		if err != nil {
			return r, err
		}
		labels, err := json.Marshal(e.Labels) // sorted by name
		if err != nil {
			return r, err
		}
		r.Namespace, r.Name, r.Labels = text(id.Namespace), text(id.Name), text(string(labels))
	} else {
		r.Address, r.Name = text(e.Address), text(e.DNSName)
	}
	sum := sha256.Sum256([]byte(r.Namespace + "\x00" + r.Name + "\x00" + r.Labels + "\x00" + r.Address))
	r.Hash, r.Last = hex.EncodeToString(sum[:16]), now
	r.Size = int64(len(r.Namespace)+len(r.Name)+len(r.Labels)+len(r.Address)+len(r.Hash)) + rowBytes
	return r, nil
}

func (r flowEndRow) end() (FlowEnd, error) {
	if r.Address != "" || r.Name == "" {
		return FlowEnd{Address: r.Address, DNSName: r.Name}, nil
	}
	e := FlowEnd{Workload: r.Namespace + "/" + r.Name}
	if err := json.Unmarshal([]byte(r.Labels), &e.Labels); err != nil {
		return e, fmt.Errorf("%w: labels of %s: %v", ErrCorrupt, e.Workload, err)
	}
	return e, nil
}

// AddFlows stores a batch, as flows and folded into edges, once however often it
// comes, and says whether it was new.
func (s *Store) AddFlows(ctx context.Context, r FlowReport) (fresh bool, err error) {
	if s.disk.full() {
		s.refused.Add(int64(len(r.Flows)))
		return false, s.stopped("flows")
	}
	err = s.telemetry.update(ctx, func(tx bun.Tx) (err error) {
		if fresh, err = s.advance(ctx, tx, r); err != nil || !fresh || len(r.Flows) == 0 {
			return err
		}
		ids, err := s.endIDs(ctx, tx, r.Flows)
		if err != nil {
			return err
		}
		rows := make([]flowRow, len(r.Flows))
		for i, f := range r.Flows {
			rows[i] = newFlowRow(r.Host, f, ids[f.Src.hash()], ids[f.Dst.hash()])
		}
		for _, part := range chunks(rows, func(flowRow) int64 { return 512 }) {
			if _, err := tx.NewInsert().Model(&part).Returning("NULL").Exec(ctx); err != nil {
				return err
			}
		}
		return addEdges(ctx, tx, rows)
	})
	if err != nil {
		return false, fmt.Errorf("write flows: %w", err)
	}
	if fresh && len(r.Flows) > 0 {
		s.flows.notify()
	}
	return fresh, nil
}

// advance moves a queue on; a batch that is not beyond it is a repetition.
func (s *Store) advance(ctx context.Context, tx bun.Tx, r FlowReport) (bool, error) {
	var at []int64
	if err := tx.NewRaw("SELECT seq FROM flow_queues WHERE host = ? AND queue = ?", text(r.Host), text(r.Queue)).Scan(ctx, &at); err != nil {
		return false, err
	}
	if len(at) == 1 && int64(r.Seq) <= at[0] {
		return false, nil
	}
	_, err := tx.NewRaw(`INSERT INTO flow_queues (host, queue, seq, time) VALUES (?, ?, ?, ?)
		ON CONFLICT (host, queue) DO UPDATE SET seq = EXCLUDED.seq, time = EXCLUDED.time`,
		text(r.Host), text(r.Queue), int64(r.Seq), nanos(s.o.Now())).Exec(ctx)
	return true, err
}

// hash tells ends apart within a batch.
func (e FlowEnd) hash() string {
	return e.Workload + "|" + e.Labels.String() + "|" + e.Address + "|" + e.DNSName
}

// touchEvery bounds how often an end that is seen is written again.
const touchEvery = time.Hour

// endIDs gives the numbers of all ends of a batch, by their hash.
func (s *Store) endIDs(ctx context.Context, tx bun.Tx, flows []Flow) (map[string]int64, error) {
	now := nanos(s.o.Now())
	rows, names := map[string]flowEndRow{}, map[string]string{} // by stored hash; stored hash by ours
	for _, f := range flows {
		for _, e := range []FlowEnd{f.Src, f.Dst} {
			if _, known := names[e.hash()]; known {
				continue
			}
			row, err := newFlowEndRow(e, now)
			if err != nil {
				return nil, err
			}
			rows[row.Hash], names[e.hash()] = row, row.Hash
		}
	}
	known, err := s.knownEnds(ctx, tx, rows, now)
	if err != nil {
		return nil, err
	}
	ids := make(map[string]int64, len(names))
	for ours, hash := range names {
		ids[ours] = known[hash]
	}
	return ids, nil
}

// knownEnds finds ends, and makes those that are not there.
func (s *Store) knownEnds(ctx context.Context, tx bun.Tx, rows map[string]flowEndRow, now int64) (map[string]int64, error) {
	hashes := make([]string, 0, len(rows))
	for h := range rows {
		hashes = append(hashes, h)
	}
	known := make(map[string]int64, len(rows))
	for _, part := range chunks(hashes, func(string) int64 { return 64 }) {
		var found []flowEndRow
		if err := tx.NewSelect().Model(&found).Column("id", "hash", "last").Where("hash IN (?)", bun.List(part)).Scan(ctx); err != nil {
			return nil, err
		}
		var old []int64
		for _, r := range found {
			known[r.Hash] = r.ID
			if now-r.Last > int64(touchEvery) {
				old = append(old, r.ID)
			}
		}
		if len(old) > 0 {
			if _, err := tx.NewRaw("UPDATE flow_ends SET last = ? WHERE id IN (?)", now, bun.List(old)).Exec(ctx); err != nil {
				return nil, err
			}
		}
		var fresh []flowEndRow
		for _, h := range part {
			if _, ok := known[h]; !ok {
				fresh = append(fresh, rows[h])
			}
		}
		if err := insertEnds(ctx, tx, fresh, known); err != nil {
			return nil, err
		}
	}
	return known, nil
}

func insertEnds(ctx context.Context, tx bun.Tx, fresh []flowEndRow, known map[string]int64) error {
	if len(fresh) == 0 {
		return nil
	}
	hashes := make([]string, len(fresh))
	for i, r := range fresh {
		hashes[i] = r.Hash
	}
	if _, err := tx.NewInsert().Model(&fresh).Returning("NULL").Exec(ctx); err != nil {
		return err
	}
	var made []flowEndRow
	if err := tx.NewSelect().Model(&made).Column("id", "hash").Where("hash IN (?)", bun.List(hashes)).Scan(ctx); err != nil {
		return err
	}
	for _, r := range made {
		known[r.Hash] = r.ID
	}
	return nil
}
