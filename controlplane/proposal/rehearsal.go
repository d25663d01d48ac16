package proposal

import "time"

// Rehearsal is what a candidate would have done to recorded traffic, judged by
// the engine that would enforce it.
type Rehearsal struct {
	At        time.Time `json:"at"`
	Base      Base      `json:"base"`      // the state of the resource it was rehearsed against
	Candidate string    `json:"candidate"` // sha256 of the candidate, hex

	// A verdict is allow, detect (block mode would have denied) or deny. Newly
	// blocked went up that ladder, newly passed came down.
	Judged       int `json:"judged"`
	NewlyBlocked int `json:"newlyBlocked"`
	NewlyPassed  int `json:"newlyPassed"`
	Unchanged    int `json:"unchanged"`
	// Enforced counts of these what changes for clients: who is denied, or no longer.
	Enforced struct {
		NewlyDenied int `json:"newlyDenied"`
		NewlyPassed int `json:"newlyPassed"`
	} `json:"enforced"`

	Rules  []Shift `json:"rules,omitempty"`  // by rule, most changed first
	Routes []Shift `json:"routes,omitempty"` // by route

	Blocked []Example `json:"blocked,omitempty"` // newly blocked, at most MaxExamples
	Passed  []Example `json:"passed,omitempty"`  // newly passed, at most MaxExamples

	Unjudged Unjudged `json:"unjudged"`
	Drift    Drift    `json:"drift"`
	Coverage Coverage `json:"coverage"`

	// Network is set when the candidate is a policy for the network: then what was
	// judged are edges, and blocked means denied.
	Network *NetworkOutcome `json:"network,omitempty"`
}

// MaxExamples bounds each list of examples.
const MaxExamples = 10

// Shift is what changed for one rule or one route.
type Shift struct {
	Name         string `json:"name"` // "942100", "default/shop"
	Judged       int    `json:"judged,omitempty"`
	NewlyBlocked int    `json:"newlyBlocked"`
	NewlyPassed  int    `json:"newlyPassed"`
}

// Example is one exchange that would fare differently; it holds no raw value.
type Example struct {
	ID     string    `json:"id"` // of the exchange and of its event, if it has one
	Time   time.Time `json:"time"`
	Route  string    `json:"route,omitempty"`
	Method string    `json:"method,omitempty"`
	Host   string    `json:"host,omitempty"`
	Path   string    `json:"path,omitempty"`  // masked
	Rules  []string  `json:"rules,omitempty"` // "942100 ARGS:q"
	Before int       `json:"before"`          // inbound score now
	After  int       `json:"after"`           // inbound score with the candidate
}

// Unjudged counts recorded exchanges no honest verdict can be given for.
type Unjudged struct {
	TruncatedBody int `json:"truncatedBody,omitempty"` // more body was inspected live than was kept
	UnknownKey    int `json:"unknownKey,omitempty"`    // its route is no longer served
	NoPolicy      int `json:"noPolicy,omitempty"`      // neither side inspects its route
	Failed        int `json:"failed,omitempty"`        // the engine could not judge it
}

// Total is all of them.
func (u Unjudged) Total() int { return u.TruncatedBody + u.UnknownKey + u.NoPolicy + u.Failed }

// Drift is where the policy in force today, replayed, gives another verdict than
// was given live: the policy has changed since, or the recording is incomplete.
type Drift struct {
	Compared      int      `json:"compared"`
	PolicyChanged int      `json:"policyChanged,omitempty"` // judged live by another policy than today's
	SamePolicy    int      `json:"samePolicy,omitempty"`    // differs although the policy is the same
	Sample        []string `json:"sample,omitempty"`        // ids of SamePolicy, at most MaxExamples
}

// Coverage says what a rehearsal rests on.
type Coverage struct {
	Data       bool      `json:"data"`    // false: nothing was recorded, which is no good news
	Summary    string    `json:"summary"` // one sentence that says it
	From       time.Time `json:"from,omitzero"`
	To         time.Time `json:"to,omitzero"`
	Recordings int       `json:"recordings"` // exchanges read
	Segments   int       `json:"segments"`
	Garbage    int       `json:"garbage,omitempty"` // batches torn, damaged or sealed to another key
	Lost       uint64    `json:"lost,omitempty"`    // exchanges known to be lost before they were stored
	// LostUnknown is why that is not known; then Lost says nothing.
	LostUnknown string  `json:"lostUnknown,omitempty"`
	Percent     float64 `json:"percent"` // of exchanges without findings that are kept: the lowest of all listeners; 0: only findings
	Duplicates  int     `json:"duplicates,omitempty"`
}
