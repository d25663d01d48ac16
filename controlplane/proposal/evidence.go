package proposal

import "time"

// Evidence is why a proposal was made and what it would cost.
type Evidence struct {
	Supplied string    `json:"supplied"`        // who supplied it: a token name, or "learned from N clients"
	Events   []string  `json:"events"`          // ids of the events it is about, at most MaxEvidenceEvents
	Covered  int       `json:"covered"`         // events it is about, in all
	Clients  int       `json:"clients"`         // distinct clients behind them
	Hours    int       `json:"hours,omitempty"` // distinct hours with such events; of learned ones
	First    time.Time `json:"first"`
	Last     time.Time `json:"last"`

	Rules []RuleEvidence `json:"rules,omitempty"` // who spoke for each rule; of learned ones

	Replay Replay `json:"replay"`
	Others Others `json:"others"`
	Opens  Opens  `json:"opens"`

	Notes []string `json:"notes,omitempty"` // what a reviewer should know, a sentence each
}

// RuleEvidence is the evidence for one rule of a proposal: each has to have
// enough by itself.
type RuleEvidence struct {
	Rule    int `json:"rule"`
	Events  int `json:"events"`
	Clients int `json:"clients"` // distinct client networks
	Forms   int `json:"forms"`   // distinct redacted values that matched; one: everybody sent the same
}

// MaxEvidenceEvents bounds the ids listed in Evidence.Events.
const MaxEvidenceEvents = 1000

// Replay says how far the engine confirmed that the candidate does what it is for.
type Replay struct {
	Recorded    int      `json:"recorded"`              // events whose exchange was recorded and replayed
	Passed      int      `json:"passed"`                // of them, passing with the candidate
	StillDenied []string `json:"stillDenied,omitempty"` // of them, ids that would still be denied
	NotRecorded int      `json:"notRecorded"`           // events that could not be replayed
}

// Others are stored events beside the covered ones that would pass as well.
type Others struct {
	Checked   int      `json:"checked"` // stored events looked at
	WouldPass int      `json:"wouldPass"`
	Clients   int      `json:"clients"`
	Sample    []string `json:"sample,omitempty"`    // ids, at most MaxExamples
	Truncated bool     `json:"truncated,omitempty"` // there were more events than were looked at
	By        string   `json:"by"`                  // "arithmetic": scores recomputed from the events' matches
}

// Opens are the attacks of the regression suite that pass with the candidate and
// did not before, each moved to where the exclusion acts as far as that can be
// said in a request.
type Opens struct {
	Attacks  int         `json:"attacks"`         // in the suite
	Tried    int         `json:"tried"`           // judged both ways
	Denied   int         `json:"denied"`          // of them, denied without the candidate
	Opened   int         `json:"opened"`          // of them, passing with it
	Points   float64     `json:"points"`          // what detection loses there, in percentage points of the suite; not complete: at least
	Rules    map[int]int `json:"rules,omitempty"` // of them, found by each excluded rule today
	IDs      []string    `json:"ids,omitempty"`   // "942100-1", sorted, at most MaxOpened
	Complete bool        `json:"complete"`        // every attack the exclusions can touch was tried
	Error    string      `json:"error,omitempty"` // why there is no figure

	sent int // requests
}

// MaxOpened bounds the ids listed in Opens.IDs.
const MaxOpened = 200
