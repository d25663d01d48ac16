// Package nametap reads what the datapath's programs copy of the messages between
// workloads and name services, and passes on to the workloads the answers that the
// programs hold: a held one reaches its workload when Pass says so, and so not before
// the tables know what is in it.
//
// It understands frames, not DNS, and decides nothing. The agent imports it.
package nametap

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/ringbuf"
	"golang.org/x/sys/unix"

	"github.com/gabion-io/gabion/segmentation/bpf"
)

// Maps are what a Tap reads, and the word by which it says that it does.
type Maps struct {
	Names   *ebpf.Map
	Askings *ebpf.Map
	Control *ebpf.Map
}

// Tap reads; it is for one goroutine.
type Tap struct {
	maps    Maps
	ring    *ringbuf.Reader
	page    []byte
	reading *uint32
	socket  int
	record  ringbuf.Record
}

// Message is one frame that was copied.
type Message struct {
	bpf.Message
	Frame []byte // valid until the next message
}

// Client is the workload's end, Server the other.
func (m *Message) Client() netip.AddrPort {
	if m.Outbound != 0 {
		return netip.AddrPortFrom(m.From.Addr(), m.FromPort)
	}
	return netip.AddrPortFrom(m.To.Addr(), m.ToPort)
}

// Server is the end that is not the workload.
func (m *Message) Server() netip.Addr {
	if m.Outbound != 0 {
		return m.To.Addr()
	}
	return m.From.Addr()
}

// beat is how often the programs are told that somebody reads, unit what they count
// time in for it (names.h), alive for how long they believe it.
const (
	beat  = 200 * time.Millisecond
	unit  = 28
	alive = 4
)

// stale is how old a held answer may be and still be passed on: one that an agent
// which was killed has left behind. Whoever had asked has asked again by then.
const stale = 4 * time.Second

// Open prepares to read. There can be one reader, in the host's network namespace.
func Open(m Maps) (*Tap, error) {
	t := &Tap{maps: m, socket: -1}
	var err error
	if t.ring, err = ringbuf.NewReader(m.Names); err != nil {
		return nil, fmt.Errorf("open ring of names: %w", err)
	}
	if t.page, err = unix.Mmap(m.Control.FD(), 0, unix.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED); err != nil {
		return nil, errors.Join(fmt.Errorf("share control word: %w", err), t.Close())
	}
	t.reading = (*uint32)(unsafe.Pointer(&t.page[unsafe.Offsetof(bpf.Control{}.Reading)]))
	// Protocol 0: it sends, and is given nothing. What it sends goes to the driver at
	// once, past the hooks that the packet has passed already.
	if t.socket, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0); err == nil {
		err = unix.SetsockoptInt(t.socket, unix.SOL_PACKET, unix.PACKET_QDISC_BYPASS, 1)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open packet socket: %w", err), t.Close())
	}
	return t, nil
}

// Close lets go. Nothing is held any more after a second.
func (t *Tap) Close() error {
	err := t.ring.Close()
	if t.page != nil {
		err = errors.Join(err, unix.Munmap(t.page))
	}
	if t.socket >= 0 {
		err = errors.Join(err, unix.Close(t.socket))
	}
	return err
}

// Next waits for a message, for as long as going says that there is more to wait for.
// While it waits, and only then, the programs are told that somebody reads. When it
// is over the programs hold nothing more, what they held until then still comes, and
// then os.ErrDeadlineExceeded.
func (t *Tap) Next(going func() bool) (*Message, error) {
	for {
		last := !going()
		if last {
			atomic.StoreUint32(t.reading, 0)
			t.ring.SetDeadline(time.Now().Add(time.Millisecond))
		} else {
			atomic.StoreUint32(t.reading, uint32(monotonic()>>unit)+alive)
			t.ring.SetDeadline(time.Now().Add(beat))
		}
		err := t.ring.ReadInto(&t.record)
		if errors.Is(err, os.ErrDeadlineExceeded) && !last {
			continue
		}
		if err != nil {
			return nil, err
		}
		if m, ok := decode(t.record.RawSample); ok {
			return m, nil
		}
	}
}

// decode reads a record of the ring.
func decode(b []byte) (*Message, bool) {
	m := &Message{}
	n, err := binary.Decode(b, binary.NativeEndian, &m.Message)
	if err != nil || int(m.Length) > len(b)-n {
		return nil, false
	}
	m.Frame = b[n : n+int(m.Length)]
	return m, true
}

// Pass sends a held answer on to its workload, and does nothing with others.
func (t *Tap) Pass(m *Message) error {
	if m.Held == 0 || monotonic()-m.Time > uint64(stale) {
		return nil
	}
	kind := uint16(unix.ETH_P_IP)
	if m.Version == 6 {
		kind = unix.ETH_P_IPV6
	}
	to := &unix.SockaddrLinklayer{Ifindex: int(m.Ifindex), Protocol: kind<<8 | kind>>8}
	if err := unix.Sendto(t.socket, m.Frame, 0, to); err != nil {
		return fmt.Errorf("pass on an answer: %w", err)
	}
	return nil
}

// Lost counts the messages that the programs did not copy.
func (t *Tap) Lost() (n uint64, err error) {
	var workload uint32
	var a bpf.Asking
	for all := t.maps.Askings.Iterate(); all.Next(&workload, &a); {
		n += a.Lost
	}
	return n, nil
}

// monotonic is the programs' clock, in nanoseconds.
func monotonic() uint64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		return 0
	}
	return uint64(ts.Nano())
}
