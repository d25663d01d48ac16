package apidiscovery

// ChangeLevel is what a change means to those who call.
type ChangeLevel string

// The levels.
const (
	Breaking ChangeLevel = "breaking" // existing callers fail
	MayBreak ChangeLevel = "warning"  // some may
	Informs  ChangeLevel = "info"
)

// Change is one difference between two documents about the same API.
type Change struct {
	Level     ChangeLevel `json:"level"`
	ID        string      `json:"id"` // the rule's name: "request-parameter-removed"
	Operation string      `json:"operation,omitempty"`
	Path      string      `json:"path,omitempty"`
	Text      string      `json:"text"`
}
