package filters

// EffortKey is the key in MetadataNamespace under which the filter leaves its
// Effort (as a JSON string) with an exchange every few seconds.
const EffortKey = "effort"

// Effort counts what the rule engine of one running filter saved, since it
// began, over all its policies. It says nothing about any exchange.
type Effort struct {
	Instance   string `json:"instance"`   // new at each start: the counters begin anew
	Values     uint64 `json:"values"`     // values looked at, once for each variable that holds them
	Known      uint64 `json:"known"`      // of these, about which nothing was left to ask
	Asked      uint64 `json:"asked"`      // predicates worked out
	Rules      uint64 `json:"rules"`      // rules that a phase would have run
	Skipped    uint64 `json:"skipped"`    // of these, left out
	Remembered uint64 `json:"remembered"` // values in memory now
	Bytes      uint64 `json:"bytes"`      // about what they take
}
