package apidiscovery

import "time"

// DriftKind is how a declared API and the observed one differ.
type DriftKind string

const (
	// Shadow: answered, and not declared.
	Shadow DriftKind = "shadow"
	// Zombie: declared deprecated, and still called.
	Zombie DriftKind = "zombie"
	// Orphan: declared, and never called while traffic was observed.
	Orphan DriftKind = "orphan"
	// Mismatch: declared and called, but not as declared. Part says in what.
	Mismatch DriftKind = "mismatch"
)

// Parts of an operation that a Mismatch is about.
const (
	PartParam    = "parameter"
	PartRequest  = "request"
	PartResponse = "response"
	PartStatus   = "status"
	PartAuth     = "auth"
)

// Drift is one difference, with what shows it.
type Drift struct {
	Kind DriftKind `json:"kind"`
	OperationKey
	ID   string `json:"id"` // of the operation: the declared one if there is one
	Part string `json:"part,omitempty"`
	// Where in the part: "query page", "200 application/json /customer/email".
	Where string `json:"where,omitempty"`
	// What differs, in words: "is not declared", "is declared integer".
	What     string `json:"what"`
	Declared string `json:"declared,omitempty"`
	Observed string `json:"observed,omitempty"`
	// Count is how many exchanges show it; First and Last are when the operation was
	// called.
	Count uint64    `json:"count"`
	First time.Time `json:"first,omitzero"`
	Last  time.Time `json:"last,omitzero"`
	// Sensitive are kinds of data, as internal/sensitive names them, that are
	// concerned; Open says that it was answered without authentication.
	Sensitive []string `json:"sensitive,omitempty"`
	Open      bool     `json:"open,omitempty"`
}
