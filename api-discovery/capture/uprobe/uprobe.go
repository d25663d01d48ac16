// Package uprobe sees HTTP inside TLS, in the processes of workloads whose owners
// asked for it: probes at the functions of libssl, and of Go's crypto/tls, tell what
// a process gives to the library and gets from it, and that becomes exchanges, as
// api-discovery/capture makes them of what goes in cleartext.
//
// It puts probes into the processes that it is told, and into no others; they go when
// it ends, whatever the way. It holds no keys and changes no traffic: what does not
// fit is lost and counted. What it hands over holds raw values and belongs before a
// door (internal/exchange). cmd/gabion-agent imports it.
package uprobe

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/ringbuf"
	"github.com/cilium/ebpf/rlimit"
	"golang.org/x/sys/unix"

	"github.com/gabion-io/gabion/api-discovery/capture"
	"github.com/gabion-io/gabion/api-discovery/capture/bpf"
	"github.com/gabion-io/gabion/api-discovery/capture/stream"
	"github.com/gabion-io/gabion/workload"
)

// Member is a process of a workload that asked to be seen.
type Member struct {
	PID      int
	Workload *workload.Workload
}

// Options wire a Watch. Emit and Find are required.
type Options struct {
	Emit func(*capture.Seen) // called by Run
	// Find lists the processes to see. It is called by Keep, at least once a second.
	Find func() ([]Member, error)
	// Owner says whose an address is. Called by Run. nil: nobody knows.
	Owner   func(netip.Addr) *workload.Workload
	Cgroups string // where the v2 hierarchy is mounted
	Log     *slog.Logger
	Conns   int // followed at once; default 8,192 in memory, 16,384 in the kernel
}

// Counters say what was seen and what was not.
type Counters struct {
	stream.Counters
	Processes    uint64 // that have probes, or were found to have nothing to probe
	Attached     uint64 // libraries in processes that got probes, in all
	Unattached   uint64 // those that could not get them
	Overfull     uint64 // processes beyond the bound, now
	Conns        uint64 // connections on which a request was seen
	Pieces       uint64 // of plaintext that the programs told
	Bytes        uint64
	Skipped      uint64 // bytes of long bodies that nobody needs
	Dropped      uint64 // pieces that did not fit into the ring: the reader was too slow
	DroppedBytes uint64
	Full         uint64 // calls and connections that the kernel could not remember
	Others       uint64 // connections that are no HTTP
	Unreadable   uint64 // times that a process's memory could not be read
	Homeless     uint64 // exchanges on connections whose socket is not known
	Late         uint64 // calls that returned something when their connection had ended
	Twice        uint64 // pieces of connections whose other end tells them as well
	Stray        uint64 // pieces of processes that are not seen (any more)
	Garbled      uint64 // records that cannot be read
}

// Watch is a running view. Keep and Run are for one goroutine each.
type Watch struct {
	o         Options
	all       *ebpf.Collection
	fixed     []link.Link // tracepoints
	pieces    *ringbuf.Reader
	begun     *ringbuf.Reader
	boot      time.Time // when the kernel's clock began
	namespace uint64    // of the network, our own

	// Of Keep.
	processes map[int]*process
	libraries map[fileKey]found
	scopes    map[uint64]bool
	said      map[string]bool

	// Of Run.
	tracker *stream.Tracker
	conns   map[uint64]*known
	ends    map[ends]*known
	n       Counters
	asked   chan chan Counters
	ended   chan struct{} // when Run has
	final   Counters      // then

	watched, attached, unattached, crowded atomic.Uint64

	lock   sync.Mutex
	owners map[uint32]*owner // by process
}

// Open loads the programs. Nothing is attached before Keep.
func Open(o Options) (*Watch, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Conns <= 0 {
		o.Conns = 8192
	}
	if err := rlimit.RemoveMemlock(); err != nil {
		return nil, fmt.Errorf("raise limit of locked memory: %w", err)
	}
	w := &Watch{
		o: o, namespace: namespaceOf("self"), asked: make(chan chan Counters), ended: make(chan struct{}),
		processes: map[int]*process{}, libraries: map[fileKey]found{}, scopes: map[uint64]bool{}, said: map[string]bool{},
		conns: map[uint64]*known{}, ends: map[ends]*known{}, owners: map[uint32]*owner{},
	}
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err == nil {
		w.boot = time.Now().Add(-time.Duration(ts.Nano()))
	}
	w.tracker = stream.New(stream.Options{Conns: o.Conns, Scheme: "https", Emit: w.emit, Ignore: w.ignore})
	if err := w.load(); err != nil {
		return nil, errors.Join(err, w.Close())
	}
	return w, nil
}

func (w *Watch) load() error {
	spec, err := bpf.LoadTLS()
	if err != nil {
		return fmt.Errorf("read programs: %w", err)
	}
	if runtime.GOARCH == "arm64" {
		if err := spec.Variables["arm64"].Set(uint32(1)); err != nil {
			return fmt.Errorf("prepare programs: %w", err)
		}
	}
	if w.all, err = ebpf.NewCollection(spec); err != nil {
		return fmt.Errorf("load programs: %w", err)
	}
	if w.pieces, err = ringbuf.NewReader(w.all.Maps["pieces"]); err != nil {
		return fmt.Errorf("open ring: %w", err)
	}
	if w.begun, err = ringbuf.NewReader(w.all.Maps["begun"]); err != nil {
		return fmt.Errorf("open ring: %w", err)
	}
	for _, name := range []string{"socket_sends", "socket_receives", "process_runs", "process_forks"} {
		l, err := link.AttachTracing(link.TracingOptions{Program: w.all.Programs[name]})
		if err != nil {
			return fmt.Errorf("attach %s: %w", name, err)
		}
		w.fixed = append(w.fixed, l)
	}
	return nil
}

// Close ends what Keep and Run, which must have returned, have left.
func (w *Watch) Close() (err error) {
	for _, l := range w.fixed {
		err = errors.Join(err, l.Close())
	}
	for _, r := range []*ringbuf.Reader{w.pieces, w.begun} {
		if r != nil {
			err = errors.Join(err, r.Close())
		}
	}
	if w.all != nil {
		w.all.Close()
	}
	return err
}

// readEvery is how often Run looks for what the programs told. They wake it only when
// there is much.
const readEvery = 20 * time.Millisecond

// Run reads what the programs tell until the context ends. What there is of exchanges
// then is told.
func (w *Watch) Run(ctx context.Context) error {
	defer func() {
		w.tracker.Close()
		w.final = w.counters()
		close(w.ended)
	}()
	var record ringbuf.Record
	tick := time.Now()
	for ctx.Err() == nil {
		w.pieces.SetDeadline(time.Now().Add(readEvery))
		err := w.pieces.ReadInto(&record)
		select {
		case answer := <-w.asked:
			answer <- w.counters()
		default:
		}
		switch {
		case errors.Is(err, ringbuf.ErrClosed):
			return nil
		case errors.Is(err, os.ErrDeadlineExceeded):
		case err != nil:
			return fmt.Errorf("read plaintext: %w", err)
		default:
			w.take(record.RawSample)
		}
		if now := time.Now(); now.Sub(tick) > time.Second {
			tick = now
			w.tracker.Tick(now)
			w.tidy(now)
		}
	}
	return w.drain(&record)
}

// drain reads what was told before the end, and no more than a ring may hold.
func (w *Watch) drain(record *ringbuf.Record) error {
	for left := w.pieces.BufferSize(); left > 0; left -= len(record.RawSample) {
		w.pieces.SetDeadline(time.Now())
		err := w.pieces.ReadInto(record)
		if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, ringbuf.ErrClosed) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read the last plaintext: %w", err)
		}
		w.take(record.RawSample)
	}
	return nil
}

// Counters asks Run for the totals so far; when that has returned, they are the last.
func (w *Watch) Counters(ctx context.Context) (Counters, error) {
	answer := make(chan Counters, 1)
	select {
	case w.asked <- answer:
	case <-w.ended:
		return w.final, nil
	case <-ctx.Done():
		return Counters{}, ctx.Err()
	}
	return <-answer, nil
}

func (w *Watch) counters() Counters {
	n := w.n
	n.Counters = w.tracker.Counters()
	n.Processes, n.Attached, n.Unattached, n.Overfull = w.watched.Load(), w.attached.Load(), w.unattached.Load(), w.crowded.Load()
	for i, to := range []*uint64{&n.Conns, &n.Pieces, &n.Bytes, &n.Skipped, &n.Dropped, &n.DroppedBytes, &n.Full, &n.Others, &n.Unreadable, &n.Late} {
		var each []uint64
		if err := w.all.Maps["counters"].Lookup(uint32(i), &each); err != nil {
			continue
		}
		for _, v := range each {
			*to += v
		}
	}
	return n
}

// Incomplete is how much of the HTTP was not seen as exchanges, in one number: for
// coverage.
func (n *Counters) Incomplete() uint64 {
	return n.Dropped + n.Unreadable + n.Stray + n.Garbled + n.Lost + n.GivenUp + n.Evicted + n.Crowded + n.Full + n.Unpaired + n.Ambiguous
}

// take reads one record.
func (w *Watch) take(b []byte) {
	var p bpf.Plain
	if _, err := binary.Decode(b, binary.NativeEndian, &p); err != nil || int(p.Length) > len(b)-bpf.PlainSize {
		w.n.Garbled++
		return
	}
	w.piece(&p, b[bpf.PlainSize:][:p.Length])
}
