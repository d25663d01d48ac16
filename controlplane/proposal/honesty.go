package proposal

import (
	"context"
	"fmt"
	"strings"

	"github.com/gabion-io/gabion/controlplane/store"
	"github.com/gabion-io/gabion/filters"
)

// honesty knows clients by how much of their traffic would be denied.
type honesty struct {
	store   Store
	rules   SuggestRules
	flagged map[string][]string // ids of a client's events
	judged  map[string]bool
	ids     map[string]bool           // of all events
	passing map[field]map[string]bool // clients that pass where a field is
}

func newHonesty(s Store, r SuggestRules, events []filters.Event) *honesty {
	h := &honesty{store: s, rules: r, flagged: map[string][]string{}, judged: map[string]bool{}, ids: map[string]bool{}, passing: map[field]map[string]bool{}}
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

// honest: most of what the client does would pass. One whose traffic would
// mostly be denied comes to attack; of one that nothing else is known of, nobody
// can say.
func (h *honesty) honest(ctx context.Context, client string) (bool, error) {
	ok, known := h.judged[client]
	if !known {
		var err error
		if ok, err = h.judge(ctx, client); err != nil {
			return false, err
		}
		h.judged[client] = ok
	}
	return ok, nil
}

func (h *honesty) judge(ctx context.Context, client string) (bool, error) {
	seen, err := h.store.Exchanges(ctx, store.ExchangeQuery{Client: client, Since: h.rules.Since, Limit: clientTraffic})
	if err != nil {
		return false, fmt.Errorf("read exchanges of a client: %w", err)
	}
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

// operationTraffic is how much of the latest traffic of one path is looked at,
// and operationPaths how many paths of one operation.
const (
	operationTraffic = 5000
	operationPaths   = 20
)

// uses: the client uses the operation, too. Where others pass, whoever only ever
// was denied there came for that: a parameter that misfires does so now and then.
// Where hardly anybody passes it always does, and nothing can be told.
func (h *honesty) uses(ctx context.Context, v voice, paths []string) (bool, error) {
	if name, _ := cutTarget(v.field.target); v.field.carried || !strings.HasPrefix(name, "ARGS") {
		return true, nil
	}
	clients, known := h.passing[v.field]
	if !known {
		clients = map[string]bool{}
		for _, p := range paths[:min(len(paths), operationPaths)] {
			seen, err := h.store.Exchanges(ctx, store.ExchangeQuery{Method: v.field.method, Path: p, Since: h.rules.Since, Limit: operationTraffic})
			if err != nil {
				return false, fmt.Errorf("read exchanges of an operation: %w", err)
			}
			for _, x := range seen {
				if !h.ids[x.ID] && !h.ids[x.Event] {
					clients[x.Client] = true
				}
			}
		}
		h.passing[v.field] = clients
	}
	return len(clients) < h.rules.Clients || clients[v.event.Client], nil
}
