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
