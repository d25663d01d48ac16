package flowlog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/ringbuf"

	"github.com/gabion-io/gabion/segmentation/bpf"
)

// Events are samples of new flows and drops: of each row the first, the second,
// the fourth and so on, and of one workload a few a second at most.
type Events struct {
	ring    *ringbuf.Reader
	sockets *ebpf.Map
	record  ringbuf.Record
}

// Event is a sample, with who opened the flow where that is known.
type Event struct {
	bpf.Event
	Process *bpf.Process
}

// NewEvents begins to read. There can be one reader.
func NewEvents(m Maps) (*Events, error) {
	r, err := ringbuf.NewReader(m.Events)
	if err != nil {
		return nil, fmt.Errorf("open ring of events: %w", err)
	}
	return &Events{ring: r, sockets: m.Sockets}, nil
}

// Close ends a Next that waits.
func (e *Events) Close() error { return e.ring.Close() }

// Next waits for an event until a moment, forever if it is zero. The error is
// os.ErrDeadlineExceeded or os.ErrClosed when there is none.
func (e *Events) Next(until time.Time) (Event, error) {
	e.ring.SetDeadline(until)
	if err := e.ring.ReadInto(&e.record); err != nil {
		if errors.Is(err, ringbuf.ErrClosed) {
			err = os.ErrClosed
		}
		return Event{}, err
	}
	ev, err := decodeEvent(e.record.RawSample)
	if err != nil {
		return Event{}, err
	}
	out := Event{Event: ev}
	if ev.Cookie != 0 {
		var p bpf.Process
		if err := e.sockets.Lookup(ev.Cookie, &p); err == nil {
			out.Process = &p
		}
	}
	return out, nil
}

// decodeEvent reads what the programs wrote.
func decodeEvent(b []byte) (e bpf.Event, err error) {
	if _, err := binary.Decode(b, binary.NativeEndian, &e); err != nil {
		return e, fmt.Errorf("read event of %d bytes: %w", len(b), err)
	}
	return e, nil
}
