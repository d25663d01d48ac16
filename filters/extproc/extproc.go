// Package extproc is the filter beside Envoy: an external processing server on
// a Unix socket, for an Envoy that cannot load the module (filters/module). It
// judges by the same filters/chain; `gabion filter` runs it.
//
// It takes its tables from the control plane over delta xDS and keeps the last
// good ones on disk, so it starts and serves while the control plane is away.
// It knows no rule. Only cmd and tests import it.
//
// # What Envoy's filter must be set to
//
// The verdicts of both transports are equal only with these settings of
// ExternalProcessor (controlplane/xds writes them):
//
//   - grpc_service: the Unix socket, its own timeout 0 s (a stream lives as long
//     as its exchange), initial_metadata x-gabion-table = the table's name. Each
//     route overrides grpc_initial_metadata with x-gabion-key = its key.
//   - processing_mode: request headers SEND, response headers SKIP (or Envoy's own
//     400 to what it cannot read is lost), bodies NONE, trailers SKIP; and
//     allow_mode_override. The answer to the request head chooses: no body, a
//     body shown as it passes (STREAMED: detect, recording) or a body held until
//     judged (BUFFERED_PARTIAL: block). The answer to the response head chooses
//     likewise for the response. Streams (gRPC, upgrades, events) keep NONE.
//   - allow_content_length_header: true. No byte is ever changed, and without it
//     Envoy turns every STREAMED request into a chunked one.
//   - request_attributes: request.protocol, source.address, destination.address.
//   - metadata_options.receiving_namespaces.untyped: io.gabion.
//   - mutation_rules are not needed; route_cache_action RETAIN is wise.
//   - failure_mode_allow: true when Table.Unknown is "open"; status_on_error 503.
//     They apply when this process cannot be reached or lacks the table.
//   - message_timeout: above the slowest judgement of a whole body (seconds).
//   - Envoy must be able to hold the longest inspected body: BUFFERED_PARTIAL
//     shows no more than its buffer limit, and a body cut there is judged as if
//     it ended there. The limit is per_connection_buffer_limit_bytes, but for
//     HTTP/2 it is initial_stream_window_size; a route's
//     request_body_buffer_limit raises either (the inspected bytes and 1 MiB).
package extproc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"golang.org/x/sync/errgroup"

	"github.com/gabion-io/gabion/filters/chain"
	"github.com/gabion-io/gabion/internal/unixsocket"
)

// Options are what Run needs. All paths are files or directories of this host.
type Options struct {
	Listen string       // Unix socket to serve Envoy on
	XDS    string       // Unix socket of the control plane; "": only what is on disk
	State  string       // directory of the last good tables; "": nothing is kept
	Node   string       // id under which the control plane knows this filter
	Log    *slog.Logger // nil: discarded
}

// Run serves until ctx ends, then lets exchanges finish for a moment. An error
// means it could not serve; an absent control plane is none.
func Run(ctx context.Context, o Options) error {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	runtime := chain.NewRuntime(chain.Options{Log: o.Log})
	tables := newTables(runtime)
	disk := disk{dir: o.State}
	if err := startFromDisk(tables, disk, o.Log); err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	if o.XDS != "" {
		c := client{socket: o.XDS, node: o.Node, tables: tables, disk: disk, log: o.Log}
		group.Go(func() error { return c.run(ctx) })
	}
	group.Go(func() error {
		// Before the first table every exchange would be refused as unknown:
		// until there is one, Envoy's own failure mode speaks.
		if !tables.await(ctx) {
			return nil
		}
		listener, err := unixsocket.Listen(o.Listen)
		if err != nil {
			return err
		}
		return serve(ctx, listener, tables, o.Log)
	})
	err := group.Wait()
	tables.release()
	return errors.Join(err, runtime.Close())
}

// startFromDisk loads what was good last time. A table that no longer loads is
// left out: the control plane will send it again.
func startFromDisk(t *tables, d disk, log *slog.Logger) error {
	kept, err := d.load()
	if err != nil {
		log.Warn("kept filter tables cannot be read, waiting for the control plane", "error", err)
		return nil
	}
	for _, k := range kept {
		if err := t.set(k); err != nil {
			log.Warn("kept filter table no longer loads", "table", k.Name, "error", err)
		}
	}
	if len(kept) > 0 {
		log.Info("started from kept filter tables", "tables", len(kept))
	}
	return d.probe()
}

var errNoTable = errors.New("no such filter table here")

func unknownTable(name string) error { return fmt.Errorf("table %q: %w", name, errNoTable) }
