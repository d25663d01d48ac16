// Package uplink sends what an agent saw to the control plane: windows of flows
// become batches, batches wait in a bounded queue on disk until they are answered,
// and what did not fit is counted and told. A batch is sent at least once; the
// receiver knows repetitions by the queue's name and the batch's number. HTTP that an
// agent saw goes by a queue of its own.
//
// It does not know how a connection is made, nor whether policy comes by it. The
// agent's program imports it.
package uplink

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"google.golang.org/grpc"

	"github.com/gabion-io/gabion/internal/flowreport"
	"github.com/gabion-io/gabion/internal/spool"
	"github.com/gabion-io/gabion/segmentation/agent"
)

// Options wire an Uplink.
type Options struct {
	Dir string // of the queue
	// Of is what this queue is of: "" are flows (Add), flowreport.OfExchanges is HTTP
	// (AddExchanges).
	Of string
	// Told is given what the control plane answers; may be nil.
	Told     func(flowreport.Receipt)
	MaxBytes int64 // of the queue; default 64 MiB: some 600,000 rows
	Conn     grpc.ClientConnInterface
	Log      *slog.Logger
	// Alive is after how long without flows the control plane is told that nothing
	// was seen; default 30 s.
	Alive time.Duration
	Retry time.Duration // the first wait after a failure, doubled up to 30 s; default 1 s
}

// Uplink queues and sends. Add is for one goroutine, Run for another.
type Uplink struct {
	o     Options
	queue string
	seq   uint64
	spool *spool.Writer
	wake  chan struct{}
}

// Open opens the queue. What an earlier run left in it is sent first.
func Open(o Options) (*Uplink, error) {
	o.MaxBytes = cmp.Or(o.MaxBytes, 64<<20)
	o.Alive = cmp.Or(o.Alive, 30*time.Second)
	o.Retry = cmp.Or(o.Retry, time.Second)
	w, err := spool.OpenWith(o.Dir, spool.Options{
		MaxBytes: o.MaxBytes, QueueBytes: 8 << 20, FlushEvery: time.Millisecond, Weight: weight,
	})
	if err != nil {
		return nil, fmt.Errorf("open queue of flows: %w", err)
	}
	random := make([]byte, 6)
	rand.Read(random) // never fails
	return &Uplink{
		o: o, spool: w, wake: make(chan struct{}, 1),
		queue: fmt.Sprintf("%016x-%s", time.Now().UnixNano(), hex.EncodeToString(random)),
	}, nil
}

// Close ends the queue; what is in it waits for the next run.
func (u *Uplink) Close() error { return u.spool.Close() }

// Add queues a window. When it returns the rows are in the file, or counted as
// lost: whoever dies afterwards loses none.
func (u *Uplink) Add(w agent.Window) {
	if w.Lost > 0 {
		u.spool.Lose(int(w.Lost))
	}
	for rows := w.Sightings; len(rows) > 0; {
		n := min(len(rows), maxRows)
		u.seq++
		rec, err := record(batchOf(u.queue, u.seq, rows[:n]))
		if err != nil {
			u.o.Log.Error("flows cannot be written", "error", err)
			u.spool.Lose(n)
		} else {
			u.spool.Append(rec)
		}
		rows = rows[n:]
	}
	if len(w.Sightings)+int(w.Lost) > 0 {
		u.spool.Flush()
		select {
		case u.wake <- struct{}{}:
		default:
		}
	}
}

// maxExchangeBytes of one message, well below what a receiver takes.
const maxExchangeBytes = 512 << 10

// AddExchanges queues exchanges, and how many were lost on the way here; like Add,
// it is for one goroutine.
func (u *Uplink) AddExchanges(list []flowreport.Exchange, lost uint64) {
	if lost > 0 {
		u.spool.Lose(int(lost))
	}
	for len(list) > 0 {
		n, size := 0, 0
		for n < len(list) && n < flowreport.MaxExchanges && (n == 0 || size < maxExchangeBytes) {
			size += len(list[n].Observation) + len(list[n].Path) + 1024 // and its ends
			n++
		}
		u.seq++
		rec, err := weighed(n, flowreport.Message{Exchanges: &flowreport.Exchanges{Queue: u.queue, Seq: u.seq, List: list[:n]}})
		if err != nil {
			u.o.Log.Error("exchanges cannot be written", "error", err)
			u.spool.Lose(n)
		} else {
			u.spool.Append(rec)
		}
		list = list[n:]
	}
	u.spool.Flush()
	select {
	case u.wake <- struct{}{}:
	default:
	}
}

// Run sends what is queued until the context ends.
func (u *Uplink) Run(ctx context.Context) error {
	s := &sending{Uplink: u}
	wait := time.Duration(0)
	for {
		err := s.pass(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && wait == 0:
			u.o.Log.Warn("flows cannot be sent; they wait in the queue", "error", err)
			wait = u.o.Retry
		case err != nil:
			wait = min(2*wait, 30*time.Second)
		case wait > 0:
			u.o.Log.Info("flows are sent again")
			wait = 0
		}
		if !u.rest(ctx, wait) {
			return nil
		}
		// We have waited ourselves, and no longer than gRPC would.
		if c, ok := u.o.Conn.(interface{ ResetConnectBackoff() }); ok && wait > 0 {
			c.ResetConnectBackoff()
		}
	}
}

// rest waits: after a failure for the time, else for something to send.
func (u *Uplink) rest(ctx context.Context, wait time.Duration) bool {
	wake := u.wake
	if wait > 0 {
		wake = nil
	} else {
		wait = u.o.Alive
	}
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-wake:
	case <-t.C:
	}
	return true
}

// sending is one goroutine's work.
type sending struct {
	*Uplink
	last time.Time // of an answer
}

// callTime bounds one call: a control plane that does not answer is away.
const callTime = 30 * time.Second

// pass sends everything that is queued, and that we live if that was nothing.
func (s *sending) pass(ctx context.Context) error {
	_, err := spool.Drainer{
		Weight: weight, Batch: 8,
		Records: func(recs [][]byte) error {
			for _, rec := range recs {
				if err := s.send(ctx, body(rec)); err != nil {
					return err
				}
			}
			return nil
		},
		Loss: func(l spool.Loss) error {
			b, err := flowreport.Message{Of: s.o.Of, Lost: &flowreport.Lost{Queue: l.Writer, Total: l.Total}}.Encode()
			if err != nil {
				return err
			}
			return s.send(ctx, b)
		},
	}.Drain(s.o.Dir)
	if err != nil || time.Since(s.last) < s.o.Alive {
		return err
	}
	b, err := flowreport.Message{Of: s.o.Of, Alive: true}.Encode()
	if err != nil {
		return err
	}
	return s.send(ctx, b)
}

// send returns nil when the message need not be kept: it is stored, or never
// will be.
func (s *sending) send(ctx context.Context, b []byte) error {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	r, err := flowreport.Send(ctx, s.o.Conn, b)
	switch {
	case flowreport.Hopeless(err):
		s.o.Log.Error("the control plane cannot read a report of flows; it is dropped", "error", err)
	case err != nil:
		return errors.Join(errors.New("report flows"), err)
	case r.Refused > 0:
		s.o.Log.Warn("the control plane refused flows", "rows", r.Refused, "why", r.Why)
	}
	if err == nil && s.o.Told != nil {
		s.o.Told(r)
	}
	s.last = time.Now()
	return nil
}
