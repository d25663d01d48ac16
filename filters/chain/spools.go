package chain

import (
	"fmt"
	"time"

	"github.com/gabion-io/gabion/filters"
	"github.com/gabion-io/gabion/internal/recording"
	"github.com/gabion-io/gabion/internal/spool"
)

// Spools opens the local files a table names.
type Spools interface {
	Events(filters.Spool) (EventSink, error)
	Recordings(filters.Record) (RecordSink, error)
}

// EventSink takes security events for the control plane to drain. Append never
// blocks; false means dropped and counted.
type EventSink interface {
	Append(record []byte) bool
	Close() error
}

// RecordSink takes whole exchanges. Append never blocks; false means dropped
// and counted. It may keep the Recorded and its slices.
type RecordSink interface {
	Append(*Recorded) bool
	Close() error
}

// Recorded is one exchange kept whole.
type Recorded struct {
	ID                string // the event id, also given to exchanges without event
	Time              time.Time
	Recording         string // Record.Name
	Listener, Key     string
	Route, RouteRule  string
	PolicyID          string
	Request           filters.RequestHead
	RequestBody       []byte
	RequestBytes      int64 // of the body, received in all
	RequestTruncated  bool  // more body was sent than is kept
	Response          filters.ResponseHead
	ResponseBody      []byte
	ResponseBytes     int64
	ResponseTruncated bool
	Decision          filters.Decision
	Event             *filters.Event // nil: no finding
}

// diskSpools are the real ones.
type diskSpools struct{}

func (diskSpools) Events(s filters.Spool) (EventSink, error) {
	w, err := spool.Open(s.Dir, s.MaxBytes)
	if err != nil {
		return nil, fmt.Errorf("open event spool %q: %w", s.Dir, err)
	}
	return w, nil
}

func (diskSpools) Recordings(r filters.Record) (RecordSink, error) {
	w, err := spool.OpenWith(r.Dir, spool.Options{MaxBytes: r.MaxBytes, Weight: recording.Count})
	if err != nil {
		return nil, fmt.Errorf("open recording spool %q: %w", r.Dir, err)
	}
	s, err := recording.NewSealer(r.PublicKey, w, recording.SealerOptions{})
	if err != nil {
		_ = w.Close()
		return nil, fmt.Errorf("seal recording %q: %w", r.Name, err)
	}
	return &sealed{s, w}, nil
}

type sealed struct {
	sealer *recording.Sealer
	spool  *spool.Writer
}

func (s *sealed) Append(r *Recorded) bool {
	return s.sealer.Add(&recording.Exchange{
		ID: r.ID, Time: r.Time, Recording: r.Recording, Listener: r.Listener, Key: r.Key,
		Route: r.Route, RouteRule: r.RouteRule, PolicyID: r.PolicyID,
		Request: r.Request, RequestBody: r.RequestBody, RequestBodyBytes: r.RequestBytes, RequestBodyTruncated: r.RequestTruncated,
		Response: r.Response, ResponseBody: r.ResponseBody, ResponseBodyBytes: r.ResponseBytes, ResponseBodyTruncated: r.ResponseTruncated,
		Decision: r.Decision, Event: r.Event,
	})
}

func (s *sealed) Close() error {
	s.sealer.Close()
	return s.spool.Close()
}
