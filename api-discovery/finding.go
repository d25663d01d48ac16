package apidiscovery

import "time"

// Finding is a weakness of an API that its traffic shows, by the words of the
// OWASP API Security Top 10 (2023).
type Finding struct {
	Rule string `json:"rule"` // "missing-authentication"
	// Class is the entry of the list: "API2:2023".
	Class string `json:"class"`
	OperationKey
	ID       string `json:"id"`              // of the operation
	Where    string `json:"where,omitempty"` // "query access_token", "response 200 /customers"
	Evidence string `json:"evidence"`        // in words, with figures
	// Confidence is "suspicion" or "shown".
	Confidence string    `json:"confidence"`
	Count      uint64    `json:"count"`
	First      time.Time `json:"first,omitzero"`
	Last       time.Time `json:"last,omitzero"`
}

// Confidences of a Finding.
const (
	Suspicion = "suspicion" // there may be a good reason: somebody should look
	Shown     = "shown"     // an exchange did what it should not have
)
