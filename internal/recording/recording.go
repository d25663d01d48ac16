// Package recording keeps whole HTTP exchanges, sealed. The filter seals
// batches of them to a public key from its configuration (Sealer) and appends
// them to a local spool; the control plane moves them into append-only segment
// files (Archive) and only it can open them (Opener), with the private key.
//
// It does not decide which exchanges are kept and does not judge them. The
// filter chain, ingest, proposal and cmd import it.
package recording

import (
	"time"

	"github.com/gabion-io/gabion/filters"
)

// Exchange is one request with its response, whole: the only place where
// gabion keeps raw values, and only sealed.
type Exchange struct {
	ID        string // ULID; equals Event.ID when there is one
	Time      time.Time
	Recording string // the Recording resource: "default/all"
	Listener  string
	Key       string // the binding's key
	Route     string
	RouteRule string
	PolicyID  string // content hash of the policy in force

	Request              filters.RequestHead
	RequestBody          []byte // at most Record.BodyLimit bytes
	RequestBodyBytes     int64  // received in all
	RequestBodyTruncated bool   // RequestBody is less than was received

	Response              filters.ResponseHead // Status 0: none was seen
	ResponseBody          []byte
	ResponseBodyBytes     int64
	ResponseBodyTruncated bool

	Decision filters.Decision // live
	Event    *filters.Event   // live finding; nil: none
}

// Appender takes sealed batches; a *spool.Writer is one.
type Appender interface{ Append(rec []byte) bool }

// SealerOptions bound a Sealer; zero means the default.
type SealerOptions struct {
	BatchExchanges int           // default 64
	BatchBytes     int64         // default 4 MiB of bodies and headers
	BatchAge       time.Duration // default 200 ms
	QueueExchanges int           // default 1024
	QueueBytes     int64         // default 32 MiB
}

// Sealer batches, compresses and seals exchanges and appends them to a spool,
// in a goroutine of its own.
type Sealer struct{}

// NewSealer starts a sealer to publicKey (X25519, 32 bytes).
func NewSealer(publicKey []byte, to Appender, o SealerOptions) (*Sealer, error) { panic("todo") }

// Add queues an exchange and returns at once; it keeps x and everything it
// points to, so the caller must not change them. False: dropped and counted.
func (s *Sealer) Add(x *Exchange) bool { panic("todo") }

// Dropped counts exchanges lost so far: queue full or spool full.
func (s *Sealer) Dropped() uint64 { panic("todo") }

// Close seals what is queued and ends the sealer. It does not close the spool.
func (s *Sealer) Close() { panic("todo") }
