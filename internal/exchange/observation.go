package exchange

import (
	"time"

	"github.com/gabion-io/gabion/internal/sensitive"
)

// Raw is an exchange as it was sent, with every value. It lives between whoever
// read it (a HAR file, a line of JSON, an access log entry) and the Door, in
// memory only.
type Raw struct {
	Time     time.Time
	Client   string // address, or whatever tells callers apart
	Workload string // identity proven by mTLS
	Method   string
	Scheme   string
	Host     string
	Path     string // with its query
	Request  RawMessage
	Status   int
	Response RawMessage
	Duration time.Duration
	Blocked  bool // answered by gabion, not by the service
	Failed   bool // answered by the proxy: no service answered
	Static   bool // known to be a file of a web page
	// Some says that only some of the request's headers are known: that there are no
	// credentials among them says nothing.
	Some bool
	// Suspect says that it looked like an attack and passed: it counts for an
	// operation, and proves none.
	Suspect bool
}

// RawMessage is a request or response.
type RawMessage struct {
	Headers []Header
	Body    []byte
	Size    int64 // of the body, if it is known and Body is not all of it
	// Messages of a gRPC body, if they were counted by somebody else.
	Messages uint64
	// Shape of a body that was left in the filter; Body is then empty.
	Shape *Shape
}

// Header is one field.
type Header struct{ Name, Value string }

// Get answers the first value of a header; the name is given in lower case.
func (m *RawMessage) Get(lower string) string {
	for i := range m.Headers {
		if equalFold(m.Headers[i].Name, lower) {
			return m.Headers[i].Value
		}
	}
	return ""
}

// equalFold compares with a name that is in lower case already.
func equalFold(s, lower string) bool {
	if len(s) != len(lower) {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

// Value is what is kept of a value: what it looks like, and a keyed hash to tell
// it from others. Text is there only if a developer may have written it (see
// Kind.Fixed); whether one did, traffic tells. Until then it must stay in memory.
type Value struct {
	Kind   Kind   `json:"k"`
	Hash   uint64 `json:"h"`
	Text   string `json:"t,omitempty"`
	Prefix string `json:"p,omitempty"` // of prefixed ids; "0" of digits that begin so
	Length int    `json:"l,omitempty"` // in bytes
	// Sensitive is the kind of data that it is, none for most.
	Sensitive sensitive.Kind `json:"x,omitempty"`
}

// Segment is one path segment: Head + value + Suffix. Head is the name before a
// key in parentheses ("Users(" of "Users(5)"), Suffix a file extension or a
// custom verb (".json", ":cancel", ")").
type Segment struct {
	Head, Suffix string
	Value
	Listed bool    // a comma list; the Value is the first element's
	More   []Value // of a list, the other elements'
}

// ParamSeen is one parameter in one exchange.
type ParamSeen struct {
	In   string `json:"in"` // "query", "header", "cookie", "matrix"
	Name string `json:"n"`
	Value
	Repeated bool   `json:"r,omitempty"`  // the name came more than once
	Listed   string `json:"li,omitempty"` // "form", "spaceDelimited" or "pipeDelimited" when one value held several
	Deep     bool   `json:"d,omitempty"`  // the name was followed by a key in brackets
	Position int    `json:"po,omitempty"` // of the path segment before a matrix parameter
	// More are the other values of a list, however it was written; Value is the first.
	More []Value `json:"m,omitempty"`
}

// AuthSeen is one way in which a request said who it is.
type AuthSeen struct {
	Kind     string `json:"k"`
	Scheme   string `json:"s,omitempty"`
	Format   string `json:"f,omitempty"`
	In       string `json:"in,omitempty"`
	Name     string `json:"n,omitempty"`
	Issuer   string `json:"i,omitempty"`
	Audience string `json:"a,omitempty"`
	Alg      string `json:"g,omitempty"`
	// Weak says in words what is wrong with a token, whoever it is from.
	Weak []string `json:"w,omitempty"`
}

// CallerSeen is who called: the strongest identity the request carried.
type CallerSeen struct {
	Kind string `json:"k,omitempty"` // "workload", "subject", "key", "session", "client"; "" is nobody known
	Hash uint64 `json:"h,omitempty"`
	Name string `json:"n,omitempty"` // of a workload only
}

// Content is what a message carried.
type Content struct {
	MediaType string `json:"m,omitempty"` // lower case, without parameters; "" without a body
	Shape     *Shape `json:"s,omitempty"` // nil when the body was not looked into
	Present   bool   `json:"p,omitempty"` // there was a body
}

// Call is one thing asked for in the body of a protocol that says there what it
// wants.
type Call struct {
	Protocol string   `json:"p"` // "graphql", "jsonrpc", "mcp", "soap"
	Name     string   `json:"n"`
	Fields   []string `json:"f,omitempty"` // of GraphQL, dotted
	Refused  bool     `json:"r,omitempty"` // the answer to it is an error, whatever the status
}

// Observation is an exchange after the door, on its way to the learner. It holds
// no value, except the words of Value.Text.
type Observation struct {
	Time      time.Time
	Service   string
	Method    string
	Preflight string // the method that a CORS preflight asks for
	Segments  []Segment
	Slash     bool // the path ended in a slash
	Params    []ParamSeen
	Status    int
	Duration  time.Duration
	BytesIn   int64
	BytesOut  int64
	Caller    CallerSeen
	Auth      []AuthSeen
	Request   Content
	Response  Content
	Protocol  string // "", "grpc", "websocket", "sse"
	Streaming string // "client", "server" or "bidi", if it was seen
	Calls     []Call
	Blocked   bool
	Failed    bool
	Static    bool
	Suspect   bool
}
