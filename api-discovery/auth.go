package apidiscovery

// How a request said who it is.
const (
	AuthNone    = "none"
	AuthBasic   = "basic"
	AuthBearer  = "bearer"  // opaque, or Format "JWT"
	AuthDigest  = "digest"  // and other schemes of Authorization, by Scheme
	AuthAPIKey  = "apiKey"  // In and Name say where
	AuthCookie  = "cookie"  // Name says which
	AuthMTLS    = "mtls"    // a client certificate
	AuthUnknown = "unknown" // an Authorization header whose value was removed before it came here
)

// Auth is one way of authentication that an operation was called with.
type Auth struct {
	Kind      string   `json:"kind"`
	Scheme    string   `json:"scheme,omitempty"`    // of Authorization, lower case: "bearer", "aws4-hmac-sha256"
	Format    string   `json:"format,omitempty"`    // "JWT"
	In        string   `json:"in,omitempty"`        // of an API key: header, query, cookie
	Name      string   `json:"name,omitempty"`      // of an API key or session cookie
	Issuers   []string `json:"issuers,omitempty"`   // of JWTs, sorted, at most 16
	Audiences []string `json:"audiences,omitempty"` // of JWTs, sorted, at most 16
	Algs      []string `json:"algs,omitempty"`      // of JWTs, sorted: "RS256", "none"
	Weak      []string `json:"weak,omitempty"`      // what was wrong with JWTs that were accepted, sorted: "never expires"
	Count     uint64   `json:"count"`               // exchanges that had it
	Accepted  uint64   `json:"accepted"`            // of them, answered with neither 401 nor 403
}

// Callers are who called, as keyed hashes: the same caller has the same hash in
// every operation.
type Callers struct {
	Distinct uint64   `json:"distinct"`      // estimated beyond some hundred
	Top      []Caller `json:"top,omitempty"` // most exchanges first, at most 16
}

// Caller is one of them.
type Caller struct {
	Kind  string `json:"kind"` // workload, subject (of a JWT), key, session, client (an address)
	Hash  string `json:"hash"`
	Name  string `json:"name,omitempty"` // of a workload only: its identity is no secret
	Count uint64 `json:"count"`
}
