package server

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/gabion-io/gabion/controlplane/store"
	"github.com/gabion-io/gabion/filters"
	"github.com/gabion-io/gabion/internal/exchange"
)

// EventList is a part of the security events, newest first.
type EventList struct {
	Items []store.StoredEvent `json:"items"`
	Next  string              `json:"next,omitempty" doc:"give it as cursor to read on; absent at the end"`
	Now   string              `json:"now" doc:"give it as cursor to the stream to follow from this answer on"`
}

// ExchangeList is a part of the exchanges, newest first.
type ExchangeList struct {
	Items []exchange.Exchange `json:"items"`
}

func (a *api) eventOperations() {
	route(a, operation{id: "list-events", method: http.MethodGet, path: "/events", tag: "events", role: store.RoleViewer,
		summary: "List security events, newest first"}, a.listEvents)
	route(a, operation{id: "follow-events", method: http.MethodGet, path: "/events/stream", tag: "events", role: store.RoleViewer,
		summary: "Follow security events as server-sent events"}, a.followEvents)
	route(a, operation{id: "get-event", method: http.MethodGet, path: "/events/{id}", tag: "events", role: store.RoleViewer,
		summary: "Get one event by its id or an unambiguous prefix of it"}, a.getEvent)
	route(a, operation{id: "list-exchanges", method: http.MethodGet, path: "/exchanges", tag: "events", role: store.RoleViewer,
		summary: "List exchanges, newest first"}, a.listExchanges)
}

// EventFilter narrows events, in lists and streams alike.
type EventFilter struct {
	Since    time.Time        `query:"since" doc:"inclusive"`
	Until    time.Time        `query:"until" doc:"exclusive"`
	Route    string           `query:"route" maxLength:"512" doc:"namespace/name"`
	Rule     int              `query:"rule" minimum:"0" doc:"one of the rules that matched"`
	Decision filters.Decision `query:"decision" enum:"allow,detect,deny,ended"`
	Policy   string           `query:"policy" maxLength:"600" doc:"WAFPolicy namespace/name"`
	Client   string           `query:"client" maxLength:"128"`
	Host     string           `query:"host" maxLength:"253"`
	Path     string           `query:"path" maxLength:"8192"`
	Method   string           `query:"method" maxLength:"32"`
	API      bool             `query:"api" doc:"only those of which API protection found something"`
}

func (f EventFilter) query() store.EventQuery {
	return store.EventQuery{
		Since: f.Since, Until: f.Until, Route: f.Route, Rule: f.Rule, Decision: f.Decision, Policy: f.Policy,
		Client: f.Client, Host: f.Host, Path: f.Path, Method: f.Method, API: f.API,
	}
}

type eventsInput struct {
	EventFilter
	Cursor string `query:"cursor" maxLength:"64" doc:"next of the page before"`
	Limit  int    `query:"limit" minimum:"1" maximum:"1000" default:"100"`
}

func (a *api) listEvents(ctx context.Context, in *eventsInput) (*bodyOf[EventList], error) {
	q := in.query()
	q.Limit = in.Limit
	if in.Cursor != "" {
		var err error
		if q.Before, err = decodePlace(in.Cursor); err != nil {
			return nil, err
		}
	}
	_, now, err := a.Store.EventsSince(ctx, -1, 0) // before reading: nothing falls between list and stream
	if err != nil {
		return nil, err
	}
	events, err := a.Store.Events(ctx, q)
	list := EventList{Items: orEmpty(events), Now: encodeCursor(now)}
	if len(events) == in.Limit {
		list.Next = encodePlace(events[len(events)-1].Place())
	}
	return &bodyOf[EventList]{list}, err
}

// encodePlace makes a place in the order of time opaque.
func encodePlace(p store.EventPlace) string {
	return base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, "p%d.%d", p.Time.UnixNano(), p.Cursor))
}

func decodePlace(s string) (store.EventPlace, error) {
	raw, err := base64.RawURLEncoding.DecodeString(s)
	at, cursor, ok := strings.Cut(strings.TrimPrefix(string(raw), "p"), ".")
	if err == nil && ok && raw[0] == 'p' {
		ns, errTime := strconv.ParseInt(at, 10, 64)
		n, errNumber := strconv.ParseInt(cursor, 10, 64)
		if errTime == nil && errNumber == nil && n > 0 {
			return store.EventPlace{Time: time.Unix(0, ns), Cursor: n}, nil
		}
	}
	return store.EventPlace{}, errCursor()
}

// errCursor refuses a cursor that is none of ours.
func errCursor() error {
	return huma.Error422UnprocessableEntity("the cursor is not one that a page ended with", &huma.ErrorDetail{Location: "query.cursor", Message: "unknown cursor"})
}

// encodeCursor makes a place in the order of arrival opaque, so that no client
// computes with it.
func encodeCursor(n int64) string {
	return base64.RawURLEncoding.EncodeToString([]byte("e" + strconv.FormatInt(n, 10)))
}

func decodeCursor(s string) (int64, error) {
	raw, err := base64.RawURLEncoding.DecodeString(s)
	if err == nil && len(raw) > 1 && raw[0] == 'e' {
		if n, err := strconv.ParseInt(string(raw[1:]), 10, 64); err == nil && n >= 0 {
			return n, nil
		}
	}
	return 0, errCursor()
}

type eventInput struct {
	ID string `path:"id" minLength:"4" maxLength:"64" pattern:"^[0-9A-Za-z_-]+$"`
}

func (a *api) getEvent(ctx context.Context, in *eventInput) (*bodyOf[store.StoredEvent], error) {
	e, err := a.findEvent(ctx, in.ID)
	return &bodyOf[store.StoredEvent]{e}, err
}

// findEvent accepts an id or an unambiguous prefix of one, in capitals or not: ids
// are ULIDs, or the hexadecimal ones of exchanges.
func (a *api) findEvent(ctx context.Context, prefix string) (e store.StoredEvent, err error) {
	spellings := []string{prefix, strings.ToUpper(prefix), strings.ToLower(prefix)}
	for _, id := range spellings {
		if e, err = a.Store.Event(ctx, id); !errors.Is(err, store.ErrNotFound) {
			return e, err
		}
	}
	const enough = 100
	found, err := a.Store.EventsBeginning(ctx, enough, spellings...)
	if err != nil {
		return e, err
	}
	switch n := len(found); n {
	case 0:
		return e, fmt.Errorf("event %s: %w", prefix, ErrNotFound)
	case 1:
		return found[0], nil
	case enough:
		return e, huma.Error409Conflict(fmt.Sprintf("many events begin with %s; give more of the id", prefix))
	default:
		return e, huma.Error409Conflict(fmt.Sprintf("%d events begin with %s, %s and %s among them; give more of the id",
			n, prefix, found[0].ID, found[n-1].ID))
	}
}

type exchangesInput struct {
	Since  time.Time `query:"since"`
	Until  time.Time `query:"until"`
	Route  string    `query:"route" maxLength:"512"`
	Method string    `query:"method" maxLength:"32"`
	Path   string    `query:"path" maxLength:"8192"`
	Host   string    `query:"host" maxLength:"253"`
	Client string    `query:"client" maxLength:"128"`
	Limit  int       `query:"limit" minimum:"1" maximum:"1000" default:"100"`
}

func (a *api) listExchanges(ctx context.Context, in *exchangesInput) (*bodyOf[ExchangeList], error) {
	xs, err := a.Store.Exchanges(ctx, store.ExchangeQuery{
		Since: in.Since, Until: in.Until, Route: in.Route, Method: in.Method, Path: in.Path, Host: in.Host, Client: in.Client, Limit: in.Limit,
	})
	return &bodyOf[ExchangeList]{ExchangeList{orEmpty(xs)}}, err
}
