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
	ids     map[string]bool                // of all events
	served  map[string][]exchange.Exchange // a client's that passed and were answered
	shared  map[field]bool                 // others pass where a field is
}

func newHonesty(s Store, r SuggestRules, events []filters.Event) *honesty {
	h := &honesty{store: s, rules: r, flagged: map[string][]string{}, judged: map[string]bool{}, ids: map[string]bool{},
		served: map[string][]exchange.Exchange{}, shared: map[field]bool{}}
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
	seen, err := h.store.Exchanges(ctx, store.ExchangeQuery{Client: client, Since: h.rules.Since, Limit: clientTraffic})
	if err != nil {
		return false, fmt.Errorf("read exchanges of a client: %w", err)
	}
	h.served[client] = slices.DeleteFunc(slices.Clone(seen), func(x exchange.Exchange) bool { return !h.passed(x) || x.Status == 0 || x.Status >= 400 })
	flagged := len(h.flagged[client])
	if len(seen) == clientTraffic { // only the latest were read: count the same ones
		ids := map[string]bool{}
		for _, x := range seen {
			ids[x.ID], ids[x.Event] = true, true
		}
		flagged = 0
		for _, id := range h.flagged[client] {
			if ids[id] {
				flagged++
			}
		}
	}
	return 2*flagged <= len(seen), nil
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
	return !shared || slices.ContainsFunc(h.served[v.event.Client], v.field.at), nil
}

// others: enough clients pass where the field is. Of more traffic than is looked at
// they do: whoever floods an operation does not end the question.
func (h *honesty) others(ctx context.Context, f field) (bool, error) {
	q := store.ExchangeQuery{Method: f.method, Since: h.rules.Since, Limit: 5000}
	if before, _, form := strings.Cut(f.path, "{value}"); form {
		q.PathPrefix = before
	} else {
		q.Path = f.path
	}
	clients := map[string]bool{}
	for looked := 0; looked < operationTraffic; looked += q.Limit {
		seen, err := h.store.Exchanges(ctx, q)
		if err != nil {
			return false, fmt.Errorf("read exchanges of an operation: %w", err)
		}
		for _, x := range seen {
			if h.passed(x) && f.at(x) {
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

// at: the exchange is where the field is.
func (f field) at(x exchange.Exchange) bool {
	return (f.method == "" || f.method == x.Method) && (f.host == "" || x.Host == "" || f.host == bareHost(x.Host)) && fits(f.path, x.Path)
}

// passed: nothing was found in the exchange that would be denied.
func (h *honesty) passed(x exchange.Exchange) bool { return !h.ids[x.ID] && !h.ids[x.Event] }
