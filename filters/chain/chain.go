// Package chain runs the filter's engines over one HTTP exchange: the transport
// shows it the parts of a request and a response in order, and it answers each
// with what to do. It owns everything that is the same for every transport:
// policy lookup, body limits, failure modes, the block reply, the event, the
// spool and the recording.
//
// It knows neither Envoy nor the language of the rules (filters/waf). The
// transports (filters/module, filters/extproc), the control plane's dry checks
// and `gabion waf check` import it; all of them judge by the same code.
package chain

import (
	"log/slog"
	"time"

	"github.com/gabion-io/gabion/filters"
	wafrules "github.com/gabion-io/gabion/waf-rules"
)

// Options are what a Runtime needs from the process it lives in. The zero value
// works.
type Options struct {
	Log   *slog.Logger     // nil: discarded
	Now   func() time.Time // nil: time.Now
	NewID func() string    // event ids; nil: ULIDs
	// Spools opens the sinks of a Table; nil: internal/spool and
	// internal/recording. Check and Judge never open any.
	Spools Spools
}

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
	Listener, Key     string
	Request           filters.RequestHead
	RequestBody       []byte
	RequestTruncated  bool // more body was sent than is kept
	Response          filters.ResponseHead
	ResponseBody      []byte
	ResponseTruncated bool
	Event             *filters.Event // nil: no finding
}

// Check compiles a policy with the filter's own code and reports everything an
// author should mend. A Problem that is Fatal means Load would refuse it.
func Check(p filters.Policy) []wafrules.Problem { panic("todo") }

// Message is one whole exchange, for judging outside a proxy. Response may be
// nil; a nil body is no body.
type Message struct {
	Request      *filters.RequestHead
	RequestBody  []byte
	Response     *filters.ResponseHead
	ResponseBody []byte
}

// Verdict is what `gabion waf check` prints for one request.
type Verdict struct {
	Decision filters.Decision `json:"decision"`
	Status   int              `json:"status"` // what the client would get; 200 when it passes
	Score    int              `json:"score"`
	Rules    []int            `json:"rules"` // distinct ids that caused the score, in order of evaluation
	Micros   int64            `json:"micros"`
	Event    *filters.Event   `json:"-"` // nil: no finding
}

// Judge is one policy compiled for use outside a proxy: rehearsals and checks
// go through exactly the path live requests take. Safe for concurrent use.
type Judge struct{ policy *policy }

// NewJudge compiles p. Nothing is spooled or recorded.
func NewJudge(p filters.Policy, o Options) (*Judge, error) { panic("todo") }

// Decide runs one exchange through the policy.
func (j *Judge) Decide(m Message) Verdict { panic("todo") }

// DecideRaw runs one HTTP/1 request, bytes as on the wire. What Envoy would
// refuse as malformed is deny with status 400.
func (j *Judge) DecideRaw(raw []byte) Verdict { panic("todo") }

// Close frees the compiled policy.
func (j *Judge) Close() {}
