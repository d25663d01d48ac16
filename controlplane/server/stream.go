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
	w  http.ResponseWriter
	rc *http.ResponseController
}

// streaming answers a request with a stream that run fills until it returns or
// the client goes away.
func streaming(run func(ctx context.Context, s *stream) error) *huma.StreamResponse {
	return &huma.StreamResponse{Body: func(hc huma.Context) {
		_, w := humago.Unwrap(hc)
		s := &stream{w: w, rc: http.NewResponseController(w)}
		w.Header().Set("Content-Type", "text/event-stream")
		w.WriteHeader(http.StatusOK)
		if s.beat() == nil {
			_ = run(hc.Context(), s) // only the client's going away ends it with an error
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

func (s *stream) beat() error { return s.write(":\n\n") }

func (s *stream) write(text string) error {
	if err := s.rc.SetWriteDeadline(time.Now().Add(streamWrite)); err != nil {
		return err
	}
	if _, err := s.w.Write([]byte(text)); err != nil {
		return err
	}
	return s.rc.Flush()
}

type followInput struct {
	EventFilter
	LastEventID string `header:"Last-Event-ID" maxLength:"64" doc:"go on after this one; absent: from now on"`
	Cursor      string `query:"cursor" maxLength:"64" doc:"the same as a parameter"`
}

func (a *api) followEvents(ctx context.Context, in *followInput) (*huma.StreamResponse, error) {
	cursor := int64(-1)
	for _, c := range []string{in.LastEventID, in.Cursor} {
		if c == "" {
			continue
		}
		n, err := decodeCursor(c)
		if err != nil {
			return nil, err
		}
		cursor = n
		break
	}
	if cursor < 0 {
		_, now, err := a.Store.EventsSince(ctx, -1, 0)
		if err != nil {
			return nil, err
		}
		cursor = now
	}
	q := in.query()
	return streaming(func(ctx context.Context, s *stream) error { return a.pump(ctx, s, cursor, q) }), nil
}

// pump sends what arrived after the cursor, then waits for more.
func (a *api) pump(ctx context.Context, s *stream, cursor int64, q store.EventQuery) error {
	beat := time.NewTicker(streamBeat)
	defer beat.Stop()
	if err := s.send(encodeCursor(cursor), "open", struct{}{}); err != nil { // a place to go on from
		return err
	}
	for {
		changed := a.Store.EventsChanged() // before reading, or an arrival in between is missed
		events, next, err := a.Store.EventsSince(ctx, cursor, 500)
		if err != nil {
			return err
		}
		for _, e := range events {
			if selects(q, e) {
				if err := s.send(encodeCursor(e.Cursor), "event", e); err != nil {
					return err
				}
			}
		}
		cursor = next
		if len(events) == 500 {
			continue
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		case <-beat.C:
			if err := s.beat(); err != nil {
				return err
			}
		}
	}
}

// selects says whether a query would list an event.
func selects(q store.EventQuery, e store.StoredEvent) bool {
	same := func(want, have string) bool { return want == "" || want == have }
	return (q.Since.IsZero() || !e.Time.Before(q.Since)) &&
		(q.Until.IsZero() || e.Time.Before(q.Until)) &&
		same(q.Route, e.Route) && same(string(q.Decision), string(e.Decision)) && same(q.Policy, e.Policy) &&
		same(q.Client, e.Client) && same(q.Host, e.Host) && same(q.Path, e.Path) && same(q.Method, e.Method) &&
		(q.Rule == 0 || hasRule(e, q.Rule))
}

func hasRule(e store.StoredEvent, rule int) bool {
	for _, m := range e.Matches {
		if m.Rule == rule {
			return true
		}
	}
	return false
}
