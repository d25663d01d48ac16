package store

import (
	"context"
	"time"

	"github.com/gabion-io/gabion/filters"
)

// StoredEvent is an event with its place in the order of arrival.
type StoredEvent struct {
	Cursor int64 `json:"cursor"`
	filters.Event
}

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
	After        int64 // cursor
	Before       int64 // cursor, for paging back
	Limit        int   // default 100, at most 10,000
}

// AddEvents stores those not stored yet (by ID) and says how many were new. An
// event that comes again with more in it (a long stream's later report)
// replaces the earlier one.
func (s *Store) AddEvents(ctx context.Context, events []filters.Event) (added int, err error) {
	panic("todo")
}

func (s *Store) Events(ctx context.Context, q EventQuery) ([]StoredEvent, error) { panic("todo") }

// Event returns one by ID or ErrNotFound.
func (s *Store) Event(ctx context.Context, id string) (StoredEvent, error) { panic("todo") }

// EventsSince returns up to limit events that arrived after cursor and the
// cursor to go on with. Cursor -1: none, only the cursor of now.
func (s *Store) EventsSince(ctx context.Context, cursor int64, limit int) ([]StoredEvent, int64, error) {
	panic("todo")
}

// EventsChanged is closed after the next event arrived.
func (s *Store) EventsChanged() <-chan struct{} { panic("todo") }
