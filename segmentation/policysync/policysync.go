// Package policysync keeps what a host is to enforce in line with its control
// plane: a client of Envoy's discovery protocol (delta, aggregated) for gabion's own
// type, and the last good set on disk, which is in force before the control plane
// has answered, and while it is away. A set under which the control plane cannot be
// reached is taken back.
//
// It does not know what a resource means nor how it is enforced: its caller does,
// and is handed whole sets. It opens no connection of its own either: its caller
// gives it some, over which nobody else can speak. cmd/gabion-agent imports it.
package policysync

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
	"google.golang.org/grpc"
)

// Resource is one as people write it.
type Resource struct {
	Name     string `json:"name"` // KIND/NAMESPACE/NAME
	Version  string `json:"version"`
	Manifest string `json:"manifest"`
}

// Options wire a Client.
type Options struct {
	Host string // this one's name; the control plane goes by the certificate
	File string // where the last good set is kept
	// Connect makes a connection with the certificate of the moment, and Renewed
	// gives a channel that is closed when there is another. The client then changes
	// over, the new stream before the old one ends.
	Connect func() (*grpc.ClientConn, error)
	Renewed func() <-chan struct{}
	// Apply puts a set in force, all of it or nothing, and returns when it is. Its
	// error is told to the control plane, and the set before stays.
	Apply func(context.Context, []Resource) error
	// Confirm is how long a new set may be in force before the control plane is
	// reached on a new connection; then the set before returns. Zero: it stays.
	Confirm time.Duration
	// Left says that an earlier run has left something in force. Where no set of it is
	// kept, nobody knows what that is: the first set is then not taken back, for that
	// could open what was closed.
	Left bool
	Log  *slog.Logger
}

// Client is for one Run.
type Client struct {
	o    Options
	lock sync.Mutex
	have set // in force; while another is tried, the one before

	// For Restore, and then for one session at a time:
	known bool       // have is what was in force when the first set came
	kept  bool       // have is on disk
	taken *takenBack // until another set is confirmed; nil: none
}

// New returns a client that knows nothing yet.
func New(o Options) *Client { return &Client{o: o, have: set{}} }

// Restore puts the set of an earlier run in force and says whether there was one.
func (c *Client) Restore(ctx context.Context) (bool, error) {
	last, taken, err := readFile(c.o.File)
	if err != nil {
		return false, err
	}
	if last == nil {
		c.known = !c.o.Left
		return false, nil
	}
	c.taken = taken
	if err := c.o.Apply(ctx, last.list()); err != nil {
		return false, err
	}
	c.keep(last)
	c.known, c.kept = true, true
	return true, nil
}

func (c *Client) current() set {
	c.lock.Lock()
	defer c.lock.Unlock()
	return c.have
}

func (c *Client) keep(s set) {
	c.lock.Lock()
	defer c.lock.Unlock()
	c.have = s
}

// save writes a set for the next run, with what was taken back.
func (c *Client) save(s set) {
	err := s.write(c.o.File, c.taken)
	if c.kept = err == nil; err != nil {
		// Not the control plane's fault: no refusal.
		c.o.Log.Error("what is in force is not kept for a restart", "error", err)
	}
}

// Run follows the control plane until the context ends. While it is away, Run tries
// again with growing pauses, and what is in force stays.
func (c *Client) Run(ctx context.Context) error {
	pause := backoff.NewExponentialBackOff()
	pause.InitialInterval, pause.MaxInterval = 200*time.Millisecond, 10*time.Second
	var now *session // the one that follows; nil: none
	defer func() { now.end() }()
	said := false // once per outage
	for ctx.Err() == nil {
		renewed := c.o.Renewed()
		next, err := c.open(ctx)
		if err != nil {
			if ctx.Err() == nil && !said {
				c.o.Log.Warn("the control plane is away; what is in force stays", "error", err)
				said = true
			}
			now = wait(ctx, pause.NextBackOff(), now)
			continue
		}
		if now == nil {
			c.o.Log.Info("following the control plane", "server", strings.TrimPrefix(next.conn.Target(), "passthrough:///"))
		}
		now.end() // it may be taking a set in: that one counts
		now, said = next, false
		now.start(ctx, c)
		select {
		case <-ctx.Done():
		case <-renewed:
			pause.Reset()
		case <-now.done:
			if now.answered {
				pause.Reset()
			}
			if ctx.Err() == nil {
				c.o.Log.Warn("the control plane is away; what is in force stays", "error", now.err)
				said = true
			}
			now = wait(ctx, pause.NextBackOff(), now)
		}
	}
	return nil
}

// wait waits between attempts, and forgets a session that ended meanwhile.
func wait(ctx context.Context, d time.Duration, s *session) *session {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
	if s != nil {
		select {
		case <-s.done:
			s.end()
			return nil
		default:
		}
	}
	return s
}

// errEnded: the control plane closed a stream in peace.
var errEnded = errors.New("it ended the stream")
