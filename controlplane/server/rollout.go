package server

import (
	"context"
	"time"

	"github.com/gabion-io/gabion/controlplane/ads"
	"github.com/gabion-io/gabion/controlplane/hosts"
)

// How long a change waits for the proxies' answers before it is reported as it
// stands, and how often they are looked at.
const (
	rolloutPatience = 3 * time.Second
	rolloutPoll     = 5 * time.Millisecond
)

// Rollout is how far a change has come: the proxies and agents connected when it was
// made, by their answer to what is served now.
type Rollout struct {
	Proxies  int   `json:"proxies" doc:"connected"`
	Accepted int   `json:"accepted" doc:"have all of it in force"`
	Refused  int   `json:"refused" doc:"refused some of it and keep what they had there: see status"`
	Waiting  int   `json:"waiting" doc:"had not answered when this was written"`
	Agents   Tally `json:"agents" doc:"the same of hosts that have something to enforce"`
}

// Tally counts answers.
type Tally struct {
	Connected int `json:"connected"`
	Accepted  int `json:"accepted"`
	Refused   int `json:"refused"`
	Waiting   int `json:"waiting"`
}

// rolledOut waits until every connected proxy and agent has accepted or refused what
// is served, or patience ends. Nil when nothing is known of proxies.
func (a *api) rolledOut(ctx context.Context) *Rollout {
	if a.Proxies == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, rolloutPatience)
	defer cancel()
	poll := time.NewTicker(rolloutPoll)
	defer poll.Stop()
	for {
		r := countRollout(a.Proxies.Status())
		if a.Agents != nil {
			r.Agents = countAgents(a.Agents.Status())
		}
		if r.Waiting+r.Agents.Waiting == 0 {
			return &r
		}
		select {
		case <-ctx.Done():
			return &r
		case <-poll.C:
		}
	}
}

func countRollout(proxies []ads.ProxyStatus) (r Rollout) {
	for _, p := range proxies {
		if !p.Connected {
			continue
		}
		r.Proxies++
		refused, waiting := false, false
		for _, t := range p.Types {
			refused = refused || t.Nacked != ""
			waiting = waiting || (t.Nacked == "" && t.Want != "" && t.Acked != t.Want)
		}
		switch {
		case waiting:
			r.Waiting++
		case refused:
			r.Refused++
		default:
			r.Accepted++
		}
	}
	return r
}

func countAgents(agents []hosts.Status) (t Tally) {
	for _, h := range agents {
		if !h.Connected || h.Resources == 0 && h.Want == h.Acked {
			continue // gone, or with nothing to enforce
		}
		t.Connected++
		switch {
		case h.Want == h.Acked:
			t.Accepted++
		case h.Nacked == h.Want:
			t.Refused++
		default:
			t.Waiting++
		}
	}
	return t
}
