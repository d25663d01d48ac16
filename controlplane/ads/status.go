package ads

import (
	"cmp"
	"slices"
	"time"

	"github.com/gabion-io/gabion/controlplane/ir"
)

// Nack is a refusal by a proxy, which keeps what it had.
type Nack struct {
	Node      string
	Cluster   string // node cluster: xds.FilterCluster for filters
	TypeURL   string
	Version   string   // of the refused response
	Resources []string // those that Envoy names, or all that the response held
	Message   string
	Time      time.Time
	Causes    []ir.Ref // xds.Blame of the snapshot that was served
}

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
	Want    string        `json:"want,omitempty"` // version it should have now; equal to Acked: in sync
	Sent    string        `json:"sent,omitempty"` // version; empty when the node had it already
	SentAt  time.Time     `json:"sentAt,omitzero"`
	Acked   string        `json:"acked,omitempty"` // last accepted version
	AckedAt time.Time     `json:"ackedAt,omitzero"`
	Nacked  string        `json:"nacked,omitempty"` // refused version that still stands
	Error   string        `json:"error,omitempty"`
	Lag     time.Duration `json:"lagNanos"` // sent to accepted; while unanswered, since sent
}

// Nacks are the refusals that still stand: the last per proxy and type, gone
// once the proxy accepts a mended version or is forgotten, or the resource leaves.
func (s *Server) Nacks() []Nack {
	s.seen.dropLeft(s.board.offered())
	return s.seen.nacks()
}

// Status lists every node seen in the last hour, sorted by name.
func (s *Server) Status() []ProxyStatus {
	s.seen.dropLeft(s.board.offered())
	return s.seen.status(s.board.wanted())
}

// forgetAfter is how long a node that is gone is still listed.
const forgetAfter = time.Hour

func (l *ledger) status(wanted map[nodeKey]map[string]string) []ProxyStatus {
	now := l.now()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.forget(now)
	out := make([]ProxyStatus, 0, len(l.nodes))
	for key, n := range l.nodes {
		p := ProxyStatus{
			Node: key.id, Cluster: key.cluster,
			Connected: n.streams > 0, Since: n.since, Address: n.address, Delta: n.delta,
		}
		for typeURL, t := range n.types {
			p.Types = append(p.Types, t.status(typeURL, wanted[key][typeURL], now))
		}
		slices.SortFunc(p.Types, func(a, b TypeStatus) int { return cmp.Compare(a.TypeURL, b.TypeURL) })
		out = append(out, p)
	}
	slices.SortFunc(out, func(a, b ProxyStatus) int {
		return cmp.Or(cmp.Compare(a.Node, b.Node), cmp.Compare(a.Cluster, b.Cluster))
	})
	return out
}

func (t *typeRecord) status(typeURL, want string, now time.Time) TypeStatus {
	s := TypeStatus{
		TypeURL: typeURL,
		Want:    want,
		Sent:    t.sent, SentAt: t.sentAt,
		Acked: t.acked, AckedAt: t.ackedAt,
		Lag: t.lag,
	}
	if len(t.pending) > 0 {
		s.Lag = now.Sub(t.sentAt)
	}
	if t.refusal != nil {
		s.Nacked, s.Error = t.refusal.Version, t.refusal.Message
	}
	return s
}

func (l *ledger) nacks() []Nack {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.forget(l.now())
	var out []Nack
	for _, n := range l.nodes {
		for _, t := range n.types {
			if t.refusal != nil {
				out = append(out, *t.refusal)
			}
		}
	}
	slices.SortFunc(out, func(a, b Nack) int {
		return cmp.Or(cmp.Compare(a.Node, b.Node), cmp.Compare(a.Cluster, b.Cluster), cmp.Compare(a.TypeURL, b.TypeURL))
	})
	return out
}

// dropLeft ends refusals of resources that are offered no more: nobody will
// ever accept them.
func (l *ledger) dropLeft(offered func(cluster, typeURL, name string) bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for key, n := range l.nodes {
		for typeURL, t := range n.types {
			if t.refusal == nil || len(t.refusal.Resources) == 0 {
				continue
			}
			there := func(name string) bool { return offered(key.cluster, typeURL, name) }
			if !slices.ContainsFunc(t.refusal.Resources, there) {
				t.refusal = nil
			}
		}
	}
}
