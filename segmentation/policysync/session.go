package policysync

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/gabion-io/gabion/segmentation"
)

// Bounds on a control plane that does not answer, or too much.
const (
	openTime   = 20 * time.Second
	maxMessage = 64 << 20
)

// session is one stream over a connection of its own.
type session struct {
	conn   *grpc.ClientConn
	stream discovery.AggregatedDiscoveryService_DeltaAggregatedResourcesClient
	base   set // what the control plane believes is here
	cancel context.CancelFunc

	// After done:
	answered bool
	err      error // why it ended
	done     chan struct{}
}

// open connects and subscribes. When it returns, the control plane has taken the
// host for who it is.
func (c *Client) open(ctx context.Context) (_ *session, err error) {
	s := &session{base: c.current(), done: make(chan struct{})}
	ctx, s.cancel = context.WithCancel(ctx)
	if s.conn, err = c.o.Connect(); err != nil {
		s.cancel()
		return nil, err
	}
	slow := time.AfterFunc(openTime, s.cancel)
	defer slow.Stop()
	s.stream, err = discovery.NewAggregatedDiscoveryServiceClient(s.conn).DeltaAggregatedResources(ctx, grpc.MaxCallRecvMsgSize(maxMessage))
	if err == nil {
		err = s.stream.Send(&discovery.DeltaDiscoveryRequest{
			Node:                    &core.Node{Id: c.o.Host, UserAgentName: "gabion-agent"},
			TypeUrl:                 segmentation.PolicyResource,
			ResourceNamesSubscribe:  []string{"*"},
			InitialResourceVersions: s.base.versions(),
		})
	}
	if err == nil {
		err = accepted(s.stream)
	}
	if err != nil {
		s.cancel()
		return nil, errors.Join(err, s.conn.Close())
	}
	return s, nil
}

// accepted waits until the control plane takes the stream, or says why not: then
// there is no header, and the reason is where a message would be.
func accepted(stream discovery.AggregatedDiscoveryService_DeltaAggregatedResourcesClient) error {
	header, err := stream.Header()
	if err != nil || header != nil {
		return err
	}
	if _, err = stream.Recv(); err == nil || errors.Is(err, io.EOF) {
		err = errEnded
	}
	return err
}

// start follows the stream in the background. What came by it is put in force, and
// confirmed, also when the stream has ended meanwhile: only the context stops that.
func (s *session) start(ctx context.Context, c *Client) {
	go func() {
		defer close(s.done)
		s.err = s.follow(ctx, c)
	}()
}

// end ends it and waits until it has. A session that was never started, or nil, has
// ended.
func (s *session) end() {
	if s == nil {
		return
	}
	s.cancel()
	<-s.done
	s.conn.Close()
}

func (s *session) follow(ctx context.Context, c *Client) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("follow the control plane: panic: %v", p)
		}
	}()
	for {
		r, err := s.stream.Recv()
		if errors.Is(err, io.EOF) {
			return errEnded
		}
		if err != nil {
			return err
		}
		s.answered = true
		answer := &discovery.DeltaDiscoveryRequest{TypeUrl: segmentation.PolicyResource, ResponseNonce: r.GetNonce()}
		if err := s.take(ctx, c, r); err != nil {
			if ctx.Err() != nil || errors.Is(err, errAway) {
				return err
			}
			c.o.Log.Error("policy refused; in force is what was before", "version", r.GetSystemVersionInfo(), "error", err)
			answer.ErrorDetail = &rpcstatus.Status{Code: refusalCode(err), Message: clip(err.Error(), 4096)}
		}
		if err := s.stream.Send(answer); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
	}
}

// refusalCode tells what was taken back from what was never in force.
func refusalCode(err error) int32 {
	if t := (*takenBack)(nil); errors.As(err, &t) {
		return segmentation.TakenBack
	}
	return int32(codes.InvalidArgument)
}

// take puts what a response makes of the set in force: all of it, or nothing.
func (s *session) take(ctx context.Context, c *Client, r *discovery.DeltaDiscoveryResponse) error {
	if r.GetTypeUrl() != segmentation.PolicyResource {
		return fmt.Errorf("%q was not asked for", r.GetTypeUrl())
	}
	next, err := s.base.with(r)
	if err != nil {
		return err
	}
	if err := c.put(ctx, next); err != nil {
		return err
	}
	s.base = next
	c.o.Log.Info("policy in force", "version", r.GetSystemVersionInfo(), "resources", len(next))
	return nil
}

// with is the set that a response makes of this one.
func (s set) with(r *discovery.DeltaDiscoveryResponse) (set, error) {
	next := make(set, len(s)+len(r.GetResources()))
	for name, old := range s {
		next[name] = old
	}
	for _, name := range r.GetRemovedResources() {
		delete(next, name)
	}
	for _, in := range r.GetResources() {
		var message wrapperspb.BytesValue // as PolicyResource
		if in.GetResource().GetTypeUrl() != segmentation.PolicyResource {
			return nil, fmt.Errorf("resource %q is of type %q", in.GetName(), in.GetResource().GetTypeUrl())
		}
		if err := proto.Unmarshal(in.GetResource().GetValue(), &message); err != nil {
			return nil, fmt.Errorf("read resource %q: %w", in.GetName(), err)
		}
		next[in.GetName()] = Resource{Name: in.GetName(), Version: in.GetVersion(), Manifest: string(message.GetValue())}
	}
	return next, nil
}

func clip(s string, n int) string { return strings.ToValidUTF8(s[:min(len(s), n)], "") }
