package filters

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
)

// Table is the filter's whole configuration for one listener. It travels as one
// ECDS resource; routes carry only a key into Bindings, so that changing a
// policy touches no route and drains no connection.
type Table struct {
	Listener string             `json:"listener"`           // "default/web/http": namespace/gateway/listener
	Bindings map[string]Binding `json:"bindings"`           // by the stable key that routes carry
	Policies map[string]Policy  `json:"policies"`           // by PolicyID: the content hash
	Unknown  FailureMode        `json:"unknown"`            // what a key that is not in Bindings means
	Spool    *Spool             `json:"spool,omitempty"`    // nil: no local spool of security events
	Record   *Record            `json:"record,omitempty"`   // nil: nothing is recorded
	Learn    *Learn             `json:"learn,omitempty"`    // nil: nothing is told for the inventory of operations
	MemLimit int64              `json:"memLimit,omitempty"` // GOMEMLIMIT in bytes of the process the filter lives in; 0: unchanged

	// Debug gives every inspected exchange an Event, also without a finding, that
	// names all rules that logged and quotes the engine's log. The quotes leak
	// what clients send. It is for tests of rules on a machine of one's own: no
	// resource can set it, and the control plane never does.
	Debug bool `json:"debug,omitempty"`
}

// Binding ties a route rule's stable key to the policy in force there.
type Binding struct {
	Policy string `json:"policy"`           // PolicyID; "" means no policy: allow everything
	Route  string `json:"route"`            // "default/shop": namespace/name of the HTTPRoute
	Rule   string `json:"rule,omitempty"`   // name or index of the route's rule
	Source string `json:"source,omitempty"` // the most specific resource that shaped the policy: "WAFPolicy default/shop"
	// APISource is the same for API protection: "APIPolicy default/shop".
	APISource string `json:"apiSource,omitempty"`
}

// Policy is one effective policy: everything merged, defaults filled in. Mode and
// all below it are the WAF's; API protection has its own.
type Policy struct {
	Mode         Mode           `json:"mode"`
	FailureMode  FailureMode    `json:"failureMode"`
	RequestBody  BodyInspection `json:"requestBody"`
	ResponseBody BodyInspection `json:"responseBody"`
	Block        BlockResponse  `json:"block"`
	// MaxMillis is how long one judgement may take once it has begun; then
	// FailureMode speaks. 0: as long as it takes.
	MaxMillis int64           `json:"maxMillis,omitempty"`
	WAF       json.RawMessage `json:"waf,omitempty"` // wafrules.Settings; nil: no WAF
	API       *API            `json:"api,omitempty"` // nil: no API protection
}

// Inspects says whether the policy looks at anything.
func (p Policy) Inspects() bool { return p.Mode != ModeOff || p.APIBody() > 0 }

// FailsClosed says that what cannot be judged at all is denied: something blocks,
// and would rather deny.
func (p Policy) FailsClosed() bool {
	waf := p.Mode == ModeBlock && p.FailureMode == FailClosed
	return waf || p.API != nil && p.API.Mode == ModeBlock && p.API.FailureMode == FailClosed
}

// APIBody is how many bytes of a request's body API protection may hold; 0: it is off.
func (p Policy) APIBody() int64 {
	if p.API == nil {
		return 0
	}
	on := p.API.Mode != ModeOff
	for _, o := range p.API.Operations {
		on = on || o.Mode != "" && o.Mode != ModeOff
	}
	if !on {
		return 0
	}
	return max(1, p.API.BodyLimit)
}

// Beyond says what happens to a body longer than is inspected.
type Beyond string

const (
	BeyondPartial Beyond = "partial" // inspect what fits, forward all, mark the event partial
	BeyondReject  Beyond = "reject"  // 413 in block mode, would-deny in detect
	BeyondPass    Beyond = "pass"    // do not inspect the body at all, mark it
)

// BodyInspection bounds what of a body is inspected. Sizes are bytes.
type BodyInspection struct {
	Inspect         bool     `json:"inspect"`
	Limit           int64    `json:"limit"`                     // for any content type not structured
	StructuredLimit int64    `json:"structuredLimit,omitempty"` // for JSON, form and XML
	Depth           int      `json:"depth,omitempty"`           // JSON nesting
	Beyond          Beyond   `json:"beyond"`
	ContentTypes    []string `json:"contentTypes,omitempty"` // responses: media types inspected; empty: all
	// Types are limits by media type; the first that fits goes before Limit,
	// StructuredLimit and Beyond.
	Types   []BodyLimit `json:"types,omitempty"`
	MinRate int64       `json:"minRate,omitempty"` // bytes a second while a request body is held; 0: any
}

// MostHeld is the most bytes of one body that b may hold.
func (b BodyInspection) MostHeld() int64 {
	if !b.Inspect {
		return 0
	}
	most := max(b.Limit, b.StructuredLimit)
	for _, l := range b.Types {
		most = max(most, l.Limit)
	}
	return most
}

// BodyLimit is the limit of one kind of bodies. ContentType is a media type in
// which one star may stand for any text: "image/*", "application/*+json".
type BodyLimit struct {
	ContentType string `json:"contentType"`
	Limit       int64  `json:"limit"`
	Beyond      Beyond `json:"beyond"`
}

// BlockResponse is the answer to a denied request. In Body and JSON the text
// {{event}} is replaced by the event id; which one is sent follows Accept.
type BlockResponse struct {
	Status int    `json:"status"`
	HTML   string `json:"html,omitempty"` // empty: built-in page
	JSON   string `json:"json,omitempty"` // empty: built-in problem+json
}

// Spool is the bounded local file queue of security events, read by the control
// plane; it holds them while the control plane is away.
type Spool struct {
	Dir      string `json:"dir"`
	MaxBytes int64  `json:"maxBytes"`
}

// Record says which exchanges are kept whole, sealed to a public key.
type Record struct {
	Name      string   `json:"name"`           // the Recording resource: "default/all"
	Dir       string   `json:"dir"`            // local spool directory
	MaxBytes  int64    `json:"maxBytes"`       // of the local spool
	PublicKey []byte   `json:"publicKey"`      // HPKE X25519 public key, 32 bytes
	Percent   float64  `json:"percent"`        // 0..100 of exchanges without findings; those with findings are always kept
	Keys      []string `json:"keys,omitempty"` // bindings recorded; empty: all
	BodyLimit int64    `json:"bodyLimit"`      // bytes of each body kept
}

// PolicyID is the content hash under which a policy travels: 16 hex digits.
func PolicyID(p Policy) string {
	b, err := json.Marshal(p) // cannot fail: plain data
	if err != nil {
		panic(err)
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:8])
}
