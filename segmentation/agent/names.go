package agent

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"time"

	"github.com/gabion-io/gabion/segmentation"
	"github.com/gabion-io/gabion/segmentation/lookup"
	"github.com/gabion-io/gabion/segmentation/nametap"
	"github.com/gabion-io/gabion/segmentation/policymap"
	"github.com/gabion-io/gabion/workload"
)

// expiry is how often names are looked through for addresses whose time is over.
const expiry = 2 * time.Second

// inForce is what a name's new address is written by, without compiling again.
type inForce struct {
	table     *segmentation.Table
	peers     []uint32                      // identities, by the table's peers
	workloads map[uint32]*workload.Workload // of this host, by number
}

// lookups are the names that the workloads look up. An answer is held by the kernel
// until the tables know its addresses: then the first packet to one of them meets
// what the rules say, and nothing that is not a rule's waits longer than for the
// look at it.
type lookups struct {
	tap     *nametap.Tap
	streams *nametap.Streams // under the agent's lock
	watcher *lookup.Watcher
	book    *lookup.Book // under the agent's lock
	journal *lookup.Journal
	anew    chan chan struct{} // asks Run to compile again; it closes what it was sent

	cancel context.CancelFunc // nil: not begun
	done   chan struct{}
	others map[netip.Addr]bool // servers of which was logged that they are not permitted
	told   lookup.Counts       // what was logged last, and when
	at     time.Time
}

func (a *Agent) openLookups() error {
	l := &lookups{
		streams: nametap.NewStreams(), watcher: lookup.NewWatcher(a.options.Resolvers), book: lookup.NewBook(a.options.Names),
		anew: make(chan chan struct{}), others: map[netip.Addr]bool{},
	}
	var err error
	if l.journal, err = lookup.OpenJournal(filepath.Join(a.options.State, "names.jsonl"), l.book, time.Now()); err != nil {
		return err
	}
	if l.tap, err = nametap.Open(a.dp.Names()); err != nil {
		return errors.Join(err, l.journal.Close())
	}
	a.lookups = l
	a.names.Told = func(id workload.ID, addr netip.Addr) string {
		a.lock.Lock()
		defer a.lock.Unlock()
		return l.book.Told(id, addr)
	}
	return nil
}

func (l *lookups) close() error { return errors.Join(l.tap.Close(), l.journal.Close()) }

// forget drops what is remembered of workloads that are not of this host any more.
func (l *lookups) forget(workloads map[uint32]*workload.Workload) {
	ids := map[workload.ID]bool{}
	for _, w := range workloads {
		ids[w.ID] = true
	}
	known := func(id workload.ID) bool { return ids[id] }
	l.streams.Forget(func(n uint32) bool { return workloads[n] != nil })
	l.watcher.Forget(known)
	l.book.Forget(known)
}

// start begins to read, once the tables are what is wanted.
func (l *lookups) start(a *Agent) {
	if l.cancel != nil {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	l.cancel, l.done = cancel, make(chan struct{})
	go func() {
		defer close(l.done)
		a.follow(ctx)
	}()
}

// stop ends reading; what is held is passed on.
func (l *lookups) stop() {
	if l.cancel != nil {
		l.cancel()
		<-l.done
		l.cancel = nil
	}
}

// follow takes every message, and passes on what is held.
func (a *Agent) follow(ctx context.Context) {
	for {
		m, err := a.lookups.tap.Next(func() bool { return ctx.Err() == nil })
		if err != nil {
			if ctx.Err() == nil {
				a.options.Log.Error("names are not watched any more: rules by name keep the addresses they have", "error", err)
			}
			return
		}
		a.message(ctx, m)
		if err := a.lookups.tap.Pass(m); err != nil {
			a.options.Log.Debug("an answer is lost", "error", err)
		}
	}
}

// message puts what a message says in force before it returns.
func (a *Agent) message(ctx context.Context, m *nametap.Message) {
	a.lock.Lock()
	list := a.lookups.streams.Payloads(m)
	a.lock.Unlock()
	for _, p := range list {
		if !a.learn(m, p) {
			a.compileAnew(ctx)
		}
	}
}

// learn puts an answer in force, if it is one that counts. False: the tables must be
// compiled again.
func (a *Agent) learn(m *nametap.Message, payload []byte) bool {
	a.lock.Lock()
	defer a.lock.Unlock()
	w := a.inForce.workloads[m.Workload]
	if w == nil {
		return true
	}
	a.tellOther(m, w.ID)
	answer, ok := a.lookups.watcher.See(lookup.Message{
		At: time.Duration(m.Time), Workload: w.ID, Outbound: m.Outbound != 0, TCP: m.Protocol == uint8(segmentation.TCP),
		Client: m.Client(), Server: m.Server(), Payload: payload,
	}, w.Addresses)
	if !ok {
		return true
	}
	// The TTL counts from when the answer came, not from when it was read.
	now := time.Now()
	told := now.Add(-time.Duration(monotonic() - m.Time))
	changed, keep := a.lookups.book.Learn(w.ID, answer, told, now, a.inForce.table.Means)
	if err := a.lookups.journal.Write(keep); err != nil {
		a.options.Log.Warn("names are forgotten when the agent ends", "error", err)
	}
	return a.rename(changed)
}

// tellOther logs that a workload whose rules are by name asks somebody whose answers
// do not count: its rules open nothing then, and nobody would see why.
func (a *Agent) tellOther(m *nametap.Message, id workload.ID) {
	const most = 64
	server := m.Server()
	if m.Held == 0 || a.lookups.watcher.Permits(server) || a.lookups.others[server] || len(a.lookups.others) >= most {
		return
	}
	a.lookups.others[server] = true
	a.options.Log.Warn("a workload with rules by name asks a resolver that is not permitted: its answers open nothing (--resolver)",
		"workload", id, "resolver", server, "permitted", a.options.Resolvers)
}

// rename writes what addresses stand for now that their names are others; under the
// lock.
func (a *Agent) rename(changed []netip.Addr) bool {
	for _, addr := range changed {
		peer, ok := a.inForce.table.PeerNamed(addr, a.lookups.book.Of(addr))
		if !ok {
			return false
		}
		identity := uint32(0)
		if peer != segmentation.AnyPeer {
			identity = a.inForce.peers[peer]
		}
		if err := a.writer.Rename(addr, identity); err != nil {
			if !errors.Is(err, policymap.ErrNotInPlace) {
				a.options.Log.Warn("cannot change an address in place", "address", addr, "error", err)
			}
			return false
		}
	}
	return true
}

// compileAnew has Run make the tables again, and waits for it.
func (a *Agent) compileAnew(ctx context.Context) {
	done := make(chan struct{})
	select {
	case a.lookups.anew <- done:
		<-done
	case <-ctx.Done():
	}
}

// expireNames takes away addresses whose time is over and that no flow uses.
func (a *Agent) expireNames(now time.Time) error {
	if err := a.tellLookups(now); err != nil {
		return err
	}
	a.lock.Lock()
	due := a.inForce.table != nil && a.lookups.book.Due(now)
	err := a.compactNames()
	a.lock.Unlock()
	if err != nil {
		a.options.Log.Warn("names are forgotten when the agent ends", "error", err)
	}
	if !due {
		return nil
	}
	used, err := a.dp.Ends()
	if err != nil {
		return fmt.Errorf("look for flows by name: %w", err)
	}
	a.lock.Lock()
	renamed := a.rename(a.lookups.book.Expire(now, func(addr netip.Addr) bool { return used[addr] }))
	a.lock.Unlock()
	if !renamed {
		return a.Reconcile()
	}
	return nil
}

// compactNames writes the journal anew when it has become long; under the lock.
func (a *Agent) compactNames() error {
	if !a.lookups.journal.Long(a.lookups.book) {
		return nil
	}
	return a.lookups.journal.Compact(a.lookups.book)
}

// Lookups counts what became of what workloads asked name services.
func (a *Agent) Lookups() (lookup.Counts, error) {
	lost, err := a.lookups.tap.Lost()
	a.lock.Lock()
	defer a.lock.Unlock()
	c := a.lookups.watcher.Counts()
	c.Lost, c.Overflowing = lost, a.lookups.book.Overflowing()
	return c, err
}

// tellLookups logs what went wrong with names since it was logged last, once a minute
// at most.
func (a *Agent) tellLookups(now time.Time) error {
	l := a.lookups
	c, err := a.Lookups()
	if err != nil || now.Sub(l.at) < time.Minute || c.Trouble() == l.told.Trouble() {
		return err
	}
	l.at, l.told = now, c
	a.options.Log.Warn("not every answer of a name service counted", "counted", c.Counted, "unasked", c.Unasked,
		"own", c.Own, "elsewhere", c.Elsewhere, "unreadable", c.Unreadable, "unbelieved", c.Unbelieved,
		"crowded", c.Crowded, "overflowing", c.Overflowing, "lost", c.Lost)
	return nil
}
