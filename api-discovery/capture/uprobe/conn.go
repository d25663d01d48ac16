package uprobe

import (
	"errors"
	"net/netip"
	"time"

	"github.com/cilium/ebpf"

	"github.com/gabion-io/gabion/api-discovery/capture"
	"github.com/gabion-io/gabion/api-discovery/capture/bpf"
	"github.com/gabion-io/gabion/api-discovery/capture/stream"
	"github.com/gabion-io/gabion/workload"
)

// known is a connection that a process told of.
type known struct {
	id     uint64
	key    bpf.ConnKey
	owner  *owner
	client bool // the process sends the requests
	path   ends // as they were known first: by them the tracker knows it
	ends   ends
	last   time.Time
}

// ends are a connection of TCP, as both of its ends know it. Where nobody knows it
// both are zero.
type ends struct {
	client, server netip.AddrPort
	within         uint64 // of loopback: the network namespace, which each has its own of
}

// silent is how long the end of a connection that tells may be silent before the other
// end is listened to.
const silent = 10 * time.Second

// piece takes some plaintext, or the end of a connection.
func (w *Watch) piece(p *bpf.Plain, data []byte) {
	k := w.known(p)
	if k == nil {
		w.n.Stray++
		return
	}
	k.last = w.boot.Add(time.Duration(p.Time))
	if !w.tells(k) {
		w.n.Twice++
		return
	}
	s := stream.Segment{
		ID: k.id, Time: k.last, From: k.path.client, To: k.path.server, Client: true, Cookie: p.Cookie,
		Seq: p.Seq, Skipped: p.Skipped, FIN: p.Ended != 0, Data: data,
	}
	if p.Client == 0 {
		s.From, s.To, s.Client = s.To, s.From, false
	}
	w.tracker.Add(&s)
	if p.Ended == 0 {
		return
	}
	s.From, s.To, s.Client, s.Seq, s.Data = s.To, s.From, !s.Client, p.Other, nil
	w.tracker.Add(&s)
	w.drop(k)
}

// known finds or notes a connection; nil: of a process that is not seen.
func (w *Watch) known(p *bpf.Plain) *known {
	if k := w.conns[p.ID]; k != nil {
		k.locate(p)
		return k
	}
	w.lock.Lock()
	o := w.owners[p.Process]
	w.lock.Unlock()
	if o == nil {
		return nil
	}
	if len(w.conns) >= 4*w.o.Conns {
		w.tidy(time.Now().Add(time.Minute)) // those that were silent longest
		if len(w.conns) >= 4*w.o.Conns {
			clear(w.conns)
			clear(w.ends)
			w.n.Evicted++
		}
	}
	k := &known{id: p.ID, key: bpf.ConnKey{Conn: p.Conn, Process: p.Process}, owner: o, client: p.Written == p.Client}
	k.locate(p)
	k.path = k.ends
	w.conns[k.id] = k
	return k
}

// locate takes the ends from a piece that has them: they may become known late.
func (k *known) locate(p *bpf.Plain) {
	if k.ends.client.IsValid() || p.LocalPort == 0 || p.RemotePort == 0 {
		return
	}
	local, remote := netip.AddrPortFrom(p.Local.Addr(), p.LocalPort), netip.AddrPortFrom(p.Remote.Addr(), p.RemotePort)
	k.ends = ends{client: remote, server: local}
	if k.client {
		k.ends.client, k.ends.server = local, remote
	}
	if local.Addr().IsLoopback() {
		k.ends.within = k.owner.namespace
	}
}

// tells says whether what this process says of a connection counts: where both ends
// are seen, one does.
func (w *Watch) tells(k *known) bool {
	if !k.ends.client.IsValid() {
		return true
	}
	teller := w.ends[k.ends]
	if teller == nil || teller != k && k.last.Sub(teller.last) > silent {
		w.ends[k.ends], teller = k, k
	}
	return teller == k
}

func (w *Watch) drop(k *known) {
	delete(w.conns, k.id)
	if w.ends[k.ends] == k {
		delete(w.ends, k.ends)
	}
}

// tidy forgets connections that the tracker has forgotten.
func (w *Watch) tidy(now time.Time) {
	for _, k := range w.conns {
		if now.Sub(k.last) > 11*time.Minute {
			w.drop(k)
		}
	}
}

// emit adds who took part.
func (w *Watch) emit(x *stream.Exchange) {
	k := w.conns[x.ID]
	if k == nil {
		w.n.Stray++
		return
	}
	s := &capture.Seen{Exchange: *x, Process: &k.owner.process, TLS: true}
	if s.Client, s.Server = k.ends.client, k.ends.server; s.Client.IsValid() {
		s.Raw.Client = s.Client.Addr().String()
	} else {
		w.n.Homeless++
	}
	if k.client {
		s.From, s.To = k.owner.workload, w.ownerOf(s.Server.Addr())
	} else {
		s.From, s.To = w.ownerOf(s.Client.Addr()), k.owner.workload
	}
	w.o.Emit(s)
}

func (w *Watch) ownerOf(a netip.Addr) *workload.Workload {
	if w.o.Owner == nil || !a.IsValid() || a.IsLoopback() {
		return nil
	}
	return w.o.Owner(a.Unmap())
}

// ignore tells the programs that a connection is not to be read. That it may be gone is
// no error, and that it goes on costs only work.
func (w *Watch) ignore(id uint64, _, _ netip.AddrPort) {
	k := w.conns[id]
	if k == nil {
		return
	}
	var c bpf.Conn
	m := w.all.Maps["conns"]
	err := m.Lookup(&k.key, &c)
	if err == nil && c.ID == id {
		c.State = bpf.TLSIgnored
		err = m.Update(&k.key, &c, ebpf.UpdateExist)
	}
	if err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
		w.o.Log.Warn("a connection is read on in vain", "error", err)
	}
}
