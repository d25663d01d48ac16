// Package chain runs the filter's engines over one HTTP exchange: the transport
// shows it the parts of a request and a response in order, and it answers each
// with what to do. It owns everything that is the same for every transport:
// policy lookup, body limits, failure modes, the block reply, the event, the
// spool and the recording.
//
// It knows neither Envoy nor the language of the rules (filters/waf). The
// transports (filters/module, filters/extproc), the control plane's dry checks
// and `gabion waf check` import it; all of them judge by the same code.
//
// In detect nothing here changes a response: no part is held, none is denied,
// whatever happens inside. That is a test.
package chain

import (
	"encoding/binary"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/oklog/ulid/v2"
)

// Options are what a Runtime needs from the process it lives in. The zero value
// works.
type Options struct {
	Log   *slog.Logger     // nil: discarded
	Now   func() time.Time // nil: time.Now
	NewID func() string    // event ids; nil: ULIDs
	// Random in [0,1) decides which exchanges without finding are recorded; nil: math/rand.
	Random func() float64
	// Spools opens the sinks of a Table; nil: internal/spool and
	// internal/recording. Check and Judge never open any.
	Spools Spools
	// Trace is told what the rule engine logged of each exchange, raw values
	// included. For tests of rules; nil everywhere else.
	Trace func(Trace)
	// Workers is how many long judgements may run at a time; 0: GOMAXPROCS.
	Workers int
}

// Trace is what the engine's own log would say of one exchange.
type Trace struct {
	ID    string
	Rules []int    // every rule that matched and logs, also those that only total scores
	Lines []string // the engine's log lines
}

// newULID is an id of this moment. Those of one millisecond are in no order: that
// would take a lock and a generator of its own.
func newULID() string {
	var id ulid.ULID
	// A time after the year 10889 does not fit; what is left is random all the same.
	_ = id.SetTime(ulid.Now())
	binary.BigEndian.PutUint16(id[6:], uint16(rand.Uint32()))
	binary.BigEndian.PutUint64(id[8:], rand.Uint64())
	return id.String()
}
