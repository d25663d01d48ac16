package filters

import "time"

// Decision is what the filter did, or would have done, with an exchange.
type Decision string

const (
	Allow  Decision = "allow"  // block mode would have let it pass too
	Detect Decision = "detect" // passed, but block mode would have denied it
	Denied Decision = "deny"   // denied
	Ended  Decision = "ended"  // of no exchange: a process ended by itself, and nothing was decided (Event.Process)
)

// MetadataNamespace is the dynamic-metadata namespace and MetadataKey the key
// under which the filter leaves its Event (as a JSON string) for the access log.
const (
	MetadataNamespace = "io.gabion"
	MetadataKey       = "event"
)

// Event is a security finding about one exchange. It holds no raw value: the
// path is without query, matched parts are redacted in the filter.
// An exchange without findings has no Event. An event with a Process is about that
// and no exchange: of the other fields it has ID, Time, Proxy, Decision and Engine.
type Event struct {
	ID          string      `json:"id"` // ULID given when the stream began; de-duplicates
	Time        time.Time   `json:"time"`
	Proxy       string      `json:"proxy,omitempty"` // node id; ingest fills it from the stream
	Listener    string      `json:"listener,omitempty"`
	Key         string      `json:"key,omitempty"` // the binding's key
	Route       string      `json:"route,omitempty"`
	RouteRule   string      `json:"routeRule,omitempty"`
	Policy      string      `json:"policy,omitempty"`   // Binding.Source
	PolicyID    string      `json:"policyId,omitempty"` // content hash in force
	Mode        Mode        `json:"mode"`
	Decision    Decision    `json:"decision"`
	Engine      string      `json:"engine"`            // "waf", "api", "chain" (limits, failures), "segmentation", "process"
	Reason      string      `json:"reason,omitempty"`  // one phrase: "inbound score 10 reached 5", "inspection failed: …"
	Status      int         `json:"status,omitempty"`  // what the client got; 0: unknown
	WouldBe     int         `json:"wouldBe,omitempty"` // status block mode gives; 0: it would pass
	Score       int         `json:"score"`             // inbound anomaly score
	OutScore    int         `json:"outScore,omitempty"`
	Client      string      `json:"client,omitempty"`    // the filter says the address; ingest keeps a keyed hash of it
	ClientNet   string      `json:"clientNet,omitempty"` // ingest: the address cut to /24 or /48
	Method      string      `json:"method,omitempty"`
	Host        string      `json:"host,omitempty"`
	Path        string      `json:"path,omitempty"` // without query
	RequestID   string      `json:"requestId,omitempty"`
	Partial     string      `json:"partial,omitempty"`     // why not all was inspected: "request body beyond 131072 bytes"
	Matches     []Match     `json:"matches,omitempty"`     // rules that caused the score, in order of evaluation
	MoreMatches int         `json:"moreMatches,omitempty"` // matches not listed, beyond MaxMatches
	API         *APIFinding `json:"api,omitempty"`         // how the request is not what its API takes
	Process     *ProcessEnd `json:"process,omitempty"`     // with Ended, and only then
	Micros      int64       `json:"micros,omitempty"`      // time spent inspecting, µs
	Logged      []int       `json:"logged,omitempty"`      // with Table.Debug only: every rule that logged, totals included, once each, at most MaxLogged
	Log         []byte      `json:"log,omitempty"`         // with Table.Debug only: the engine's log lines of those matches, with raw values
}

// MaxLogged bounds Event.Logged.
const MaxLogged = 256

// MaxMatches bounds Event.Matches; the rest is counted in MoreMatches.
const MaxMatches = 32

// Match is one rule that matched one variable.
type Match struct {
	Rule     int      `json:"rule"`
	Message  string   `json:"message,omitempty"`
	Severity string   `json:"severity,omitempty"`
	Score    int      `json:"score,omitempty"`  // points it added; 0 when the rule itself denies
	Variable string   `json:"variable"`         // "ARGS:q", "REQUEST_HEADERS:user-agent"
	Masked   bool     `json:"masked,omitempty"` // the name after the colon was not fit to be shown: no exclusion can name it
	Read     string   `json:"read,omitempty"`   // how the value was got from what the variable holds: "base64", "Referer", "JSON"; empty: it is there as it is
	Value    string   `json:"value,omitempty"`  // redacted matched part
	Tags     []string `json:"tags,omitempty"`
	Phase    int      `json:"phase"`
}
