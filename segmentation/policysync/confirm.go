package policysync

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// A set is tried: when it is in force, the control plane must be reached on a new
// connection, over which a better set could come. If it is not, in time, the set
// before returns. On disk stands the last set that was confirmed, from before the
// swap until after the confirmation, so whoever starts in between begins with that.

// How long one attempt to reach the control plane may take, and the pause after it.
const (
	probeTime  = 10 * time.Second
	probePause = 500 * time.Millisecond
)

// errAway: a set was taken back, and the control plane was not reached without it
// either. So it is not to blame, and is tried again when the control plane is back.
var errAway = errors.New("the control plane was not reached after a change of policy, nor when that was taken back: it is tried again later")

// put puts a set in force and confirms it. If it returns an error, what was in force
// before is in force.
func (c *Client) put(ctx context.Context, next set) error {
	before := c.current()
	if c.taken.still(before, next) {
		return c.taken
	}
	tried := c.o.Confirm > 0 && c.known && !maps.Equal(before, next)
	if tried && !c.kept {
		c.save(before)
	}
	if err := c.o.Apply(ctx, next.list()); err != nil {
		return err
	}
	if tried {
		if err := c.confirm(ctx, before, next); err != nil {
			return err
		}
	} else if c.o.Confirm > 0 && !c.known {
		c.o.Log.Warn("what was in force before is not known: this policy is not taken back, whatever comes of it")
	}
	c.keep(next)
	c.known, c.taken = true, nil
	c.save(next)
	return nil
}

// confirm returns nil when the control plane was reached under the set that is in
// force now, else when the one before is in force again.
func (c *Client) confirm(ctx context.Context, before, next set) error {
	for {
		away := c.reach(ctx)
		if away == nil || ctx.Err() != nil {
			return ctx.Err()
		}
		if err := c.o.Apply(ctx, before.list()); err != nil {
			c.o.Log.Error("the policy before cannot be put back; the new one stays for now", "error", err)
			continue
		}
		if err := c.reach(ctx); err != nil {
			return cmp.Or(ctx.Err(), fmt.Errorf("%w: %w", errAway, err))
		}
		c.taken = newTakenBack(before, next, c.o.Confirm, away)
		c.save(before)
		return c.taken
	}
}

// reach tries, for as long as a set may be unconfirmed, to reach the control plane
// on a connection that is not there yet: one that is there may live on by the
// kernel's table of flows.
func (c *Client) reach(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, c.o.Confirm)
	defer cancel()
	for said := false; ; said = true {
		err := c.probe(ctx)
		if err == nil {
			return nil
		}
		if !said && ctx.Err() == nil {
			c.o.Log.Warn("after a change of policy the control plane is not reached yet", "patience", c.o.Confirm, "error", err)
		}
		pause := time.NewTimer(probePause)
		select {
		case <-ctx.Done():
			pause.Stop()
			return err
		case <-pause.C:
		}
	}
}

// probe opens the stream by which policy comes, as far as the control plane's first
// word, on a connection of its own.
func (c *Client) probe(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	conn, err := c.o.Connect()
	if err != nil {
		return err
	}
	defer conn.Close()
	stream, err := discovery.NewAggregatedDiscoveryServiceClient(conn).DeltaAggregatedResources(ctx)
	if err == nil {
		err = accepted(stream)
	}
	switch s := status.Convert(err); s.Code() {
	case codes.OK, codes.ResourceExhausted: // it answers: this host has too many streams
		return nil
	case codes.DeadlineExceeded:
		return errors.New("no answer")
	default:
		return errors.New(s.Message())
	}
}

// takenBack is a set that was in force and had to go. As an error it says why.
type takenBack struct {
	Why string `json:"why"`
	// What it is known by: all its policies, and what else it changed if it changed no
	// policy. Names to versions, none for what was not there any more.
	Policies map[string]string `json:"policies"`
	Others   map[string]string `json:"others,omitempty"`
}

func (t *takenBack) Error() string { return t.Why }

func newTakenBack(before, next set, patience time.Duration, away error) *takenBack {
	policies, others := next.changed(before)
	t := &takenBack{Policies: next.policies()}
	names, again := policies, "a policy"
	if len(policies) == 0 {
		names, again, t.Others = others, "one of them or a policy", map[string]string{}
		for _, n := range others {
			t.Others[n] = next[n].Version
		}
	}
	t.Why = fmt.Sprintf("with the change of %s in force this host did not reach its control plane anew for %s (%v), and did without it; it is tried again when %s changes",
		few(names), patience, away, again)
	return t
}

// still says whether a set would do again what was taken back. Workloads come and go
// all the time: beside a policy they make it no other set, else it would be tried,
// and cut the host off, with each of them.
func (t *takenBack) still(before, next set) bool {
	if t == nil || maps.Equal(before, next) || !maps.Equal(t.Policies, next.policies()) {
		return false
	}
	for name, version := range t.Others {
		if next[name].Version != version {
			return false
		}
	}
	return true
}

// policies are the versions of those.
func (s set) policies() map[string]string {
	all := s.versions()
	maps.DeleteFunc(all, func(name, _ string) bool { return !isPolicy(name) })
	return all
}

// changed are the names of what is not as it was before, sorted.
func (s set) changed(before set) (policies, others []string) {
	all := maps.Clone(before)
	maps.Copy(all, s)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		switch {
		case s[name] == before[name]:
		case isPolicy(name):
			policies = append(policies, name)
		default:
			others = append(others, name)
		}
	}
	return policies, others
}

// isPolicy tells policies, of whatever kind, from workloads and namespaces.
func isPolicy(name string) bool {
	kind, _, _ := strings.Cut(name, "/")
	return strings.HasSuffix(kind, "Policy")
}

// few lists names, but not hundreds.
func few(names []string) string {
	const most = 5
	if n := len(names) - most; n > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), n)
	}
	return strings.Join(names, ", ")
}
