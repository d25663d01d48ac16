package ingest

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"github.com/gabion-io/gabion/controlplane/store"
	"github.com/gabion-io/gabion/internal/exchange"
	"github.com/gabion-io/gabion/internal/flowreport"
	"github.com/gabion-io/gabion/workload"
)

// ExchangeSink is where exchanges go; *store.Store is one.
type ExchangeSink interface {
	AddExchanges(ctx context.Context, xs []exchange.Exchange) (int, error)
}

// ExchangeOptions wire an ExchangeDoor; all but the last three are required.
type ExchangeOptions struct {
	Sink         ExchangeSink
	Operations   Operations
	ClientKey    []byte       // as in Options
	OperationKey exchange.Key // told to agents that capture: see flowreport.Receipt
	// Resident is the workload that has an address: a host does not know all of those
	// that call it. May be nil.
	Resident func(netip.Addr) (*workload.Workload, bool)
	Twins    *Twins // knows what proxies tell of too; nil: it counts twice
	Log      *slog.Logger
}

// ExchangeDoor takes HTTP that agents saw without a proxy. Their own doors have let
// no value pass; this one believes nothing else of it: who called is who had the
// address, and a host may speak for its own workloads only.
type ExchangeDoor struct {
	o    ExchangeOptions
	seen *recentSet // by id: what is sent twice is learned from once

	mu      sync.Mutex
	capture map[string]time.Time // hosts that tell of HTTP, and when they last did
	tls     map[string]time.Time // workloads whose own hosts tell of TLS they serve
}

// NewExchangeDoor makes a door; FlowOptions.Exchanges takes it.
func NewExchangeDoor(o ExchangeOptions) *ExchangeDoor {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &ExchangeDoor{o: o, seen: newRecentSet(65_536), capture: map[string]time.Time{}, tls: map[string]time.Time{}}
}

// captureGrace is for how long a host counts as one that captures after it last
// said so.
const captureGrace = 2 * time.Minute

// ExchangeSource names what a host captures as a source of coverage.
func ExchangeSource(host string) string { return "http " + host }

// alive notes that a host captures, and answers what it needs for that.
func (e *ExchangeDoor) alive(host string, now time.Time) flowreport.Receipt {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.capture) >= maxSources {
		clear(e.capture)
	}
	e.capture[host] = now
	e.o.Twins.alive()
	return flowreport.Receipt{Key: hex.EncodeToString(e.o.OperationKey[:])}
}

// captures says whether a host tells of HTTP itself.
func (e *ExchangeDoor) captures(host string, now time.Time) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	at, known := e.capture[host]
	return known && now.Sub(at) < captureGrace
}

// servesTLS says whether an exchange inside TLS, which was told of by the client's
// host, is told of by the server's as well: whose TLS is seen its owner says, not its
// host.
func (e *ExchangeDoor) servesTLS(dst exchangeEnd, now time.Time) bool {
	id := dst.workload.ID.String()
	e.mu.Lock()
	defer e.mu.Unlock()
	if !dst.owned {
		at, known := e.tls[id]
		return known && now.Sub(at) < captureGrace
	}
	if len(e.tls) >= maxSources {
		clear(e.tls)
	}
	e.tls[id] = now
	return false
}

// exchangeEnd is one end of a row as the resources have it.
type exchangeEnd struct {
	workload *workload.Workload // nil: an address
	owned    bool               // by the host that speaks
}

// take stores a batch. What both ends' hosts saw is taken from the server's, and what
// a proxy tells of too from that.
func (e *ExchangeDoor) take(ctx context.Context, d *FlowDoor, host string, b *flowreport.Exchanges) (flowreport.Receipt, store.CoverageDelta, error) {
	now := d.o.Now()
	receipt, delta := e.alive(host, now), store.CoverageDelta{}
	var list []*sighting
	for i := range b.List {
		s, err := e.sighting(d, host, b, i, now)
		switch {
		case err != nil:
			if receipt.Refused++; receipt.Why == "" {
				receipt.Why = err.Error()
			}
		case s == nil || e.seen.has(s.exchange.ID):
			delta.Duplicates++
		case e.o.Twins.meet(s):
			e.seen.add(s.exchange.ID)
			delta.Received++
		default:
			list = append(list, s)
		}
	}
	n, err := e.add(ctx, list)
	if err != nil {
		return receipt, delta, err
	}
	delta.Received += uint64(n)
	delta.Duplicates += uint64(len(list) - n)
	delta.Garbage = uint64(receipt.Refused)
	return receipt, delta, nil
}

// sighting is a row as it is believed; nil when the server's host tells of it.
func (e *ExchangeDoor) sighting(d *FlowDoor, host string, b *flowreport.Exchanges, i int, now time.Time) (*sighting, error) {
	row := &b.List[i]
	src, dst := d.exchangeEnd(host, &row.Src, now), d.exchangeEnd(host, &row.Dst, now)
	switch {
	case !src.owned && !dst.owned:
		return nil, fmt.Errorf("neither end of an exchange is a workload of host %s", host)
	case !dst.owned && dst.workload != nil && !row.TLS && e.captures(dst.workload.Node, now),
		row.TLS && dst.workload != nil && e.servesTLS(dst, now):
		return nil, nil
	}
	o, err := row.Observed()
	if err != nil {
		return nil, err
	}
	s := &sighting{exchange: e.exchange(host, b, i, dst, now), observation: o, legs: row.Legs, peers: [2]netip.Addr{row.Client.Unmap(), row.Dst.Address.Unmap()}}
	if src.workload != nil {
		s.exchange.Caller = src.workload.ID.String()
	}
	if dst.workload != nil {
		s.exchange.Server = dst.workload.ID.String()
	}
	e.settle(o, &s.exchange, src)
	return s, nil
}

// add stores exchanges that no proxy tells of, learns from them, and says how many
// there were.
func (e *ExchangeDoor) add(ctx context.Context, list []*sighting) (n int, err error) {
	xs := make([]exchange.Exchange, len(list))
	for i, s := range list {
		xs[i] = s.exchange
	}
	if _, err := e.o.Sink.AddExchanges(ctx, xs); err != nil {
		return 0, err
	}
	for _, s := range list {
		if e.seen.add(s.exchange.ID) || s.done {
			n++
			e.o.Operations.Add(s.observation)
		}
	}
	return n, nil
}

// Run takes exchanges that have waited in vain for a proxy to tell of them; when the
// context ends, all that wait.
func (e *ExchangeDoor) Run(ctx context.Context) error {
	every := time.NewTicker(time.Second)
	defer every.Stop()
	for {
		select {
		case <-ctx.Done():
			e.release(context.WithoutCancel(ctx), true)
			return nil
		case <-every.C:
			e.release(ctx, false)
		}
	}
}

// release learns from what it cannot store, too.
func (e *ExchangeDoor) release(ctx context.Context, all bool) {
	list := e.o.Twins.alone(all)
	if len(list) == 0 {
		return
	}
	if _, err := e.add(ctx, list); err != nil {
		e.o.Log.Warn("exchanges that agents saw are learned from, and not stored", "exchanges", len(list), "error", err)
		for _, s := range list {
			e.o.Operations.Add(s.observation)
		}
	}
}

// exchangeEnd resolves an end by the resources.
func (d *FlowDoor) exchangeEnd(host string, end *flowreport.End, now time.Time) exchangeEnd {
	if end.Workload == "" {
		if resident := d.o.Exchanges.o.Resident; resident != nil {
			if w, ok := resident(end.Address.Unmap()); ok {
				return exchangeEnd{workload: w}
			}
		}
		return exchangeEnd{}
	}
	id, err := workload.ParseID(end.Workload)
	if err != nil {
		return exchangeEnd{}
	}
	f, owned := d.end(host, end, now)
	w, known := d.o.Workload(id)
	if !known {
		w = &workload.Workload{ID: id, Labels: f.Labels}
	}
	return exchangeEnd{workload: w, owned: owned}
}

// exchange is what is stored of a row. Its id is the same when it is sent again.
func (e *ExchangeDoor) exchange(host string, b *flowreport.Exchanges, i int, dst exchangeEnd, now time.Time) exchange.Exchange {
	row := &b.List[i]
	sum := sha256.Sum256(fmt.Appendf(nil, "%d:%s%s %d %d", len(host), host, b.Queue, b.Seq, i))
	keep := door{key: e.o.ClientKey, now: func() time.Time { return now }}
	service, process := serviceOfEnd(dst.workload, row.Dst.Address), ""
	if row.Process != nil {
		process = row.Process.Executable
	}
	return exchange.Exchange{
		ID: hex.EncodeToString(sum[:16]), Time: keep.at(row.Time), Proxy: "agent " + host, Cluster: fmt.Sprintf("%s:%d", service, row.Port),
		Client: keep.clientHash(row.Client.Unmap()), Method: bounded(row.Method, 32), Host: exchange.MaskHost(row.Host), Path: bounded(row.Path, 2048),
		Params: row.Params, Process: process, Proto: bounded(row.Proto, 16), Status: row.Status, BytesIn: row.BytesIn, BytesOut: row.BytesOut, Duration: row.Duration,
	}
}

// settle makes an observation agree with what is known here.
func (e *ExchangeDoor) settle(o *exchange.Observation, x *exchange.Exchange, src exchangeEnd) {
	o.Time, o.Service = x.Time, serviceOf(x)
	o.Blocked, o.Failed, o.Suspect = false, false, false
	switch {
	case src.workload != nil:
		name := src.workload.ID.String()
		o.Caller = exchange.CallerSeen{Kind: "workload", Hash: e.o.OperationKey.Hash(name), Name: name}
	case o.Caller.Kind == "workload": // it is none that is known
		o.Caller = exchange.CallerSeen{}
	default:
		o.Caller.Name = ""
	}
}

// serviceOfEnd is the service that a workload is of: its namespace, and the name of
// the application that its labels say (the label that Kubernetes recommends, or the
// usual one), else its own. What is no workload is named by its address.
func serviceOfEnd(w *workload.Workload, address netip.Addr) string {
	if w == nil && address.IsUnspecified() {
		return "unknown" // TLS was seen at a process whose socket was not
	}
	if w == nil {
		return address.Unmap().String()
	}
	return w.ID.Namespace + "/" + cmp.Or(w.Labels["app.kubernetes.io/name"], w.Labels["app"], w.ID.Name)
}
