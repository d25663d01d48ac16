package ads

import (
	"cmp"
	"slices"
	"strings"
	"sync"
	"time"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"github.com/envoyproxy/go-control-plane/pkg/cache/v3"

	"github.com/gabion-io/gabion/controlplane/xds"
)

// board is what is served now, and the watches of those who wait for news. It
// implements go-control-plane's cache.ConfigWatcher over resources that are serialised
// and hashed already.
type board struct {
	linger time.Duration
	seen   *ledger

	mu       sync.Mutex
	snapshot *xds.Snapshot
	offers   map[audience]offer
	leaving  map[leaver]time.Time // resources served beyond their removal, until
	prune    *time.Timer
	streams  map[streamRef]map[string]*watch // by type URL; answered ones stay until the proxy speaks again
	nextID   uint64
	closed   bool
}

// audience is a group of nodes that are served alike.
type audience string

const (
	proxies audience = "proxy"
	readers audience = "filter" // `gabion filter`, which reads tables
)

func audienceOf(n *core.Node) audience {
	if n.GetCluster() == xds.FilterCluster {
		return readers
	}
	return proxies
}

// offer is what an audience is served: per type URL, sorted by name.
type offer map[string][]xds.Resource

type leaver struct {
	audience audience
	typeURL  string
	name     string
}

func newBoard(linger time.Duration, seen *ledger) *board {
	return &board{
		linger:  linger,
		seen:    seen,
		offers:  map[audience]offer{},
		leaving: map[leaver]time.Time{},
		streams: map[streamRef]map[string]*watch{},
	}
}

func (b *board) current() *xds.Snapshot {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.snapshot
}

func (b *board) set(s *xds.Snapshot) {
	// the closure cannot fail
	_ = b.update(func(*xds.Snapshot) (*xds.Snapshot, error) { return s, nil })
}

// update replaces the snapshot by a function of the old one and tells the watches.
func (b *board) update(next func(old *xds.Snapshot) (*xds.Snapshot, error)) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	s, err := next(b.snapshot)
	if err != nil {
		return err
	}
	b.snapshot = s
	b.publish(time.Now())
	return nil
}

// publish makes the offers from the snapshot and what lingers.
func (b *board) publish(now time.Time) {
	b.offer(proxies, b.snapshot.Types, now)
	b.offer(readers, map[string][]xds.Resource{xds.ExtensionType: b.snapshot.Tables}, now)
	b.schedule(now)
	b.notify()
}

func (b *board) offer(a audience, fresh map[string][]xds.Resource, now time.Time) {
	next := offer{}
	for typeURL, list := range fresh {
		next[typeURL] = b.withLeavers(a, typeURL, list, now)
	}
	b.offers[a] = next
}

// withLeavers adds what was offered before and is gone: whoever still refers to
// it must be told of its replacement first. A listener that is gone closes at once.
func (b *board) withLeavers(a audience, typeURL string, fresh []xds.Resource, now time.Time) []xds.Resource {
	out := slices.Clone(fresh)
	for _, r := range fresh {
		delete(b.leaving, leaver{a, typeURL, r.Name})
	}
	if typeURL == xds.ListenerType || b.linger == 0 {
		return out
	}
	for _, old := range b.offers[a][typeURL] {
		if _, stays := find(fresh, old.Name); stays {
			continue
		}
		key := leaver{a, typeURL, old.Name}
		until, known := b.leaving[key]
		if !known {
			until = now.Add(b.linger)
			b.leaving[key] = until
		}
		if until.After(now) {
			out = append(out, old)
		} else {
			delete(b.leaving, key)
		}
	}
	slices.SortFunc(out, func(x, y xds.Resource) int { return strings.Compare(x.Name, y.Name) })
	return out
}

// schedule arranges for the next leaver to go.
func (b *board) schedule(now time.Time) {
	if b.prune != nil {
		b.prune.Stop()
		b.prune = nil
	}
	if len(b.leaving) == 0 || b.closed {
		return
	}
	first := time.Time{}
	for _, until := range b.leaving {
		if first.IsZero() || until.Before(first) {
			first = until
		}
	}
	b.prune = time.AfterFunc(first.Sub(now), func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		if !b.closed {
			b.publish(time.Now())
		}
	})
}

func (b *board) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	if b.prune != nil {
		b.prune.Stop()
	}
}

// notify answers every watch that has news, what is referred to before what refers.
func (b *board) notify() {
	var waiting []*watch
	for _, types := range b.streams {
		for _, w := range types {
			waiting = append(waiting, w)
		}
	}
	order := xds.Types()
	slices.SortFunc(waiting, func(x, y *watch) int {
		return cmp.Or(cmp.Compare(slices.Index(order, x.typeURL), slices.Index(order, y.typeURL)), cmp.Compare(x.id, y.id))
	})
	for _, w := range waiting {
		b.try(w)
	}
}

// try answers a watch if there is news and the proxy is ready for it.
func (b *board) try(w *watch) {
	if w.answered || b.snapshot == nil || b.held(w) {
		return
	}
	list := b.offers[w.audience][w.typeURL]
	if w.answer(list) {
		w.answered = true
		return
	}
	b.seen.upToDate(w.node, w.typeURL, w.version(list))
}

// watchFor answers at once or remembers the watch; the result cancels it.
func (b *board) watchFor(w *watch) func() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.nextID++
	w.id = b.nextID
	if b.streams[w.stream] == nil {
		b.streams[w.stream] = map[string]*watch{}
	}
	b.streams[w.stream][w.typeURL] = w
	b.try(w)
	for _, held := range []string{xds.ListenerType, xds.RouteType} {
		if h := b.streams[w.stream][held]; h != nil && h != w {
			b.try(h) // this one may be what it waited for
		}
	}
	return func() { b.cancel(w) }
}

func (b *board) cancel(w *watch) {
	b.mu.Lock()
	defer b.mu.Unlock()
	types := b.streams[w.stream]
	if types[w.typeURL] == w {
		delete(types, w.typeURL)
	}
	if len(types) == 0 {
		delete(b.streams, w.stream)
	}
}

// wanted is the version that a node should have of each type it subscribes to.
func (b *board) wanted() map[nodeKey]map[string]string {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := map[nodeKey]map[string]string{}
	if b.snapshot == nil {
		return out
	}
	for _, types := range b.streams {
		for typeURL, w := range types {
			if out[w.node] == nil {
				out[w.node] = map[string]string{}
			}
			out[w.node][typeURL] = w.version(b.offers[w.audience][typeURL])
		}
	}
	return out
}

// offered tells whether a resource is in the snapshot for nodes of a cluster;
// what only lingers is not.
func (b *board) offered() func(cluster, typeURL, name string) bool {
	s := b.current()
	return func(cluster, typeURL, name string) bool {
		if s == nil {
			return true
		}
		list := s.Types[typeURL]
		if cluster == xds.FilterCluster {
			list = s.Tables
		}
		_, there := find(list, name)
		return there
	}
}

// CreateWatch implements cache.ConfigWatcher for state-of-the-world streams.
func (b *board) CreateWatch(r *cache.Request, sub cache.Subscription, out chan cache.Response) (func(), error) {
	return b.watchFor(stateWatch(r, sub, out)), nil
}

// CreateDeltaWatch implements cache.ConfigWatcher for delta streams.
func (b *board) CreateDeltaWatch(r *cache.DeltaRequest, sub cache.Subscription, out chan cache.DeltaResponse) (func(), error) {
	return b.watchFor(deltaWatch(r, sub, out)), nil
}

func find(list []xds.Resource, name string) (xds.Resource, bool) {
	i, ok := slices.BinarySearchFunc(list, name, func(r xds.Resource, n string) int { return strings.Compare(r.Name, n) })
	if !ok {
		return xds.Resource{}, false
	}
	return list[i], true
}
