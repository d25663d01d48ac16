// Package capture sees HTTP in cleartext on the interfaces of workloads, without a
// proxy: programs in the kernel tell the bytes of connections on which a request
// was seen, and what they carry becomes exchanges, with the workloads and the
// process they belong to. Encrypted traffic it does not see.
//
// It changes no packet, and needs nobody: when it does not run, or cannot keep up,
// traffic is as it was and the loss is counted. What it hands over holds raw values
// and belongs before a door (internal/exchange). cmd/gabion-agent imports it.
package capture

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"slices"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/ringbuf"
	"github.com/cilium/ebpf/rlimit"
	"golang.org/x/sys/unix"

	"github.com/gabion-io/gabion/api-discovery/capture/bpf"
	"github.com/gabion-io/gabion/api-discovery/capture/stream"
	"github.com/gabion-io/gabion/internal/exchange"
	"github.com/gabion-io/gabion/internal/tcx"
	"github.com/gabion-io/gabion/workload"
)

// Seen is an exchange and who took part in it.
type Seen struct {
	stream.Exchange
	From, To *workload.Workload // nil: of an address that is no workload's
	Process  *Process           // of the client, or whose TLS was seen; nil: not known
	TLS      bool               // it was inside, and seen at Process's library
}

// Process is who opened a connection.
type Process struct {
	PID        uint32 // of the host
	Executable string
	Cgroup     string
}

// Processes says whose a socket is, by its cookie. It may be asked by one goroutine.
type Processes interface {
	Of(cookie uint64) (Process, bool)
}

// Interface is the host's end of a workload's link.
type Interface struct {
	Name     string
	Workload *workload.Workload
}

// Options wire a Capture. Emit is required.
type Options struct {
	Pins      string // directory on a BPF file system, for the attachments
	Emit      func(*Seen)
	Processes Processes // nil: nobody knows
	Log       *slog.Logger
	Conns     int // followed at once; default 8,192 in memory, 32,768 in the kernel
}

// Counters say what was seen and what was not.
type Counters struct {
	stream.Counters
	Streams      uint64 // connections on which a request was seen
	Segments     uint64 // pieces that the programs told
	Bytes        uint64
	Skipped      uint64 // bytes of long bodies that nobody needs
	Dropped      uint64 // pieces that did not fit into the ring: the reader was too slow
	DroppedBytes uint64
	Full         uint64 // connections that the kernel could not remember
	Spoofed      uint64 // pieces whose address is not the interface's
	Garbled      uint64 // records that cannot be read
}

// Capture is a running capture. Follow and Run are for one goroutine each.
type Capture struct {
	o       Options
	pins    tcx.Pins
	all     *ebpf.Collection
	ring    *ringbuf.Reader
	tracker *stream.Tracker
	changed chan view
	asked   chan chan Counters
	ended   chan struct{} // when Run has
	final   Counters      // then
	spoofed uint64
	garbled uint64
	boot    time.Time // when the kernel's clock began
	now     view
}

// view is what is known of interfaces and addresses.
type view struct {
	owners    map[uint32]*workload.Workload // by interface index
	addresses map[netip.Addr]*workload.Workload
}

// Open loads the programs. Nothing is attached before Follow.
func Open(o Options) (*Capture, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if err := rlimit.RemoveMemlock(); err != nil {
		return nil, fmt.Errorf("raise limit of locked memory: %w", err)
	}
	if err := Remove(o.Pins); err != nil { // what a killed run left tells a ring that nobody reads
		return nil, err
	}
	spec, err := bpf.LoadHTTP()
	if err != nil {
		return nil, fmt.Errorf("read programs: %w", err)
	}
	all, err := ebpf.NewCollection(spec)
	if err != nil {
		return nil, fmt.Errorf("load programs: %w", err)
	}
	ring, err := ringbuf.NewReader(all.Maps["segments"])
	if err != nil {
		all.Close()
		return nil, fmt.Errorf("open ring: %w", err)
	}
	c := &Capture{
		o: o, pins: tcx.Pins{Dir: o.Pins}, all: all, ring: ring,
		changed: make(chan view, 1), asked: make(chan chan Counters), ended: make(chan struct{}), boot: bootTime(),
	}
	c.tracker = stream.New(stream.Options{Conns: o.Conns, Emit: c.emit, Ignore: c.ignore})
	return c, nil
}

// bootTime is when the monotonic clock began.
func bootTime() time.Time {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		return time.Time{}
	}
	return time.Now().Add(-time.Duration(ts.Nano()))
}

// Close takes the programs off all interfaces.
func (c *Capture) Close() error {
	err := errors.Join(c.ring.Close(), Remove(c.o.Pins))
	c.all.Close()
	return err
}

// Remove takes off what an earlier run left. There may be nothing.
func Remove(pins string) error { return tcx.Pins{Dir: pins}.DetachAll() }

// Program returns one of the programs by the name it has in the source.
func (c *Capture) Program(name string) *ebpf.Program { return c.all.Programs[name] }

// Attach puts the programs on the interfaces that exist, before all others, and
// takes them off those that are not listed. all are the workloads whose addresses
// are known. Call it again when interfaces came: it costs little when nothing
// changed.
func (c *Capture) Attach(list []Interface, all []*workload.Workload, index func(name string) (int, bool)) error {
	attached, err := c.pins.Attached()
	if err != nil {
		return err
	}
	v := view{owners: map[uint32]*workload.Workload{}, addresses: map[netip.Addr]*workload.Workload{}}
	for _, w := range all {
		for _, a := range w.Addresses {
			v.addresses[a.Unmap()] = w
		}
	}
	for _, i := range list {
		n, ok := index(i.Name)
		if !ok {
			continue // it may come
		}
		v.owners[uint32(n)] = i.Workload
	}
	c.publish(v)
	var bad []error
	for n, w := range v.owners {
		if slices.Contains(attached, int(n)) {
			continue
		}
		if err := c.attach(int(n)); err != nil {
			bad = append(bad, fmt.Errorf("capture HTTP of %s: %w", w.ID, err))
			continue
		}
		c.o.Log.Info("capturing HTTP", "interface", n, "workload", w.ID)
	}
	for _, n := range attached {
		if v.owners[uint32(n)] == nil {
			bad = append(bad, c.pins.Detach(n, tcx.Ingress), c.pins.Detach(n, tcx.Egress))
		}
	}
	return errors.Join(bad...)
}

func (c *Capture) attach(index int) error {
	if err := c.pins.Attach(c.all.Programs["to_workload"], index, tcx.Egress, tcx.First); err != nil {
		return err
	}
	return c.pins.Attach(c.all.Programs["from_workload"], index, tcx.Ingress, tcx.First)
}

// publish gives Run the newest view.
func (c *Capture) publish(v view) {
	select {
	case <-c.changed:
	default:
	}
	c.changed <- v
}

// Run reads what the programs tell until the context ends. What there is of
// exchanges then is told.
func (c *Capture) Run(ctx context.Context) error {
	defer func() {
		c.tracker.Close()
		c.final = c.counters()
		close(c.ended)
	}()
	var record ringbuf.Record
	tick := time.Now()
	for ctx.Err() == nil {
		c.ring.SetDeadline(time.Now().Add(time.Second / 4))
		err := c.ring.ReadInto(&record)
		c.refresh()
		switch {
		case errors.Is(err, ringbuf.ErrClosed):
			return nil
		case errors.Is(err, os.ErrDeadlineExceeded):
		case err != nil:
			return fmt.Errorf("read captured segments: %w", err)
		default:
			c.take(record.RawSample)
		}
		if now := time.Now(); now.Sub(tick) > time.Second {
			tick = now
			c.tracker.Tick(now)
		}
	}
	return nil
}

// refresh takes what others want of the reading goroutine.
func (c *Capture) refresh() {
	select {
	case c.now = <-c.changed:
	case answer := <-c.asked:
		answer <- c.counters()
	default:
	}
}

// take reads one record.
func (c *Capture) take(b []byte) {
	var s bpf.Segment
	if _, err := binary.Decode(b, binary.NativeEndian, &s); err != nil || int(s.Length) > len(b)-bpf.SegmentSize {
		c.garbled++
		return
	}
	from := netip.AddrPortFrom(s.From.Addr(), s.FromPort)
	to := netip.AddrPortFrom(s.To.Addr(), s.ToPort)
	mine := to
	if s.Outbound != 0 {
		mine = from
	}
	// A workload may speak for its own addresses only.
	owner, speaker := c.now.owners[s.Ifindex], c.now.addresses[mine.Addr()]
	if owner == nil || speaker == nil || owner.ID != speaker.ID {
		c.spoofed++
		return
	}
	c.tracker.Add(&stream.Segment{
		ID: s.ID, Time: c.boot.Add(time.Duration(s.Time)), From: from, To: to, Client: s.Client != 0, Cookie: s.Cookie,
		Seq: s.Seq, Skipped: s.Skipped, FIN: s.Flags&bpf.FIN != 0, RST: s.Flags&bpf.RST != 0,
		Data: b[bpf.SegmentSize:][:s.Length],
	})
}

// emit adds who took part.
func (c *Capture) emit(x *stream.Exchange) {
	s := &Seen{Exchange: *x, From: c.now.addresses[x.Client.Addr()], To: c.now.addresses[x.Server.Addr()]}
	if c.o.Processes != nil && x.Cookie != 0 {
		if p, ok := c.o.Processes.Of(x.Cookie); ok {
			s.Process = &p
		}
	}
	c.o.Emit(s)
}

// ignore tells the programs that a connection is not to be read. That it may be
// gone is no error, and that it goes on costs only work.
func (c *Capture) ignore(_ uint64, client, server netip.AddrPort) {
	k := keyOf(client, server)
	var s bpf.Stream
	m := c.all.Maps["streams"]
	err := m.Lookup(&k, &s)
	if err == nil {
		s.State = bpf.Ignored
		err = m.Update(&k, &s, ebpf.UpdateExist)
	}
	if err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
		c.o.Log.Warn("a connection is read on in vain", "error", err)
	}
}

// keyOf puts the ends in the programs' order: by two words of the machine, and by
// port.
func keyOf(a, b netip.AddrPort) (k bpf.Key) {
	k.Ends = [2]bpf.Address{bpf.AddressOf(a.Addr()), bpf.AddressOf(b.Addr())}
	k.Ports = [2]uint16{a.Port(), b.Port()}
	word := func(end, at int) uint64 { return binary.NativeEndian.Uint64(k.Ends[end][at:]) }
	swap := k.Ports[0] > k.Ports[1]
	for _, at := range []int{8, 0} {
		if x, y := word(0, at), word(1, at); x != y {
			swap = x > y
		}
	}
	if swap {
		k.Ends[0], k.Ends[1] = k.Ends[1], k.Ends[0]
		k.Ports[0], k.Ports[1] = k.Ports[1], k.Ports[0]
	}
	return k
}

// Counters asks Run for the totals so far; when that has returned, they are the last.
func (c *Capture) Counters(ctx context.Context) (Counters, error) {
	answer := make(chan Counters, 1)
	select {
	case c.asked <- answer:
	case <-c.ended:
		return c.final, nil
	case <-ctx.Done():
		return Counters{}, ctx.Err()
	}
	return <-answer, nil
}

func (c *Capture) counters() Counters {
	n := Counters{Counters: c.tracker.Counters(), Spoofed: c.spoofed, Garbled: c.garbled}
	for i, to := range []*uint64{&n.Streams, &n.Segments, &n.Bytes, &n.Skipped, &n.Dropped, &n.DroppedBytes, &n.Full} {
		var each []uint64
		if err := c.all.Maps["counters"].Lookup(uint32(i), &each); err != nil {
			continue
		}
		for _, v := range each {
			*to += v
		}
	}
	return n
}

// Incomplete is how much of the traffic was not seen as exchanges, in one number: for
// coverage.
func (n *Counters) Incomplete() uint64 {
	return n.Dropped + n.Garbled + n.Lost + n.GivenUp + n.Evicted + n.Crowded + n.Full + n.Unpaired + n.Ambiguous
}

// requestID is the header by which Envoy names a request: to the service, and to the
// client in the response.
const requestID = "x-request-id"

// Legs name the exchange as a proxy would that is one of its ends (exchange.Leg).
func (s *Seen) Legs(k exchange.Key) (legs []uint64) {
	asked, answered := s.Raw.Request.Get(requestID), s.Raw.Response.Get(requestID)
	for i, id := range []string{asked, answered} {
		if leg := k.Leg(id, s.Client, s.Server); leg != 0 && (i == 0 || answered != asked) {
			legs = append(legs, leg)
		}
	}
	return legs
}

// Observe is what of an exchange goes on: past the door.
func (s *Seen) Observe(d *exchange.Door) *exchange.Observation {
	o := new(exchange.Observation)
	d.Observe(&s.Raw, o)
	if s.From != nil {
		o.Caller = exchange.CallerSeen{Kind: "workload", Hash: d.Key.Hash(s.From.ID.String()), Name: s.From.ID.String()}
	}
	return o
}
