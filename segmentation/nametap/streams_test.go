package nametap

import (
	"encoding/binary"
	"strings"
	"testing"
)

// A connection is read from its beginning and without a gap, or not at all: whoever asks
// could have a segment begin within a message.
func TestStreams(t *testing.T) {
	const syn, psh = 0x12, 0x18
	type segment struct {
		seq   uint32
		flags byte
		bytes string
		want  string
	}
	const one, two = "\x00\x03one", "\x00\x03two"
	for name, list := range map[string][]segment{
		"from its beginning":      {{99, syn, "", ""}, {100, psh, one, "one"}, {105, psh, two + one, "two one"}, {115, psh, two, "two"}},
		"over the end of numbers": {{1<<32 - 3, syn, "", ""}, {1<<32 - 2, psh, one, "one"}, {3, psh, two, "two"}},
		"not from its beginning":  {{100, psh, one, ""}, {105, psh, two, ""}},
		"what comes again":        {{99, syn, "", ""}, {100, psh, one, "one"}, {100, psh, one, ""}, {99, syn, "", ""}, {100, psh, one, "one"}, {105, psh, two, "two"}},
		"within a message":        {{99, syn, "", ""}, {100, psh, "\x00\x09what", ""}, {106, psh, one, ""}, {111, psh, two, ""}},
		"after a gap":             {{99, syn, "", ""}, {100, psh, one, "one"}, {110, psh, two, ""}, {105, psh, one, ""}},
		"another connection":      {{99, syn, "", ""}, {100, psh, one, "one"}, {6999, syn, "", ""}, {105, psh, one, ""}, {7000, psh, two, "two"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := NewStreams()
			for i, step := range list {
				m := frame(4, tcp, []byte(step.bytes), "begun")
				m.Workload, m.FromPort, m.ToPort = 1, 53, 40000
				binary.BigEndian.PutUint32(m.Frame[m.L4+4:], step.seq)
				m.Frame[m.L4+13] = step.flags
				var got []string
				for _, p := range s.Payloads(m) {
					got = append(got, string(p))
				}
				if strings.Join(got, " ") != step.want {
					t.Errorf("segment %d: %q, not %q", i, got, step.want)
				}
			}
		})
	}
}

// However many connections one workload opens, no more are remembered of it, and others
// lose none.
func TestStreamsAreBounded(t *testing.T) {
	s := NewStreams()
	begin := func(workload uint32, port uint16) {
		m := frame(4, tcp, nil, "begun")
		m.Workload, m.FromPort, m.ToPort = workload, 53, port
		m.Frame[m.L4+13] = 0x12
		s.Payloads(m)
	}
	begin(2, 1)
	for port := range uint16(maxStreams + 10) {
		begin(1, port)
	}
	if len(s.next[1]) != maxStreams || len(s.next[2]) != 1 {
		t.Errorf("%d and %d are remembered", len(s.next[1]), len(s.next[2]))
	}
	s.Forget(func(n uint32) bool { return n == 2 })
	if len(s.next) != 1 {
		t.Error("a workload that is gone is remembered")
	}
}
