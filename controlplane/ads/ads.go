// Package ads serves xds snapshots to Envoys and filters: aggregated discovery,
// delta and state of the world, over gRPC. It remembers per proxy and type what
// was sent, accepted and refused.
//
// It does not make snapshots (controlplane/xds does) and turns no refusal into a
// condition (controlplane/reconcile does, by Nacks and xds.Blame). Only the
// control plane's composition and reconcile import it.
package ads

import (
	"context"
	"log/slog"
	"time"

	"google.golang.org/grpc"

	"github.com/gabion-io/gabion/controlplane/ir"
	"github.com/gabion-io/gabion/controlplane/xds"
)

// Options configure a Server. The zero value works.
type Options struct {
	Log    *slog.Logger
	Now    func() time.Time
	Linger time.Duration // how long clusters, endpoints and secrets outlive their removal (make before break); 0: 30 s
	OnNack func(Nack)    // called, on no lock, for every refusal; must not block
	OnAck  func(node, typeURL, version string)
}

// Server holds the current snapshot and the state of every proxy.
type Server struct{}

// NewServer returns a Server with no snapshot: proxies that connect wait.
func NewServer(o Options) *Server { panic("todo") }

// SetSnapshot replaces what is served. Types and resources with equal content
// are not pushed again.
func (s *Server) SetSnapshot(snap *xds.Snapshot) error { panic("todo") }

// SetEndpoints is the fast path: it replaces endpoints of the named clusters in
// the current snapshot and pushes EDS only.
func (s *Server) SetEndpoints(endpoints map[string][]ir.Endpoint) error { panic("todo") }

// Snapshot is what is served now; nil before the first SetSnapshot.
func (s *Server) Snapshot() *xds.Snapshot { panic("todo") }

// Register adds the discovery services to a gRPC server.
func (s *Server) Register(g *grpc.Server) { panic("todo") }

// Serve listens on a Unix socket (mode 0600; a stale one is removed, a live one
// is an error) until the context ends, then closes streams gracefully.
func (s *Server) Serve(ctx context.Context, socket string) error { panic("todo") }

// Nack is a refusal by a proxy.
type Nack struct {
	Node      string
	Cluster   string // node cluster: xds.FilterCluster for filters
	TypeURL   string
	Version   string // of the refused response
	Resources []string
	Message   string
	Time      time.Time
	Causes    []ir.Ref // xds.Blame of the snapshot that was served
}

// Nacks are the refusals that still stand: the last per proxy and type, gone
// once the proxy accepts a later version or has been gone for long.
func (s *Server) Nacks() []Nack { panic("todo") }

// ProxyStatus is one node's view, for `gabion status`.
type ProxyStatus struct {
	Node      string       `json:"node"`
	Cluster   string       `json:"cluster"`
	Connected bool         `json:"connected"`
	Since     time.Time    `json:"since"` // connected, or gone, since
	Address   string       `json:"address,omitempty"`
	Delta     bool         `json:"delta"`
	Types     []TypeStatus `json:"types"` // sorted by type URL
}

// TypeStatus is what one node has been sent of one type.
type TypeStatus struct {
	TypeURL string        `json:"typeUrl"`
	Sent    string        `json:"sent,omitempty"` // version
	SentAt  time.Time     `json:"sentAt,omitzero"`
	Acked   string        `json:"acked,omitempty"` // last accepted version
	AckedAt time.Time     `json:"ackedAt,omitzero"`
	Nacked  string        `json:"nacked,omitempty"` // refused version that still stands
	Error   string        `json:"error,omitempty"`
	Lag     time.Duration `json:"lagNanos"` // sent to accepted; while unanswered, since sent
}

// Status lists every node seen, sorted by name.
func (s *Server) Status() []ProxyStatus { panic("todo") }
