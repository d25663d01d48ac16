package apidiscovery

import "time"

// Spec is the API of one service: observed (from operations) or declared (from a
// document), in one form, so that they can be compared.
type Spec struct {
	Service    string      `json:"service"`
	Title      string      `json:"title,omitempty"`
	Version    string      `json:"version,omitempty"`
	Servers    []string    `json:"servers,omitempty"` // base URLs; templates already hold their paths
	Declared   bool        `json:"declared"`
	Source     string      `json:"source,omitempty"`     // of a declared one: file or URL, and format
	Operations []Operation `json:"operations"`           // by OperationKey.Compare
	Deprecated []string    `json:"deprecated,omitempty"` // ids of operations declared deprecated
	From       time.Time   `json:"from,omitzero"`        // what an observed one covers
	To         time.Time   `json:"to,omitzero"`
	Aside      []Aside     `json:"aside,omitempty"`
}

// Aside counts exchanges that are not in the inventory, and why.
type Aside struct {
	// Reason: "missing" (404 where nothing is known), "blocked" (by the WAF),
	// "unproven" (never answered with success), "catch-all" (answered as anything
	// is), "unread" (the body that says what was called was not looked into),
	// "static" (files of a web page), "preflight", "evicted" (a bound was reached),
	// "malformed".
	Reason string `json:"reason"`
	Count  uint64 `json:"count"`
	Paths  uint64 `json:"paths"` // distinct, estimated
	// Examples are masked paths, at most 8.
	Examples []string `json:"examples,omitempty"`
}
