package proposal

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/gabion-io/gabion/controlplane/store"
	"github.com/gabion-io/gabion/filters"
	"github.com/gabion-io/gabion/internal/exchange"
)

// honesty knows clients by how much of their traffic would be denied.
type honesty struct {
	store   Store
	rules   SuggestRules
	flagged map[string][]string // ids of a client's events
	judged  map[string]bool
	ids     map[string]bool    // of all events
	traffic map[string]traffic // by client
	shared  map[field]bool     // others pass where a field is
}

// traffic is what a client did lately.
type traffic struct {
	exchanges int
	events    map[string]bool // ids of those that had one
	served    map[where]bool  // where it passed, and was answered
}

// where an exchange was.
type where struct{ method, host, path string }

func newHonesty(s Store, r SuggestRules, events []filters.Event) *honesty {
	h := &honesty{store: s, rules: r, flagged: map[string][]string{}, judged: map[string]bool{}, ids: map[string]bool{},
		traffic: map[string]traffic{}, shared: map[field]bool{}}
	for _, e := range events {
		h.ids[e.ID] = true
		h.flagged[e.Client] = append(h.flagged[e.Client], e.ID)
	}
	return h
}

// forgive counts no longer against a client what is known to misfire: a cookie
// that is denied with every request makes nobody an attacker.
func (h *honesty) forgive(events []filters.Event, misfires func(filters.Event) bool) {
	h.flagged, h.judged = map[string][]string{}, map[string]bool{}
	for _, e := range events {
		if !misfires(e) {
			h.flagged[e.Client] = append(h.flagged[e.Client], e.ID)
		}
	}
}

// clientTraffic is how much of a client's latest traffic is looked at.
const clientTraffic = 1000

// honest: most of what the voice's client does would pass. One whose traffic would
// mostly be denied comes to attack; of one that nothing else is known of, nobody
// can say. And it uses the operation that the voice is about.
func (h *honesty) honest(ctx context.Context, v voice) (bool, error) {
	client := v.event.Client
	ok, known := h.judged[client]
	if !known {
		var err error
		if ok, err = h.judge(ctx, client); err != nil {
			return false, err
		}
		h.judged[client] = ok
	}
	if !ok {
		return false, nil
	}
	return h.uses(ctx, v)
}

func (h *honesty) judge(ctx context.Context, client string) (bool, error) {
	did, known := h.traffic[client]
	if !known {
		seen, err := h.store.Exchanges(ctx, store.ExchangeQuery{Client: client, Since: h.rules.Since, Limit: clientTraffic})
		if err != nil {
			return false, fmt.Errorf("read exchanges of a client: %w", err)
		}
		did = h.trafficOf(seen)
		h.traffic[client] = did
	}
	flagged := len(h.flagged[client])
	if did.exchanges == clientTraffic { // only the latest were read: count the same ones
		flagged = 0
		for _, id := range h.flagged[client] {
			if did.events[id] {
				flagged++
			}
		}
	}
	return 2*flagged <= did.exchanges, nil
}

func (h *honesty) trafficOf(seen []exchange.Exchange) traffic {
	out := traffic{exchanges: len(seen), events: map[string]bool{}, served: map[where]bool{}}
	for _, x := range seen {
		switch {
		case !h.passed(x):
			out.events[x.ID], out.events[x.Event] = true, true
		case answered(x):
			out.served[where{x.Method, x.Host, x.Path}] = true
		}
	}
	return out
}

// operationTraffic is how much of the traffic of one operation is looked at.
const operationTraffic = 50_000

// uses: the client uses the operation, too. Where others pass, whoever only ever
// was denied there came for that: a parameter that misfires does so now and then.
// Where hardly anybody passes it always does, and nothing can be told.
func (h *honesty) uses(ctx context.Context, v voice) (bool, error) {
	if v.field.carried {
		return true, nil
	}
	shared, known := h.shared[v.field]
	if !known {
		var err error
		if shared, err = h.others(ctx, v.field); err != nil {
			return false, err
		}
		h.shared[v.field] = shared
	}
	if !shared {
		return true, nil
	}
	did := h.traffic[v.event.Client]
	for w := range did.served {
		if v.field.at(w) {
			return true, nil
		}
	}
	if did.exchanges < clientTraffic {
		return false, nil
	}
	// It does more than was looked at: ask what it did there.
	q := v.field.query(h.rules)
	q.Client = v.event.Client
	seen, err := h.store.Exchanges(ctx, q)
	if err != nil {
		return false, fmt.Errorf("read exchanges of a client: %w", err)
	}
	return slices.ContainsFunc(seen, func(x exchange.Exchange) bool { return h.servedAt(v.field, x) }), nil
}

// servedAt: the exchange was where the field is, passed, and was answered.
func (h *honesty) servedAt(f field, x exchange.Exchange) bool {
	return h.passed(x) && answered(x) && f.at(where{x.Method, x.Host, x.Path})
}

// query asks for what was done where the field may be.
func (f field) query(r SuggestRules) store.ExchangeQuery {
	q := store.ExchangeQuery{Method: f.method, Since: r.Since, Limit: 5000}
	if i := strings.Index(f.path, "{value}"); i >= 0 {
		q.PathPrefix, q.PathSuffix = f.path[:i], f.path[strings.LastIndex(f.path, "{value}")+len("{value}"):]
	} else {
		q.Path = f.path
	}
	return q
}

// others: enough clients pass where the field is, and are answered: whoever is turned
// away uses nothing. Of more traffic than is looked at they do: whoever floods an
// operation does not end the question.
func (h *honesty) others(ctx context.Context, f field) (bool, error) {
	q := f.query(h.rules)
	clients := map[string]bool{}
	for looked := 0; looked < operationTraffic; looked += q.Limit {
		seen, err := h.store.Exchanges(ctx, q)
		if err != nil {
			return false, fmt.Errorf("read exchanges of an operation: %w", err)
		}
		for _, x := range seen {
			if h.servedAt(f, x) {
				clients[x.Client] = true
			}
		}
		if len(clients) >= h.rules.Clients || len(seen) < q.Limit {
			return len(clients) >= h.rules.Clients, nil
		}
		q.Until = seen[len(seen)-1].Time
	}
	return true, nil
}

// at: the field is there.
func (f field) at(w where) bool {
	return (f.method == "" || f.method == w.method) && (f.host == "" || w.host == "" || f.host == bareHost(w.host)) && fits(f.path, w.path)
}

// passed: nothing was found in the exchange that would be denied.
func (h *honesty) passed(x exchange.Exchange) bool { return !h.ids[x.ID] && !h.ids[x.Event] }

// answered: the service did what was asked.
func answered(x exchange.Exchange) bool { return x.Status > 0 && x.Status < 400 }
