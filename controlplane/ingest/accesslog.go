package ingest

import (
	data "github.com/envoyproxy/go-control-plane/envoy/data/accesslog/v3"
	accesslog "github.com/envoyproxy/go-control-plane/envoy/service/accesslog/v3"
	"google.golang.org/grpc"

	"github.com/gabion-io/gabion/controlplane/store"
)

// service speaks envoy.service.accesslog.v3 with proxies.
type service struct {
	accesslog.UnimplementedAccessLogServiceServer
	in *Ingest
}

// Register adds the access log service (envoy.service.accesslog.v3) to a server.
func (in *Ingest) Register(g *grpc.Server) {
	accesslog.RegisterAccessLogServiceServer(g, service{in: in})
}

// StreamAccessLogs receives one proxy's stream. The protocol has no
// acknowledgement, so nothing ever waits here: a full queue drops and counts.
func (s service) StreamAccessLogs(stream grpc.ClientStreamingServer[accesslog.StreamAccessLogsMessage, accesslog.StreamAccessLogsResponse]) error {
	in := s.in
	in.metrics.streams.Inc()
	defer in.metrics.streams.Dec()
	proxy, listener := "unknown", ""
	for {
		m, err := stream.Recv()
		if err != nil {
			return err
		}
		if id := m.GetIdentifier(); id != nil { // in the first message of a stream
			proxy, listener = bounded(id.GetNode().GetId(), 128), bounded(id.GetLogName(), 128)
		}
		source := "accesslog " + proxy
		entries := m.GetHttpLogs().GetLogEntry()
		if tcp := m.GetTcpLogs(); tcp != nil {
			in.garbage(source, "tcp entry", len(tcp.GetLogEntry()))
		}
		for _, e := range entries {
			it, report := in.door.entry(proxy, listener, e)
			it.source = source
			in.efforts.add(proxy, e.GetCommonProperties().GetMetadata(), in.o.Now())
			in.receive(it, report, e)
		}
	}
}

// receive queues what came through the door.
func (in *Ingest) receive(it item, report entryReport, e *data.HTTPAccessLogEntry) {
	in.metrics.received.WithLabelValues("accesslog").Inc()
	if report.badEvent {
		in.garbage(it.source, "event", 1)
	}
	if report.final && !in.seen.add(it.exchange.ID) {
		in.metrics.duplicates.Inc()
		in.coverage.add(store.CoverageDelta{Source: it.source, Duplicates: 1})
		return
	}
	if report.final { // earlier reports of the same stream are no exchanges of their own
		in.coverage.add(store.CoverageDelta{Source: it.source, Received: 1})
		if in.o.Operations != nil {
			var err error
			if it.observation, err = in.door.observe(&it, e); err != nil {
				in.garbage(it.source, "observation", 1)
			}
		}
	}
	if report.final {
		in.o.Twins.proxy(in.o.OperationKey, &it, e, in.enqueue)
	} else {
		in.enqueue(it)
	}
}

// enqueue never waits.
func (in *Ingest) enqueue(it item) {
	select {
	case in.queue <- it:
	default:
		in.lose(it.source, 1)
	}
}

func (in *Ingest) garbage(source, kind string, n int) {
	in.coverage.add(store.CoverageDelta{Source: source, Garbage: uint64(n)})
	in.metrics.garbage.WithLabelValues(kind).Add(float64(n))
}
