package store

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/uptrace/bun"

	"github.com/gabion-io/gabion/filters"
)

// StoredEvent is an event with its place in the order of arrival.
type StoredEvent struct {
	Cursor int64 `json:"cursor"`
	filters.Event
}

// EventPlace is an event's place among all, by time: they do not arrive in that
// order.
type EventPlace struct {
	Time   time.Time
	Cursor int64
}

// Place is where the event stands.
func (e StoredEvent) Place() EventPlace { return EventPlace{e.Time, e.Cursor} }

// EventQuery selects events; zero fields select all. Newest first, unless
// After is set: then in order of arrival, for following.
type EventQuery struct {
	Since, Until time.Time // Since inclusive, Until exclusive, by Event.Time
	Route        string    // "default/shop"
	Rule         int       // any of its matches
	Decision     filters.Decision
	Policy       string // "WAFPolicy default/shop"
	Client       string // keyed hash
	Host         string
	Path         string // masked, as stored
	Method       string
	API          bool       // only those of which API protection found something
	After        int64      // cursor
	Before       EventPlace // for paging back: of the last of the page before
	Limit        int        // default 100, at most 10,000
}

type eventRow struct {
	bun.BaseModel `bun:"table:events"`
	Cursor        int64 `bun:",pk,autoincrement"`
	ID            string
	Time          int64
	Route         string
	Policy        string
	Decision      filters.Decision
	Client        string
	Method        string
	Host          string
	Path          string
	API           bool `bun:"api"`
	Body          string
	Size          int64
}

type eventRule struct {
	bun.BaseModel `bun:"table:event_rules"`
	Rule          int    `bun:",pk"`
	Event         string `bun:",pk"`
}

func newEventRow(e filters.Event) (eventRow, error) {
	body, err := json.Marshal(e)
	if err != nil {
		return eventRow{}, err
	}
	row := eventRow{ID: text(e.ID), Time: nanos(e.Time), Route: text(e.Route), Policy: text(e.Policy),
		Decision: filters.Decision(text(string(e.Decision))), Client: text(e.Client), Method: text(e.Method),
		Host: text(e.Host), Path: text(e.Path), API: e.API != nil, Body: text(string(body))}
	row.Size = int64(len(row.Body)+len(row.Route)+len(row.Policy)+len(row.Host)+len(row.Path)) + rowBytes
	return row, nil
}

func (r eventRow) event() (StoredEvent, error) {
	e := StoredEvent{Cursor: r.Cursor}
	if err := json.Unmarshal([]byte(r.Body), &e.Event); err != nil {
		return e, fmt.Errorf("%w: event %s: %v", ErrCorrupt, r.ID, err)
	}
	return e, nil
}

// AddEvents stores those not stored yet (by ID) and says how many were new. An
// event that comes again with more in it (a long stream's later report, the
// access log after the spool) completes the earlier one in place.
func (s *Store) AddEvents(ctx context.Context, events []filters.Event) (added int, err error) {
	if len(events) == 0 {
		return 0, nil
	}
	if s.disk.full() {
		s.refused.Add(int64(len(events)))
		return 0, s.stopped("events")
	}
	err = s.telemetry.update(ctx, func(tx bun.Tx) error {
		added = 0
		for _, part := range chunks(events, func(e filters.Event) int64 { return int64(1024 + 512*len(e.Matches)) }) {
			n, err := addEvents(ctx, tx, part)
			if err != nil {
				return err
			}
			added += n
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("write events: %w", err)
	}
	if added > 0 {
		s.events.notify()
	}
	return added, nil
}

func (s *Store) stopped(what string) error {
	return fmt.Errorf("write %s: %w: %s is %.0f %% full and telemetry stops at %.0f %% so that resources can still be written; free space",
		what, ErrDiskFull, s.where, 100*s.disk.usedFraction(), 100*telemetryStops)
}

func addEvents(ctx context.Context, tx bun.Tx, events []filters.Event) (added int, err error) {
	known, err := eventsByID(ctx, tx, events)
	if err != nil {
		return 0, err
	}
	var order []string
	fresh := map[string]filters.Event{}
	for _, e := range events {
		id := text(e.ID)
		if old, ok := known[id]; ok {
			if err := completeEvent(ctx, tx, old, e); err != nil {
				return 0, err
			}
			continue
		}
		old, twice := fresh[id]
		if !twice {
			order = append(order, id)
			fresh[id] = e
			continue
		}
		fresh[id] = mergeEvents(old, e)
	}
	return len(order), insertEvents(ctx, tx, order, fresh)
}

func eventsByID(ctx context.Context, db bun.IDB, events []filters.Event) (map[string]eventRow, error) {
	ids := make([]string, len(events))
	for i, e := range events {
		ids[i] = text(e.ID)
	}
	var rows []eventRow
	if err := db.NewSelect().Model(&rows).Where("id IN (?)", bun.List(ids)).Scan(ctx); err != nil {
		return nil, err
	}
	known := make(map[string]eventRow, len(rows))
	for _, r := range rows {
		known[r.ID] = r
	}
	return known, nil
}

func insertEvents(ctx context.Context, tx bun.Tx, order []string, events map[string]filters.Event) error {
	if len(order) == 0 {
		return nil
	}
	rows := make([]eventRow, len(order))
	for i, id := range order {
		row, err := newEventRow(events[id])
		if err != nil {
			return err
		}
		rows[i] = row
	}
	if _, err := tx.NewInsert().Model(&rows).Returning("NULL").Exec(ctx); err != nil {
		return err
	}
	var rules []eventRule
	for _, id := range order {
		rules = append(rules, rulesOf(events[id])...)
	}
	return insertRules(ctx, tx, rules)
}

func rulesOf(e filters.Event) (rules []eventRule) {
	seen := map[int]bool{}
	for _, m := range e.Matches {
		if !seen[m.Rule] {
			seen[m.Rule] = true
			rules = append(rules, eventRule{Rule: m.Rule, Event: text(e.ID)})
		}
	}
	return rules
}

func insertRules(ctx context.Context, tx bun.Tx, rules []eventRule) error {
	if len(rules) == 0 {
		return nil
	}
	_, err := tx.NewInsert().Model(&rules).On("CONFLICT DO NOTHING").Exec(ctx)
	return err
}

// completeEvent writes the union of what is stored and what came, if that is more.
func completeEvent(ctx context.Context, tx bun.Tx, old eventRow, e filters.Event) error {
	was, err := old.event()
	if err != nil {
		return err
	}
	row, err := newEventRow(mergeEvents(was.Event, e))
	if err != nil || row.Body == old.Body {
		return err
	}
	row.Cursor = old.Cursor
	if _, err := tx.NewUpdate().Model(&row).ExcludeColumn("cursor").Where("cursor = ?", row.Cursor).Exec(ctx); err != nil {
		return err
	}
	return insertRules(ctx, tx, rulesOf(e))
}

// severity orders decisions; the stronger one is the later in an exchange.
func severity(d filters.Decision) int {
	switch d {
	case filters.Denied:
		return 2
	case filters.Detect:
		return 1
	}
	return 0
}

// mergeEvents joins two reports of one event: the one that knows more leads, and
// what it lacks comes from the other.
func mergeEvents(a, b filters.Event) filters.Event {
	if a.Process != nil || b.Process != nil {
		return mergeEnds(a, b)
	}
	weight := func(e filters.Event) int {
		return severity(e.Decision)*1000 + len(e.Matches) + e.MoreMatches + apiWeight(e.API)
	}
	if weight(b) > weight(a) {
		a, b = b, a
	}
	for _, f := range []struct{ to, from *string }{
		{&a.Proxy, &b.Proxy}, {&a.Listener, &b.Listener}, {&a.Key, &b.Key}, {&a.Route, &b.Route},
		{&a.RouteRule, &b.RouteRule}, {&a.Policy, &b.Policy}, {&a.PolicyID, &b.PolicyID}, {&a.Reason, &b.Reason},
		{&a.Client, &b.Client}, {&a.ClientNet, &b.ClientNet}, {&a.Method, &b.Method}, {&a.Host, &b.Host},
		{&a.Path, &b.Path}, {&a.RequestID, &b.RequestID}, {&a.Partial, &b.Partial},
	} {
		*f.to = cmp.Or(*f.to, *f.from)
	}
	if a.API == nil {
		a.API = b.API
	}
	a.Status, a.WouldBe = cmp.Or(a.Status, b.Status), cmp.Or(a.WouldBe, b.WouldBe)
	a.Score, a.OutScore = max(a.Score, b.Score), max(a.OutScore, b.OutScore)
	a.Micros = max(a.Micros, b.Micros)
	return a
}

// mergeEnds joins two reports of a process's end: the later one knows that it is
// back. What came first stays what it is, the event of a process or of a request.
func mergeEnds(a, b filters.Event) filters.Event {
	if a.Process != nil && b.Process != nil && a.Process.Back.IsZero() && !b.Process.Back.IsZero() {
		return b
	}
	return a
}

func apiWeight(f *filters.APIFinding) int {
	if f == nil {
		return 0
	}
	return len(f.Violations) + f.More
}

// Events answers a query.
func (s *Store) Events(ctx context.Context, q EventQuery) ([]StoredEvent, error) {
	var rows []eventRow
	sel := s.telemetry.read.NewSelect().Model(&rows).Limit(bounded(q.Limit))
	sel = between(sel, q.Since, q.Until)
	for _, f := range []struct{ column, want string }{
		{"route", q.Route}, {"decision", string(q.Decision)}, {"policy", q.Policy}, {"client", q.Client},
		{"host", q.Host}, {"path", q.Path}, {"method", q.Method},
	} {
		sel = equal(sel, f.column, f.want)
	}
	if q.Rule != 0 {
		sel = sel.Where("id IN (SELECT event FROM event_rules WHERE rule = ?)", q.Rule)
	}
	if q.API {
		sel = sel.Where("api")
	}
	if b := q.Before; b != (EventPlace{}) {
		sel = sel.Where("time <= ? AND (time < ? OR cursor < ?)", nanos(b.Time), nanos(b.Time), b.Cursor)
	}
	if q.After > 0 {
		sel = sel.Where("cursor > ?", q.After).Order("cursor")
	} else {
		sel = sel.Order("time DESC", "cursor DESC")
	}
	return s.scanEvents(ctx, sel, &rows)
}

func (s *Store) scanEvents(ctx context.Context, sel *bun.SelectQuery, rows *[]eventRow) ([]StoredEvent, error) {
	if err := sel.Scan(ctx); err != nil {
		return nil, fmt.Errorf("read events: %w", s.telemetry.explain(err))
	}
	out := make([]StoredEvent, len(*rows))
	for i, r := range *rows {
		e, err := r.event()
		if err != nil {
			return nil, fmt.Errorf("read events: %w", err)
		}
		out[i] = e
	}
	return out, nil
}

// Event returns one by ID or ErrNotFound.
func (s *Store) Event(ctx context.Context, id string) (StoredEvent, error) {
	var rows []eventRow
	found, err := s.scanEvents(ctx, s.telemetry.read.NewSelect().Model(&rows).Where("id = ?", text(id)), &rows)
	if err == nil && len(found) == 0 {
		err = fmt.Errorf("read event %q: %w", id, ErrNotFound)
	}
	if err != nil {
		return StoredEvent{}, err
	}
	return found[0], nil
}

// EventsBeginning returns up to limit events whose ids begin with one of the
// prefixes, all of them equally long, in the order of their ids. It looks through
// the ids of all events, in their index.
func (s *Store) EventsBeginning(ctx context.Context, limit int, prefixes ...string) ([]StoredEvent, error) {
	for i := range prefixes {
		prefixes[i] = text(prefixes[i])
	}
	read := s.telemetry.read
	found := read.NewSelect().Table("events").Column("id").
		Where("substr(id, 1, ?) IN (?)", len(prefixes[0]), bun.List(prefixes)).Order("id").Limit(bounded(limit))
	var rows []eventRow
	return s.scanEvents(ctx, read.NewSelect().Model(&rows).Where("id IN (?)", found).Order("id"), &rows)
}

// EventsSince returns up to limit events that arrived after cursor and the
// cursor to go on with. Cursor -1: none, only the cursor of now.
func (s *Store) EventsSince(ctx context.Context, cursor int64, limit int) ([]StoredEvent, int64, error) {
	if cursor < 0 {
		err := s.telemetry.read.NewRaw("SELECT coalesce(max(cursor), 0) FROM events").Scan(ctx, &cursor)
		if err != nil {
			return nil, 0, fmt.Errorf("read events: %w", s.telemetry.explain(err))
		}
		return nil, cursor, nil
	}
	var rows []eventRow
	sel := s.telemetry.read.NewSelect().Model(&rows).Where("cursor > ?", cursor).Order("cursor").
		Limit(bounded(limit))
	out, err := s.scanEvents(ctx, sel, &rows)
	if err != nil {
		return nil, cursor, err
	}
	if len(out) > 0 {
		cursor = out[len(out)-1].Cursor
	}
	return out, cursor, nil
}

// EventsChanged is closed after the next event arrived; get it, then EventsSince,
// then wait.
func (s *Store) EventsChanged() <-chan struct{} { return s.events.wait() }
