package proposal

import (
	"context"
	"fmt"

	"github.com/gabion-io/gabion/controlplane/store"
	"github.com/gabion-io/gabion/filters"
)

// honesty knows clients by how much of their traffic would be denied.
type honesty struct {
	store   Store
	rules   SuggestRules
	flagged map[string][]string // ids of a client's events
	judged  map[string]bool
}

func newHonesty(s Store, r SuggestRules, events []filters.Event) *honesty {
	h := &honesty{store: s, rules: r, flagged: map[string][]string{}, judged: map[string]bool{}}
	for _, e := range events {
		h.flagged[e.Client] = append(h.flagged[e.Client], e.ID)
	}
	return h
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
