package chain

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/gabion-io/gabion/filters"
	"github.com/gabion-io/gabion/internal/exchange"
)

// learning is what a table tells of exchanges for the inventory of operations.
type learning struct {
	filters.Learn
	door exchange.Door
	pool sync.Pool // of *telling
}

// telling is what one exchange is told of with. Its memory is used again for the next.
type telling struct {
	asked, answered []exchange.Header
	seen            exchange.Observation
	facts           exchange.Facts
	text            []byte
}

// learning makes a table's. Without its key nothing is told: what it is for must
// not keep a table from being loaded.
func (r *Runtime) learning(l *filters.Learn) *learning {
	if l == nil {
		return nil
	}
	key, err := os.ReadFile(l.KeyFile)
	if err == nil && len(key) != len(exchange.Key{}) {
		err = fmt.Errorf("read %s: %d bytes, want %d", l.KeyFile, len(key), len(exchange.Key{}))
	}
	if err != nil {
		r.o.Log.Error("operations are learned from the access log alone", "error", err)
		return nil
	}
	return &learning{Learn: *l, door: exchange.Door{Service: "-", Key: exchange.Key(key), Limits: exchange.Limits{Bytes: int(l.BodyLimit)}, Names: &r.names, Facts: true}}
}

// sampler lets the first exchanges of each kind through, an hour. Kinds share
// counters by chance; then one of them is looked into less.
type sampler struct {
	hour   atomic.Int64
	counts [4096]atomic.Uint32
}

func (s *sampler) first(kind uint64, most uint32, hour int64) bool {
	if last := s.hour.Load(); last != hour && s.hour.CompareAndSwap(last, hour) {
		for i := range s.counts {
			s.counts[i].Store(0)
		}
	}
	c := &s.counts[kind%uint64(len(s.counts))]
	return c.Load() < most && c.Add(1) <= most
}

// watch decides whether the bodies of the exchange are looked into.
func (x *Exchange) watch() {
	if x.learn == nil || x.stream != "" {
		return
	}
	kind := exchange.Key{}.Hash(x.request.Method + " " + exchange.MaskPath(x.request.Path))
	r := x.runtime
	x.watched = r.sampler.first(kind, x.learn.First, x.began.Unix()/3600) || r.o.Random()*100 < x.learn.Percent
	if x.watched {
		x.req.keep, x.resp.keep = max(x.req.keep, x.learn.BodyLimit), max(x.resp.keep, x.learn.BodyLimit)
	}
}

// Observation is the JSON of what only the filter can see of the exchange, once:
// when all of it was shown, or at its end. Nil when there is nothing to tell, or
// not yet. It is valid until Complete.
func (x *Exchange) Observation(ended bool) (out []byte) {
	if x.learn == nil || x.observed || x.complete || x.request == nil || x.answered != nil || !ended && !x.shown() {
		return nil
	}
	x.observed = true
	defer func() {
		if p := recover(); p != nil {
			x.runtime.panics.Add(1)
			x.runtime.o.Log.Error("filter panicked", "hook", "observation", "panic", p)
			out = nil
		}
	}()
	t, _ := x.learn.pool.Get().(*telling)
	if t == nil {
		t = new(telling)
	}
	raw := x.raw(t)
	x.learn.door.Observe(&raw, &t.seen)
	t.facts.Take(&t.seen)
	t.text = t.facts.Encode(t.text)
	clear(t.asked) // values are not kept for longer than they are read
	clear(t.answered)
	x.told = t
	return t.text
}

// shown says that nothing more of the exchange will be shown.
func (x *Exchange) shown() bool {
	if x.response == nil {
		return !x.Active()
	}
	return x.resp.finished || !x.Wants().Response
}

// raw is the exchange with all that was kept of it, without its path: that is in
// the access log.
func (x *Exchange) raw(t *telling) exchange.Raw {
	h := x.request
	t.asked = rawHeaders(t.asked[:0], h.Headers)
	raw := exchange.Raw{Time: x.began, Method: h.Method, Scheme: h.Scheme, Request: exchange.RawMessage{Headers: t.asked}}
	if i := strings.IndexByte(h.Path, '?'); i >= 0 {
		raw.Path = h.Path[i:]
	}
	if a := h.Client.Addr(); a.IsValid() {
		raw.Client = a.Unmap().String()
	}
	if x.watched {
		raw.Request.Body = x.shownBody(&x.req, h.Headers)
	}
	if x.response != nil {
		raw.Status = x.response.Status
		t.answered = rawHeaders(t.answered[:0], x.response.Headers)
		raw.Response.Headers = t.answered
		if x.watched && responseStream(x.response) == "" {
			raw.Response.Body = x.shownBody(&x.resp, x.response.Headers)
		}
	}
	return raw
}

// shownBody is a body as it was meant, nil when not all of it was kept.
func (x *Exchange) shownBody(b *body, hs []filters.Header) []byte {
	if !b.finished || b.total > int64(len(b.data)) || b.missing > 0 {
		return nil
	}
	c := codings(hs)
	if c == "" || len(b.data) == 0 {
		return b.data
	}
	d := decode(c, b.data, x.learn.BodyLimit)
	if d.err != nil || d.more {
		return nil
	}
	return d.body
}

func rawHeaders(list []exchange.Header, hs []filters.Header) []exchange.Header {
	for _, h := range hs {
		list = append(list, exchange.Header(h))
	}
	return list
}
