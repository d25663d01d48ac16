package ingest

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
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

// ExchangeOptions wire an ExchangeDoor; all but Resident are required.
type ExchangeOptions struct {
	Sink         ExchangeSink
	Operations   Operations
	ClientKey    []byte       // as in Options
	OperationKey exchange.Key // told to agents that capture: see flowreport.Receipt
	// Resident is the workload that has an address: a host does not know all of those
	// that call it. May be nil.
	Resident func(netip.Addr) (*workload.Workload, bool)
}

// ExchangeDoor takes HTTP that agents saw without a proxy. Their own doors have let
// no value pass; this one believes nothing else of it: who called is who had the
// address, and a host may speak for its own workloads only.
type ExchangeDoor struct {
	o    ExchangeOptions
	seen *recentSet // by id: what is sent twice is learned from once

	mu      sync.Mutex
	capture map[string]time.Time // hosts that tell of HTTP, and when they last did
}

// NewExchangeDoor makes a door; FlowOptions.Exchanges takes it.
func NewExchangeDoor(o ExchangeOptions) *ExchangeDoor {
	return &ExchangeDoor{o: o, seen: newRecentSet(65_536), capture: map[string]time.Time{}}
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
	return flowreport.Receipt{Key: hex.EncodeToString(e.o.OperationKey[:])}
}

// captures says whether a host tells of HTTP itself.
func (e *ExchangeDoor) captures(host string, now time.Time) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	at, known := e.capture[host]
	return known && now.Sub(at) < captureGrace
}

// exchangeEnd is one end of a row as the resources have it.
type exchangeEnd struct {
	workload *workload.Workload // nil: an address
	owned    bool               // by the host that speaks
}

// take stores a batch. What both ends' hosts saw is taken from the server's.
func (e *ExchangeDoor) take(ctx context.Context, d *FlowDoor, host string, b *flowreport.Exchanges) (flowreport.Receipt, store.CoverageDelta, error) {
	now := d.o.Now()
	receipt, delta := e.alive(host, now), store.CoverageDelta{}
	var xs []exchange.Exchange
	var observed []*exchange.Observation
	for i := range b.List {
		row := &b.List[i]
		src, dst := d.exchangeEnd(host, &row.Src, now), d.exchangeEnd(host, &row.Dst, now)
		switch {
		case !src.owned && !dst.owned:
			if receipt.Refused++; receipt.Why == "" {
				receipt.Why = fmt.Sprintf("neither end of an exchange is a workload of host %s", host)
			}
			continue
		case !dst.owned && dst.workload != nil && e.captures(dst.workload.Node, now):
			delta.Duplicates++
			continue
		}
		o, err := row.Observed()
		if err != nil {
			if receipt.Refused++; receipt.Why == "" {
				receipt.Why = err.Error()
			}
			continue
		}
		x := e.exchange(host, b, i, dst, now)
		if src.workload != nil {
			x.Caller = src.workload.ID.String()
		}
		e.settle(o, &x, src)
		xs, observed = append(xs, x), append(observed, o)
	}
	if _, err := e.o.Sink.AddExchanges(ctx, xs); err != nil {
		return receipt, delta, err
	}
	for i, o := range observed {
		if !e.seen.add(xs[i].ID) {
			delta.Duplicates++
			continue
		}
		delta.Received++
		e.o.Operations.Add(o)
	}
	delta.Garbage = uint64(receipt.Refused)
	return receipt, delta, nil
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
	if w == nil {
		return address.Unmap().String()
	}
	return w.ID.Namespace + "/" + cmp.Or(w.Labels["app.kubernetes.io/name"], w.Labels["app"], w.ID.Name)
}
