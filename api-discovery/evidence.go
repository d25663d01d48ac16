package apidiscovery

// Evidence says why an operation is in the inventory under its template.
type Evidence struct {
	Successes uint64 `json:"successes"` // exchanges answered so that the operation must exist
	// Segments explain the template, one a segment from left to right.
	Segments []Segment `json:"segments,omitempty"`
	// Confidence is between 0 and 1: the least sure of Segments.
	Confidence float64 `json:"confidence"`
}

// Segment explains one segment of a template.
type Segment struct {
	Text string `json:"text"` // as in the template: "users", "{userId}", "{sid}.json"
	// Values is how many distinct values were seen at this place, Count in how many
	// exchanges.
	Values uint64 `json:"values"`
	Count  uint64 `json:"count"`
	// Kinds of the values, most frequent first: number, uuid, ulid, hash, email,
	// date, token, slug, word …
	Kinds []string `json:"kinds,omitempty"`
	// Reasons in words, strongest first: "412 distinct values in 5,000 exchanges",
	// "same operations below as its siblings", "pinned by a person".
	Reasons    []string `json:"reasons,omitempty"`
	Confidence float64  `json:"confidence"`
}

// Override is what a person decided about templates; learning respects it.
type Override struct {
	Service string `json:"service,omitempty"` // "" is every service
	// Action is one of the constants below.
	Action string `json:"action"`
	// Template is the template meant, with any names for its holes.
	Template PathTemplate `json:"template"`
	// Value is the segment that Split makes a template of its own.
	Value string `json:"value,omitempty"`
	// Names are the new names of the holes, for Rename.
	Names  []string `json:"names,omitempty"`
	Author string   `json:"author,omitempty"`
	Reason string   `json:"reason,omitempty"`
}

// Actions of an Override.
const (
	OverridePin    = "pin"    // paths that fit Template have it, whatever the statistics say
	OverrideMerge  = "merge"  // the same, and what was told apart below it is one
	OverrideSplit  = "split"  // Value in the last hole of Template is a literal
	OverrideRename = "rename" // Template's holes are called Names
)
