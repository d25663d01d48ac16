package extproc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/protobuf/types/known/wrapperspb"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	status "google.golang.org/genproto/googleapis/rpc/status"
)

const (
	extensionType = "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig"
	// filterCluster in the node tells the control plane that tables are wanted,
	// not Envoy's own configuration.
	filterCluster = "gabion-filter"
	maxMessage    = 64 << 20
)

// client keeps a delta xDS stream to the control plane and subscribes to every
// table there is.
type client struct {
	socket, node string
	tables       *tables
	disk         disk
	log          *slog.Logger
}

// run connects again and again, with growing, jittered pauses, until ctx ends.
func (c client) run(ctx context.Context) error {
	pause := backoff.NewExponentialBackOff()
	pause.InitialInterval, pause.MaxInterval = 200*time.Millisecond, 5*time.Second
	lost := true // said once per outage
	for {
		answered, err := c.stream(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if answered {
			pause.Reset()
			lost = true
		}
		if lost {
			c.log.Warn("control plane is away, serving the tables at hand", "socket", c.socket, "error", err)
			lost = false
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause.NextBackOff()):
		}
	}
}

// stream runs one connection; answered says that the control plane spoke.
func (c client) stream(ctx context.Context) (answered bool, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("read the control plane: panic: %v", p)
		}
	}()
	conn, err := grpc.NewClient("unix:"+c.socket,
		grpc.WithTransportCredentials(insecure.NewCredentials()), // a Unix socket: the kernel says who may open it
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 30 * time.Second, Timeout: 10 * time.Second}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage)))
	if err != nil {
		return false, err
	}
	defer conn.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s, err := discovery.NewAggregatedDiscoveryServiceClient(conn).DeltaAggregatedResources(ctx)
	if err != nil {
		return false, err
	}
	if err := s.Send(c.hello()); err != nil {
		return false, err
	}
	for {
		r, err := s.Recv()
		if err != nil {
			return answered, err
		}
		answered = true
		if err := s.Send(c.reply(r)); err != nil {
			return answered, err
		}
	}
}

// hello subscribes to all tables and says which versions are here already.
func (c client) hello() *discovery.DeltaDiscoveryRequest {
	have := map[string]string{}
	for _, s := range c.tables.list() {
		have[s.Name] = s.Version
	}
	return &discovery.DeltaDiscoveryRequest{
		Node:                    &core.Node{Id: c.node, Cluster: filterCluster, UserAgentName: filterCluster},
		TypeUrl:                 extensionType,
		ResourceNamesSubscribe:  []string{"*"},
		InitialResourceVersions: have,
	}
}

// reply takes an answer in, all of it that loads, and acknowledges or refuses it.
func (c client) reply(r *discovery.DeltaDiscoveryResponse) *discovery.DeltaDiscoveryRequest {
	out := &discovery.DeltaDiscoveryRequest{TypeUrl: extensionType, ResponseNonce: r.GetNonce()}
	if r.GetTypeUrl() != extensionType {
		out.ErrorDetail = &status.Status{Code: int32(codes.InvalidArgument), Message: "not asked for: " + r.GetTypeUrl()}
		return out
	}
	err := c.take(r)
	if err != nil {
		c.log.Error("refused a filter table", "error", err)
		out.ErrorDetail = &status.Status{Code: int32(codes.InvalidArgument), Message: clip(err.Error(), 4096)}
	}
	return out
}

func (c client) take(r *discovery.DeltaDiscoveryResponse) error {
	var errs []error
	for _, res := range r.GetResources() {
		s, err := read(res)
		if err == nil {
			err = c.tables.set(s)
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		c.log.Info("loaded a filter table", "table", s.Name, "version", s.Version)
	}
	for _, name := range r.GetRemovedResources() {
		c.tables.remove(name)
		c.log.Info("removed a filter table", "table", name)
	}
	if err := c.disk.save(c.tables.list()); err != nil {
		c.log.Error("filter tables are not kept on disk", "error", err) // not the control plane's fault: no refusal
	}
	return errors.Join(errs...)
}

// read unpacks a TypedExtensionConfig that holds a table as a StringValue.
func read(res *discovery.Resource) (shipped, error) {
	var ext core.TypedExtensionConfig
	if err := res.GetResource().UnmarshalTo(&ext); err != nil {
		return shipped{}, fmt.Errorf("read resource %q: %w", res.GetName(), err)
	}
	var table wrapperspb.StringValue
	if err := ext.GetTypedConfig().UnmarshalTo(&table); err != nil {
		return shipped{}, fmt.Errorf("read resource %q: %w", res.GetName(), err)
	}
	return shipped{Name: res.GetName(), Version: res.GetVersion(), Table: table.GetValue()}, nil
}

func clip(s string, n int) string {
	if len(s) > n {
		s = s[:n]
	}
	return strings.ToValidUTF8(s, "")
}
