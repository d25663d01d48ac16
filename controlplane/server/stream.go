package server

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/gabion-io/gabion/controlplane/store"
)

// Server-sent events: a comment line each streamBeat keeps the connection, and a
// reader that takes longer than streamWrite for one message is cut off.
const (
	streamBeat  = 15 * time.Second
	streamWrite = 10 * time.Second
)

// stream writes server-sent events to one client.
type stream struct {
	w     http.ResponseWriter
	rc    *http.ResponseController
	still func() error // not nil once the client may no longer read
	beats *time.Ticker // when to beat
}

// streaming answers a request with a stream that run fills until it returns, the
// client goes away or its token is revoked.
func (a *api) streaming(run func(ctx context.Context, s *stream) error) *huma.StreamResponse {
	return &huma.StreamResponse{Body: func(hc huma.Context) {
		_, w := humago.Unwrap(hc)
		ctx := hc.Context()
		s := &stream{w: w, rc: http.NewResponseController(w), still: func() error { return stillAdmitted(ctx) }, beats: time.NewTicker(a.Beat)}
		defer s.beats.Stop()
		w.Header().Set("Content-Type", "text/event-stream")
		w.WriteHeader(http.StatusOK)
		if s.beat() == nil {
			_ = run(ctx, s) // an error is the client's: there is nobody to tell
		}
	}}
}

func (s *stream) send(id, name string, data any) error {
	raw, err := json.Marshal(data)
	if err != nil {
		return err
	}
	if id != "" {
		id = "id: " + id + "\n"
	}
	return s.write(fmt.Sprintf("%sevent: %s\ndata: %s\n\n", id, name, raw))
}

func (s *stream) beat() error {
	if err := s.still(); err != nil {
		return err
	}
	return s.write(":\n\n")
}

func (s *stream) write(text string) error {
	if err := s.rc.SetWriteDeadline(time.Now().Add(streamWrite)); err != nil {
		return err
	}
	if _, err := s.w.Write([]byte(text)); err != nil {
		return err
	}
	return s.rc.Flush()
}

// FollowFrom is where a client goes on; Last-Event-ID is what browsers send.
type FollowFrom struct {
	LastEventID string `header:"Last-Event-ID" maxLength:"64" doc:"go on after this one; absent: from now on"`
	Cursor      string `query:"cursor" maxLength:"64" doc:"the same as a parameter"`
}

// arrivals are what the store keeps in the order in which it came.
type arrivals[T any] struct {
	name    string                 // of one, in a stream: "event"
	changed func() <-chan struct{} // closed when more came
	since   func(ctx context.Context, cursor int64, limit int) (list []T, next int64, err error)
	cursor  func(*T) int64
}

// follow streams those that are wanted, from where the client stopped or from now.
func (r arrivals[T]) follow(ctx context.Context, a *api, from FollowFrom, wanted func(*T) bool) (*huma.StreamResponse, error) {
	cursor, err := r.start(ctx, from)
	if err != nil {
		return nil, err
	}
	return a.streaming(func(ctx context.Context, s *stream) error { return r.pump(ctx, s, cursor, wanted) }), nil
}

// start is the first cursor that was given, else that of now.
func (r arrivals[T]) start(ctx context.Context, from FollowFrom) (int64, error) {
	for _, c := range []string{from.LastEventID, from.Cursor} {
		if c != "" {
			return decodeCursor(c)
		}
	}
	_, now, err := r.since(ctx, -1, 0)
	return now, err
}

// pump sends what arrived after the cursor, then waits for more.
func (r arrivals[T]) pump(ctx context.Context, s *stream, cursor int64, wanted func(*T) bool) error {
	if err := s.send(encodeCursor(cursor), "open", struct{}{}); err != nil { // a place to go on from
		return err
	}
	const page = 500
	for {
		changed := r.changed() // before reading, or an arrival in between is missed
		list, next, err := r.since(ctx, cursor, page)
		if err != nil {
			return err
		}
		for i := range list {
			if wanted(&list[i]) {
				if err := s.send(encodeCursor(r.cursor(&list[i])), r.name, list[i]); err != nil {
					return err
				}
			}
		}
		cursor = next
		if len(list) == page {
			continue
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		case <-s.beats.C:
			if err := s.beat(); err != nil {
				return err
			}
		}
	}
}

type followInput struct {
	EventFilter
	FollowFrom
}

func (a *api) followEvents(ctx context.Context, in *followInput) (*huma.StreamResponse, error) {
	q := in.query()
	return arrivals[store.StoredEvent]{
		name: "event", changed: a.Store.EventsChanged, since: a.Store.EventsSince,
		cursor: func(e *store.StoredEvent) int64 { return e.Cursor },
	}.follow(ctx, a, in.FollowFrom, func(e *store.StoredEvent) bool { return selects(q, *e) })
}

// selects says whether a query would list an event.
func selects(q store.EventQuery, e store.StoredEvent) bool {
	same := func(want, have string) bool { return want == "" || want == have }
	return (q.Since.IsZero() || !e.Time.Before(q.Since)) &&
		(q.Until.IsZero() || e.Time.Before(q.Until)) &&
		same(q.Route, e.Route) && same(string(q.Decision), string(e.Decision)) && same(q.Policy, e.Policy) &&
		same(q.Client, e.Client) && same(q.Host, e.Host) && same(q.Path, e.Path) && same(q.Method, e.Method) &&
		(q.Rule == 0 || hasRule(e, q.Rule)) && (!q.API || e.API != nil)
}

func hasRule(e store.StoredEvent, rule int) bool {
	for _, m := range e.Matches {
		if m.Rule == rule {
			return true
		}
	}
	return false
}
