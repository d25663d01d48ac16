package ingest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/gabion-io/gabion/controlplane/store"
	"github.com/gabion-io/gabion/internal/flowreport"
	"github.com/gabion-io/gabion/segmentation"
	"github.com/gabion-io/gabion/workload"
)

// FlowSink is where flows go; *store.Store is one.
type FlowSink interface {
	AddFlows(ctx context.Context, r store.FlowReport) (fresh bool, err error)
	AddCoverage(ctx context.Context, ds []store.CoverageDelta) error
}

// FlowOptions wire a FlowDoor. Sink, Host and Workload are required.
type FlowOptions struct {
	Sink FlowSink
	// Host is who a call comes from, as the connection proves it: nothing in a
	// report says so.
	Host func(ctx context.Context) (string, error)
	// Workload is a workload as the resources have it, the host it runs on with it.
	Workload func(workload.ID) (*workload.Workload, bool)
	// Exchanges takes HTTP that agents saw; nil refuses it.
	Exchanges *ExchangeDoor
	Log       *slog.Logger
	Now       func() time.Time
	Registry  prometheus.Registerer // nil: no metrics
}

// FlowDoor takes what agents report of the network. A host may speak for its own
// workloads only, and what labels a workload has is for the resources to say.
type FlowDoor struct {
	o      FlowOptions
	places chan struct{} // of calls at work
	rows   *prometheus.CounterVec

	mu     sync.Mutex
	gone   map[workload.ID]tenancy // who lived where lately
	warned map[string]time.Time    // by host
}

// tenancy is that a workload was a host's.
type tenancy struct {
	host string
	w    *workload.Workload
	seen time.Time
}

// Bounds of the door.
const (
	flowCalls  = 8                // at work at once
	tenancies  = 65_536           // remembered
	flowGrace  = 10 * time.Minute // for which a host may tell the last of a workload that left it
	flowAge    = 30 * 24 * time.Hour
	flowFuture = time.Minute
)

// FlowSource names a host's agent as a source of coverage.
func FlowSource(host string) string { return "flows " + host }

// NewFlowDoor makes a door. Register it on a gRPC server.
func NewFlowDoor(o FlowOptions) *FlowDoor {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	d := &FlowDoor{
		o: o, places: make(chan struct{}, flowCalls), gone: map[workload.ID]tenancy{}, warned: map[string]time.Time{},
		rows: prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "gabion", Subsystem: "flows", Name: "rows_total",
			Help: "Rows of flows that agents reported."}, []string{"outcome"}),
	}
	if o.Registry != nil {
		o.Registry.MustRegister(d.rows)
	}
	return d
}

// Register adds the call that agents report by.
func (d *FlowDoor) Register(g *grpc.Server) { flowreport.Register(g, d) }

// Report stores a message and answers when it is stored.
func (d *FlowDoor) Report(ctx context.Context, m flowreport.Message) (flowreport.Receipt, error) {
	host, err := d.o.Host(ctx)
	if _, said := status.FromError(err); err != nil && !said {
		err = status.Error(codes.PermissionDenied, err.Error())
	}
	if err != nil {
		return flowreport.Receipt{}, err
	}
	select {
	case d.places <- struct{}{}:
		defer func() { <-d.places }()
	case <-ctx.Done():
		return flowreport.Receipt{}, status.FromContextError(ctx.Err()).Err()
	}
	r, delta, err := d.take(ctx, host, m)
	if err == nil {
		if delta.Source = FlowSource(host); m.Exchanges != nil || m.Of == flowreport.OfExchanges {
			delta.Source = ExchangeSource(host)
		}
		err = d.o.Sink.AddCoverage(ctx, []store.CoverageDelta{delta})
	}
	switch {
	case errors.Is(err, store.ErrDiskFull):
		return r, status.Error(codes.ResourceExhausted, err.Error())
	case status.Code(err) == codes.InvalidArgument:
		return r, err
	case err != nil:
		d.o.Log.Warn("flows were not stored", "host", host, "error", err)
		return r, status.Error(codes.Unavailable, "flows could not be stored")
	}
	return r, nil
}

// take stores a message and says what it does to the host's coverage.
func (d *FlowDoor) take(ctx context.Context, host string, m flowreport.Message) (r flowreport.Receipt, delta store.CoverageDelta, err error) {
	switch {
	case m.Exchanges != nil && d.o.Exchanges == nil:
		return r, delta, status.Error(codes.InvalidArgument, "exchanges are not taken here")
	case m.Exchanges != nil:
		if r, delta, err = d.o.Exchanges.take(ctx, d, host, m.Exchanges); r.Refused > 0 {
			d.warn(host, r)
		}
		return r, delta, err
	case m.Lost != nil:
		delta.Writer, delta.WriterLost = m.Lost.Queue, m.Lost.Total
		return d.heard(host, m), delta, nil
	case m.Batch == nil:
		return d.heard(host, m), delta, nil
	}
	flows, receipt := d.flows(host, m.Batch)
	fresh, err := d.o.Sink.AddFlows(ctx, store.FlowReport{Host: host, Queue: m.Batch.Queue, Seq: m.Batch.Seq, Flows: flows})
	if err != nil {
		return r, delta, err
	}
	if !fresh {
		d.rows.WithLabelValues("repeated").Add(float64(len(m.Batch.Rows)))
		delta.Duplicates = uint64(len(m.Batch.Rows))
		return flowreport.Receipt{Repeated: true}, delta, nil
	}
	d.rows.WithLabelValues("stored").Add(float64(len(flows)))
	d.rows.WithLabelValues("refused").Add(float64(receipt.Refused))
	delta.Received, delta.Garbage = uint64(len(flows)), uint64(receipt.Refused)
	if receipt.Refused > 0 {
		d.warn(host, receipt)
	}
	return receipt, delta, nil
}

// heard answers one who has nothing to store.
func (d *FlowDoor) heard(host string, m flowreport.Message) flowreport.Receipt {
	if m.Of != flowreport.OfExchanges || d.o.Exchanges == nil {
		return flowreport.Receipt{}
	}
	return d.o.Exchanges.alive(host, d.o.Now())
}

// warn logs a host that speaks for others once a minute.
func (d *FlowDoor) warn(host string, r flowreport.Receipt) {
	d.mu.Lock()
	now := d.o.Now()
	again := now.Sub(d.warned[host]) >= time.Minute
	if again {
		if len(d.warned) > maxSources {
			clear(d.warned)
		}
		d.warned[host] = now
	}
	d.mu.Unlock()
	if again {
		d.o.Log.Warn("what an agent reports was refused", "host", host, "rows", r.Refused, "why", r.Why)
	}
}

// flows are the rows that a host may report, and what is wrong with the others.
func (d *FlowDoor) flows(host string, b *flowreport.Batch) ([]store.Flow, flowreport.Receipt) {
	var receipt flowreport.Receipt
	now := d.o.Now()
	ends := make([]store.FlowEnd, len(b.Ends))
	owned := make([]bool, len(b.Ends))
	for i := range b.Ends {
		ends[i], owned[i] = d.end(host, &b.Ends[i], now)
	}
	out := make([]store.Flow, 0, len(b.Rows))
	for i := range b.Rows {
		row := &b.Rows[i]
		judged := row.Dst
		if row.Egress {
			judged = row.Src
		}
		if !owned[judged] {
			if receipt.Refused++; receipt.Why == "" {
				receipt.Why = fmt.Sprintf("%s is no workload of host %s", b.Ends[judged].Workload, host)
			}
			continue
		}
		f := flowOf(b, row)
		f.Src, f.Dst = ends[row.Src], ends[row.Dst]
		if why := settleTime(&f, now); why != "" {
			if receipt.Refused++; receipt.Why == "" {
				receipt.Why = why
			}
			continue
		}
		out = append(out, f)
	}
	return out, receipt
}

// end resolves an end, and says whether it is the host's own.
func (d *FlowDoor) end(host string, e *flowreport.End, now time.Time) (store.FlowEnd, bool) {
	if e.Workload == "" {
		return store.FlowEnd{Address: e.Address.Unmap().String(), DNSName: e.Name}, false
	}
	out := store.FlowEnd{Workload: e.Workload, Labels: e.Labels}
	id, err := workload.ParseID(e.Workload)
	if err != nil {
		return out, false
	}
	w, known := d.o.Workload(id)
	d.mu.Lock()
	defer d.mu.Unlock()
	late, was := d.gone[id]
	switch {
	case known && w.Node == host && host != "":
		if len(d.gone) >= tenancies {
			clear(d.gone)
		}
		d.gone[id] = tenancy{host, w, now}
		return store.FlowEnd{Workload: e.Workload, Labels: w.Labels}, true
	case was && late.host == host && now.Sub(late.seen) < flowGrace:
		return store.FlowEnd{Workload: e.Workload, Labels: late.w.Labels}, true
	case known:
		out.Labels = w.Labels
	}
	return out, false
}

func flowOf(b *flowreport.Batch, r *flowreport.Row) store.Flow {
	f := store.Flow{
		Protocol: segmentation.Protocol(r.Protocol).Normal(), Port: r.Port, Verdict: segmentation.Verdict(r.Verdict),
		Rule: b.RuleOf(r), Reason: r.Reason, Flows: r.Flows, Answered: r.Answered, Packets: r.Packets, Bytes: r.Bytes,
		First: flowreport.Time(r.First), Last: flowreport.Time(r.Last),
	}
	if r.Egress {
		f.Direction = segmentation.Egress
	}
	if p := r.Process; p != nil {
		f.PID, f.Process, f.Cgroup = p.PID, p.Executable, p.Cgroup
	}
	return f
}

// settleTime moves what a fast clock put into the future to now, and refuses what
// is older than anything kept.
func settleTime(f *store.Flow, now time.Time) (why string) {
	if ahead := f.Last.Sub(now); ahead > flowFuture {
		f.First, f.Last = f.First.Add(-ahead), now
	}
	if now.Sub(f.Last) > flowAge {
		return "flows are older than anything that is kept"
	}
	if f.First.Before(now.Add(-2 * flowAge)) {
		f.First = f.Last
	}
	return ""
}
