// Package flowreport is what an agent tells the control plane about the network:
// batches of rows, each what one workload's flows with one peer came to in a window
// of time, and how they are sent. Workloads are named by namespace/name and their
// labels; numbers mean something on a host only, and none is on the wire.
//
// A batch is JSON in one message of one gRPC call, so that a captured one can be
// read by a person. The call answers when the batch is stored: what is not answered
// is sent again, and known again by its queue and number.
//
// HTTP that an agent saw goes the same way, one exchange a row.
//
// It stores nothing, believes nothing, and knows no policy. segmentation/uplink
// sends with it, controlplane/ingest receives.
package flowreport

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// Bounds of one batch. A sender keeps them, a receiver holds them.
const (
	MaxBytes  = 2 << 20
	MaxRows   = 5000
	MaxLabels = 64  // of one workload
	MaxText   = 512 // bytes of one name, label, rule
	maxName   = 253 // of a DNS name (RFC 1035, 2.3.4)
)

// Batch is what is reported at once.
type Batch struct {
	// Queue names the sender's run, unique for all time. Seq counts its batches
	// from 1: one that is not above the last of its queue is a repetition.
	Queue string   `json:"queue"`
	Seq   uint64   `json:"seq"`
	Ends  []End    `json:"ends,omitempty"`
	Rules []string `json:"rules,omitempty"`
	Rows  []Row    `json:"rows,omitempty"`
}

// End is a workload, or else an address.
type End struct {
	Workload string            `json:"workload,omitempty"` // namespace/name
	Labels   map[string]string `json:"labels,omitempty"`
	Address  netip.Addr        `json:"address,omitzero"`
	// Name is the DNS name by which the other end was told the address.
	Name string `json:"name,omitempty"`
}

// Row is what flows came to, as one of their ends was judged.
type Row struct {
	Src      int    `json:"src"` // in Ends
	Dst      int    `json:"dst"`
	Protocol uint8  `json:"protocol"` // IANA's number
	Port     uint16 `json:"port,omitempty"`
	Egress   bool   `json:"egress,omitempty"` // judged at the source; else at the destination
	Verdict  uint8  `json:"verdict"`          // 0 denied, 1 audited, 2 allowed
	Rule     int    `json:"rule,omitempty"`   // in Rules, from 1; 0: no policy
	Reason   string `json:"reason,omitempty"` // of drops; "seen at start" of flows that were there before
	Flows    uint64 `json:"flows,omitempty"`  // that began
	Answered uint64 `json:"answered,omitempty"`
	Packets  uint64 `json:"packets,omitempty"`
	Bytes    uint64 `json:"bytes,omitempty"`
	First    int64  `json:"first"` // nanoseconds since 1970
	Last     int64  `json:"last"`
	// Process opened one of the flows, where that is known.
	Process *Process `json:"process,omitempty"`
}

// Process is who opened a flow.
type Process struct {
	PID        uint32 `json:"pid"`
	Executable string `json:"executable,omitempty"` // a path; where it could not be read, the command's name
	Cgroup     string `json:"cgroup,omitempty"`
}

// Lost is how many rows a queue has lost in all: told again it adds nothing.
type Lost struct {
	Queue string `json:"queue"`
	Total uint64 `json:"total"`
}

// Message is what one call carries: a batch, or exchanges, or a loss, or that the
// sender lives and has seen nothing for a while.
type Message struct {
	Batch     *Batch     `json:"batch,omitempty"`
	Exchanges *Exchanges `json:"exchanges,omitempty"`
	Lost      *Lost      `json:"lost,omitempty"`
	Alive     bool       `json:"alive,omitempty"`
	// Of says what Lost and Alive are about: flows, or OfExchanges.
	Of string `json:"of,omitempty"`
}

// Receipt is the answer: what was sent is stored and need not be kept.
type Receipt struct {
	Repeated bool   `json:"repeated,omitempty"`
	Refused  int    `json:"refused,omitempty"` // rows that were not the sender's to report
	Why      string `json:"why,omitempty"`     // of the first of them
	// Key is that under which an agent hashes what it tells of exchanges. It is the
	// answer to who says that it is alive and captures some.
	Key string `json:"key,omitempty"` // hexadecimal
}

// Encode writes a message, if it is one that Decode takes.
func (m Message) Encode() ([]byte, error) {
	if err := m.check(); err != nil {
		return nil, fmt.Errorf("write report of flows: %w", err)
	}
	b, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("write report of flows: %w", err)
	}
	return b, nil
}

// Decode reads a message and holds its bounds. Fields it does not know are let
// pass: an agent may be newer than the control plane.
func Decode(b []byte) (Message, error) {
	var m Message
	if len(b) > MaxBytes {
		return m, fmt.Errorf("read report of flows: %d bytes are more than %d", len(b), MaxBytes)
	}
	d := json.NewDecoder(bytes.NewReader(b))
	if err := d.Decode(&m); err != nil {
		return Message{}, fmt.Errorf("read report of flows: %w", err)
	}
	if err := m.check(); err != nil {
		return Message{}, fmt.Errorf("read report of flows: %w", err)
	}
	return m, nil
}

func (m Message) check() error {
	kinds := 0
	for _, is := range []bool{m.Batch != nil, m.Exchanges != nil, m.Lost != nil, m.Alive} {
		if is {
			kinds++
		}
	}
	switch {
	case kinds != 1:
		return errors.New("it is not one of batch, exchanges, lost, alive")
	case m.Of != "" && (m.Of != OfExchanges || m.Batch != nil):
		return errors.New("it is about something that is not known")
	case m.Exchanges != nil:
		return m.Exchanges.check()
	case m.Lost != nil:
		return checkQueue(m.Lost.Queue)
	case m.Batch != nil:
		return m.Batch.check()
	}
	return nil
}

func (b *Batch) check() error {
	if err := checkQueue(b.Queue); err != nil {
		return err
	}
	switch {
	case b.Seq == 0 || b.Seq > 1<<62:
		return fmt.Errorf("batch %d: the first is 1", b.Seq)
	case len(b.Rows) > MaxRows:
		return fmt.Errorf("%d rows are more than %d", len(b.Rows), MaxRows)
	case len(b.Ends) > 2*MaxRows || len(b.Rules) > MaxRows:
		return errors.New("it names more than its rows can use")
	}
	for i := range b.Ends {
		if err := b.Ends[i].check(); err != nil {
			return fmt.Errorf("end %d: %w", i, err)
		}
	}
	for i, r := range b.Rules {
		if !sound(r) || r == "" {
			return fmt.Errorf("rule %d is no text of 1 to %d bytes", i+1, MaxText)
		}
	}
	for i := range b.Rows {
		if err := b.Rows[i].check(b); err != nil {
			return fmt.Errorf("row %d: %w", i, err)
		}
	}
	return nil
}

func checkQueue(name string) error {
	if name == "" || len(name) > 64 || strings.Trim(name, "0123456789abcdefghijklmnopqrstuvwxyz-") != "" {
		return errors.New("the queue's name is not of 1 to 64 lower-case letters, digits and -")
	}
	return nil
}

func (e *End) check() error {
	if e.Workload == "" {
		if !e.Address.IsValid() || e.Address.Zone() != "" || len(e.Labels) > 0 || len(e.Name) > maxName || !sound(e.Name) {
			return errors.New("it is neither a workload nor an address")
		}
		return nil
	}
	namespace, name, _ := strings.Cut(e.Workload, "/")
	if namespace == "" || name == "" || strings.Contains(name, "/") || !sound(e.Workload) {
		return errors.New("it is no workload as namespace/name")
	}
	return CheckLabels(e.Labels)
}

// CheckLabels says why labels cannot be sent.
func CheckLabels(labels map[string]string) error {
	if len(labels) > MaxLabels {
		return fmt.Errorf("%d labels are more than %d", len(labels), MaxLabels)
	}
	for k, v := range labels {
		if k == "" || !sound(k) || !sound(v) {
			return errors.New("a label is no text")
		}
	}
	return nil
}

func (r *Row) check(b *Batch) error {
	switch {
	case r.Src < 0 || r.Src >= len(b.Ends) || r.Dst < 0 || r.Dst >= len(b.Ends):
		return errors.New("its ends are not listed")
	case b.Ends[r.judged()].Workload == "":
		return errors.New("nobody judged it: that end is no workload")
	case r.Rule < 0 || r.Rule > len(b.Rules):
		return errors.New("its rule is not listed")
	case r.Verdict > 2 || !sound(r.Reason):
		return errors.New("its verdict or reason is none")
	case r.Flows > 1<<48 || r.Answered > 1<<48 || r.Packets > 1<<48 || r.Bytes > 1<<56:
		return errors.New("nobody counts that far")
	case r.First < 0 || r.Last < r.First:
		return errors.New("it ends before it begins")
	case r.Process != nil && !(sound(r.Process.Executable) && sound(r.Process.Cgroup)):
		return errors.New("its process is no text")
	}
	return nil
}

// judged is the end at which a row was judged.
func (r *Row) judged() int {
	if r.Egress {
		return r.Src
	}
	return r.Dst
}

// By names the workload at which a row of the batch was judged.
func (b *Batch) By(r *Row) string { return b.Ends[r.judged()].Workload }

// RuleOf names what decided a row; empty: no policy did.
func (b *Batch) RuleOf(r *Row) string {
	if r.Rule == 0 {
		return ""
	}
	return b.Rules[r.Rule-1]
}

// sound says whether a text can be stored and shown.
func sound(s string) bool {
	return len(s) <= MaxText && !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f || r == '\uFFFD' })
}

// Text is a text as it can be sent: cut, and without what cannot be shown.
func Text(s string) string {
	if sound(s) {
		return s
	}
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == '\uFFFD' {
			return '?'
		}
		return r
	}, s)
	for len(s) > MaxText {
		s = strings.ToValidUTF8(s[:MaxText], "")
	}
	return s
}

// Time is a row's moment.
func Time(ns int64) time.Time { return time.Unix(0, ns).UTC() }
