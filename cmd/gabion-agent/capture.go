package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/gabion-io/gabion/api-discovery/capture"
	"github.com/gabion-io/gabion/controlplane/identity/enrol"
	"github.com/gabion-io/gabion/internal/exchange"
	"github.com/gabion-io/gabion/internal/flowreport"
	"github.com/gabion-io/gabion/segmentation/agent"
	"github.com/gabion-io/gabion/segmentation/datapath"
	"github.com/gabion-io/gabion/segmentation/flowlog"
	"github.com/gabion-io/gabion/segmentation/uplink"
	"github.com/gabion-io/gabion/workload"
)

// seeing is HTTP that the host's workloads speak: captured, past the door, queued
// for the control plane. A nil one sees nothing.
type seeing struct {
	pins    string // of the agent
	up      *uplink.Uplink
	key     chan exchange.Key
	desired chan agent.Desired // the newest
	rows    chan *capture.Seen
	lost    atomic.Uint64 // exchanges that were not seen, or not handed on, since it was told
	tls     atomic.Pointer[tlsWish]
	log     *slog.Logger
	unkeyed sync.Once
}

// capturePins is where the attachments of the capture are.
func capturePins(pins string) string { return filepath.Join(pins, "capture") }

// maxSeen exchanges wait for the door; what is more is counted as lost.
const maxSeen = 8192

// seeing opens the queue of exchanges, if HTTP is to be seen. If not, what an
// earlier run has left on interfaces is taken off.
func (o *options) seeing(holder *enrol.Holder, log *slog.Logger) (*seeing, error) {
	if !o.http {
		return nil, capture.Remove(capturePins(o.pins()))
	}
	if holder == nil {
		return nil, errors.New("--capture-http tells a control plane what it sees: say with --server where that is")
	}
	s := &seeing{
		pins: o.pins(), key: make(chan exchange.Key, 1), desired: make(chan agent.Desired, 1), rows: make(chan *capture.Seen, maxSeen), log: log,
	}
	var err error
	s.up, err = uplink.Open(uplink.Options{
		Dir: filepath.Join(o.state, "exchanges"), Of: flowreport.OfExchanges, Told: s.told,
		Conn: &lasting{server: o.server, holder: holder}, Log: log.With("of", flowreport.OfExchanges),
	})
	return s, err
}

// told takes the key under which values are hashed: before there is one, nothing
// may be told.
func (s *seeing) told(r flowreport.Receipt) {
	if r.Key == "" {
		if r == (flowreport.Receipt{}) {
			s.unkeyed.Do(func() { s.log.Warn("the control plane takes no HTTP from agents: nothing is captured until it does") })
		}
		return
	}
	b, err := hex.DecodeString(r.Key)
	if err != nil || len(b) != len(exchange.Key{}) {
		return
	}
	select {
	case s.key <- exchange.Key(b):
	default:
	}
}

// follow notes what is wanted of the host, and passes it on.
func (s *seeing) follow(ctx context.Context, in <-chan agent.Desired) <-chan agent.Desired {
	if s == nil {
		return in
	}
	out := make(chan agent.Desired)
	go func() {
		for {
			select {
			case <-ctx.Done():
				return
			case d := <-in:
				select {
				case <-s.desired:
				default:
				}
				s.desired <- d
				select {
				case out <- d:
				case <-ctx.Done():
					return
				}
			}
		}
	}()
	return out
}

// run captures until the context ends. That it cannot is told, and nothing that
// enforcing waits for.
func (s *seeing) run(ctx context.Context) error {
	if s == nil {
		return nil
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.up.Run(ctx) })
	g.Go(func() error {
		if err := s.capture(ctx); err != nil {
			s.log.Error("HTTP is not captured", "error", err)
		}
		return nil
	})
	return errors.Join(g.Wait(), s.up.Close())
}

func (s *seeing) capture(ctx context.Context) error {
	door := exchange.Door{Names: new(exchange.Names)}
	select {
	case door.Key = <-s.key:
	case <-ctx.Done():
		return nil
	}
	c, err := capture.Open(capture.Options{
		Pins: capturePins(s.pins), Processes: &processes{pins: s.pins}, Log: s.log,
		Emit: s.queue,
	})
	if err != nil {
		return err
	}
	// What is there when the readers end is told after them.
	after, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	told := make(chan struct{})
	go func() {
		defer close(told)
		s.tell(after, c, &door)
	}()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return c.Run(ctx) })
	g.Go(func() error { s.attach(ctx, c); return nil })
	g.Go(func() error { s.followTLS(ctx); return nil })
	err = g.Wait()
	end()
	<-told
	return errors.Join(err, c.Close())
}

// queue takes an exchange from who reads. It never waits.
func (s *seeing) queue(x *capture.Seen) {
	select {
	case s.rows <- x:
	default:
		s.lost.Add(1)
	}
}

// coverage is how much one reader has not read, as told so far.
type coverage struct {
	where  string
	told   uint64
	warned time.Time
}

// miss takes what came to it.
func (s *seeing) miss(c *coverage, incomplete uint64, counters any) {
	more := incomplete - min(c.told, incomplete)
	c.told = incomplete
	if more == 0 {
		return
	}
	s.lost.Add(more)
	if time.Since(c.warned) > time.Minute {
		c.warned = time.Now()
		s.log.Warn("some HTTP was not read", "where", c.where, "counters", fmt.Sprintf("%+v", counters))
	}
}

// attach follows interfaces as they come and go.
func (s *seeing) attach(ctx context.Context, c *capture.Capture) {
	every := time.NewTicker(time.Second)
	defer every.Stop()
	var list []capture.Interface
	var all []*workload.Workload
	said := ""
	for {
		select {
		case <-ctx.Done():
			return
		case d := <-s.desired:
			list, all = interfacesOf(d), d.World.Workloads
		case <-every.C:
		}
		if err := c.Attach(list, all, indexOf); err == nil {
			said = ""
		} else if err.Error() != said {
			said = err.Error()
			s.log.Warn("HTTP of some workloads is not captured", "error", err)
		}
	}
}

func interfacesOf(d agent.Desired) (list []capture.Interface) {
	by := map[workload.ID]*workload.Workload{}
	for _, w := range d.World.Workloads {
		by[w.ID] = w
	}
	for _, i := range d.Interfaces {
		if w := by[i.Workload]; w != nil {
			list = append(list, capture.Interface{Name: i.Name, Workload: w})
		}
	}
	return list
}

func indexOf(name string) (int, bool) {
	i, err := net.InterfaceByName(name)
	if err != nil {
		return 0, false
	}
	return i.Index, true
}

// tell takes what was seen past the door and queues it, at least once a second, until
// the context ends: then nobody sees any more.
func (s *seeing) tell(ctx context.Context, c *capture.Capture, door *exchange.Door) {
	every := time.NewTicker(time.Second)
	defer every.Stop()
	var list []flowreport.Exchange
	unread := coverage{where: "interfaces", warned: time.Now()}
	for last := false; !last; {
		due := true
		select {
		case <-ctx.Done():
			last = true
			for len(s.rows) > 0 {
				list = s.appendRow(list, <-s.rows, door)
			}
		case x := <-s.rows:
			list = s.appendRow(list, x, door)
			due = false
		case <-every.C:
		}
		if due {
			if n, err := c.Counters(context.WithoutCancel(ctx)); err == nil {
				s.miss(&unread, n.Incomplete(), n)
			}
		}
		if due || len(list) >= 500 {
			if missing := s.lost.Swap(0); len(list)+int(missing) > 0 {
				s.up.AddExchanges(list, missing)
			}
			list = nil
		}
	}
}

// appendRow is where values stop: of the exchange only what the door leaves goes on.
func (s *seeing) appendRow(list []flowreport.Exchange, x *capture.Seen, door *exchange.Door) []flowreport.Exchange {
	o := x.Observe(door)
	observation, err := o.Encode()
	if err != nil {
		s.lost.Add(1)
		s.log.Warn("an exchange cannot be told", "error", err)
		return list
	}
	r := flowreport.Exchange{
		Src: endOf(x.From, addressOf(x.Client)), Dst: endOf(x.To, addressOf(x.Server)), Client: addressOf(x.Client), Port: x.Server.Port(),
		Host: flowreport.Text(exchange.MaskHost(x.Raw.Host)), Path: exchange.MaskPath(x.Raw.Path), Proto: x.Proto, Method: o.Method,
		Status: x.Raw.Status, Time: x.Raw.Time, Duration: x.Raw.Duration, BytesIn: o.BytesIn, BytesOut: o.BytesOut, TLS: x.TLS, Observation: observation,
	}
	r.Legs = x.Legs(door.Key)
	for _, name := range exchange.ParamNames(x.Raw.Path) {
		r.Params = append(r.Params, flowreport.Text(name))
	}
	if p := x.Process; p != nil {
		r.Process = &flowreport.Process{PID: p.PID, Executable: flowreport.Text(p.Executable), Cgroup: flowreport.Text(p.Cgroup)}
	}
	return append(list, r)
}

// addressOf is the address of an end; one that nobody knows is told as ::.
func addressOf(a netip.AddrPort) netip.Addr {
	if !a.Addr().IsValid() {
		return netip.IPv6Unspecified()
	}
	return a.Addr()
}

func endOf(w *workload.Workload, a netip.Addr) flowreport.End {
	if w != nil {
		return flowreport.End{Workload: w.ID.String()}
	}
	return flowreport.End{Address: a.WithZone("")}
}

// processes asks the datapath who connected a socket, once there is one.
type processes struct {
	pins    string
	sockets *flowlog.Sockets
}

// Of is for the goroutine that reads.
func (p *processes) Of(cookie uint64) (capture.Process, bool) {
	if p.sockets == nil {
		var err error
		if p.sockets, err = datapath.Sockets(p.pins); err != nil {
			return capture.Process{}, false
		}
	}
	o, ok := p.sockets.Of(cookie)
	return capture.Process{PID: o.PID, Executable: o.Executable, Cgroup: o.Cgroup}, ok
}
