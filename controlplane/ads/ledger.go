package ads

import (
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"

	"github.com/gabion-io/gabion/controlplane/xds"
)

// ledger remembers what every node was sent and what it answered.
type ledger struct {
	log    *slog.Logger
	now    func() time.Time
	onNack func(Nack)
	onMend func()
	count  *metrics

	mu      sync.Mutex
	streams map[streamKey]*stream
	nodes   map[nodeKey]*nodeRecord
}

// maxNodes bounds what nodes that come and go can make the ledger hold.
const maxNodes = 10_000

type nodeKey struct{ id, cluster string }

func keyOf(n *core.Node) nodeKey { return nodeKey{n.GetId(), n.GetCluster()} }

// streamKey: delta and state-of-the-world streams are counted apart.
type streamKey struct {
	delta bool
	id    int64
}

type stream struct {
	address string
	node    nodeKey
	known   bool // the node has introduced itself
}

type nodeRecord struct {
	streams int
	since   time.Time
	address string
	delta   bool
	types   map[string]*typeRecord
}

type typeRecord struct {
	sent, acked     string
	sentAt, ackedAt time.Time
	lag             time.Duration
	pending         []sent // unanswered, oldest first
	refusal         *Nack
}

// sent is one response on its way.
type sent struct {
	stream  streamKey
	nonce   string
	version string
	names   []string // resources in it, changed or removed
	at      time.Time
}

// maxPending bounds unanswered responses per node and type; a well-behaved
// node has one or two.
const maxPending = 16

func newLedger(o Options) *ledger {
	return &ledger{
		log: o.Log, now: o.Now, onNack: o.OnNack, onMend: o.OnMend, count: newMetrics(o.Metrics),
		streams: map[streamKey]*stream{}, nodes: map[nodeKey]*nodeRecord{},
	}
}

func (l *ledger) opened(key streamKey, address string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.streams[key] = &stream{address: address}
	l.count.streams.Inc()
}

func (l *ledger) closed(key streamKey) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.streams[key]
	delete(l.streams, key)
	l.count.streams.Dec()
	if s == nil || !s.known {
		return
	}
	n := l.nodes[s.node]
	if n == nil {
		return
	}
	for _, t := range n.types {
		t.pending = slices.DeleteFunc(t.pending, func(p sent) bool { return p.stream == key })
	}
	if n.streams--; n.streams == 0 {
		n.since = l.now()
		l.log.Info("proxy disconnected", "node", s.node.id, "cluster", s.node.cluster)
	}
}

// introduce ties a stream to its node; only the first message names it.
func (l *ledger) introduce(key streamKey, n *core.Node) *nodeRecord {
	s := l.streams[key]
	if s == nil {
		s = &stream{}
		l.streams[key] = s
	}
	if s.known {
		return l.nodes[s.node]
	}
	s.node, s.known = keyOf(n), true
	r := l.nodes[s.node]
	if r == nil {
		l.forget(l.now())
		r = &nodeRecord{types: map[string]*typeRecord{}}
		l.nodes[s.node] = r
	}
	if r.streams++; r.streams == 1 {
		r.since = l.now()
		l.log.Info("proxy connected", "node", s.node.id, "cluster", s.node.cluster, "address", s.address)
	}
	r.address, r.delta = s.address, key.delta
	return r
}

// forget drops nodes that are gone for long, and any that are gone while there
// are too many.
func (l *ledger) forget(now time.Time) {
	for key, n := range l.nodes {
		if n.streams == 0 && (now.Sub(n.since) > forgetAfter || len(l.nodes) >= maxNodes) {
			delete(l.nodes, key)
		}
	}
}

func (n *nodeRecord) of(typeURL string) *typeRecord {
	t := n.types[typeURL]
	if t == nil {
		t = &typeRecord{}
		n.types[typeURL] = t
	}
	return t
}

// responded notes a response that is being sent.
func (l *ledger) responded(typeURL string, p sent) {
	p.at = l.now()
	l.count.responses.WithLabelValues(shortType(typeURL)).Inc()
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.streams[p.stream]
	if s == nil || !s.known {
		return
	}
	t := l.nodes[s.node].of(typeURL)
	t.sent, t.sentAt = p.version, p.at
	if len(t.pending) == maxPending {
		t.pending = t.pending[1:]
	}
	t.pending = append(t.pending, p)
}

// upToDate notes that a node needs nothing more of a type. What it refused it
// does not have.
func (l *ledger) upToDate(key nodeKey, typeURL, version string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := l.nodes[key]
	if n == nil {
		return
	}
	if t := n.of(typeURL); t.refusal == nil && t.acked != version {
		t.acked, t.ackedAt = version, l.now()
	}
}

// answer is what a request says about an earlier response.
type answer struct {
	stream  streamKey
	node    *core.Node
	typeURL string
	nonce   string
	problem string // why it was refused; "": accepted
	refused bool
}

// answered matches an answer with its response. It returns the refusal, if it is
// one, and whether it ends an earlier one.
func (l *ledger) answered(a answer) (refusal *Nack, mended bool) {
	now := l.now()
	l.mu.Lock()
	defer l.mu.Unlock()
	n := l.introduce(a.stream, a.node)
	if a.nonce == "" {
		return nil, false
	}
	t := n.of(a.typeURL)
	i := slices.IndexFunc(t.pending, func(p sent) bool { return p.stream == a.stream && p.nonce == a.nonce })
	if i < 0 { // answered before: this request changes what is subscribed
		return nil, false
	}
	p := t.pending[i]
	t.pending = t.pending[i+1:]
	t.lag = now.Sub(p.at)
	key := l.streams[a.stream].node
	if !a.refused {
		t.acked, t.ackedAt = p.version, now
		return nil, t.mend(p.names)
	}
	t.refusal = &Nack{
		Node: key.id, Cluster: key.cluster, TypeURL: a.typeURL, Version: p.version,
		Resources: xds.Named(p.names, a.problem), Message: a.problem, Time: now,
	}
	l.count.refusals.WithLabelValues(shortType(a.typeURL)).Inc()
	out := *t.refusal
	return &out, false
}

// mend ends a refusal when a response about the same resources was accepted, and
// says whether it did. In delta a response may be about others, which mends nothing.
func (t *typeRecord) mend(names []string) bool {
	if t.refusal == nil {
		return false
	}
	same := func(n string) bool { return slices.Contains(names, n) }
	if len(t.refusal.Resources) > 0 && !slices.ContainsFunc(t.refusal.Resources, same) {
		return false
	}
	t.refusal = nil
	return true
}

// blamed notes which resources a refusal came from.
func (l *ledger) blamed(n Nack) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if r := l.nodes[nodeKey{n.Node, n.Cluster}]; r != nil {
		if t := r.types[n.TypeURL]; t != nil && t.refusal != nil && t.refusal.Version == n.Version {
			t.refusal.Causes = n.Causes
		}
	}
}

// refused are the resources of a type that a node refuses at the moment.
func (l *ledger) refused(key nodeKey, typeURL string) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := l.nodes[key]; n != nil {
		if t := n.types[typeURL]; t != nil && t.refusal != nil {
			return t.refusal.Resources
		}
	}
	return nil
}

// shortType is the last word of a type URL; those that gabion never serves are
// one, because a client chooses what it asks for.
func shortType(typeURL string) string {
	if !slices.Contains(xds.Types(), typeURL) {
		return "other"
	}
	return typeURL[strings.LastIndexByte(typeURL, '.')+1:]
}
