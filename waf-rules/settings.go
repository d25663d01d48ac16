// Package wafrules is the vocabulary of WAF rules: the settings of a rule set,
// exclusions, the pinned OWASP Core Rule Set with its catalogue, the allow-list
// that keeps custom SecLang from being code, and the lint that finds rules that
// can do nothing.
//
// It is not the engine (filters/waf) and not the resource (controlplane/api).
package wafrules

import "time"

// Settings is the effective WAF configuration of one policy, all defaults
// filled in. It is the wire form (filters.Policy.WAF) and decodes strictly.
type Settings struct {
	Profile       string      `json:"profile"`       // one of Profiles()
	ParanoiaLevel int         `json:"paranoiaLevel"` // 1..4
	Inbound       int         `json:"inbound"`       // anomaly score that denies a request
	Outbound      int         `json:"outbound"`      // anomaly score that denies a response
	MaxArguments  int         `json:"maxArguments"`
	JSONDepth     int         `json:"jsonDepth"`
	Exclusions    []Exclusion `json:"exclusions,omitempty"`
	Rules         []string    `json:"rules,omitempty"` // custom SecLang, each checked by CheckCustom
	Fast          Fast        `json:"fast,omitzero"`
}

// Fast turns off, for diagnosis, what makes the engine fast. Results are the
// same in every combination.
type Fast struct {
	NoAlphabet bool `json:"noAlphabet,omitempty"` // run every regular expression, even when the value's characters rule a match out
	NoLiterals bool `json:"noLiterals,omitempty"` // look for nothing that every match has in it before an operator is asked
	NoSkip     bool `json:"noSkip,omitempty"`     // evaluate every rule, even when no value it looks at can match
	NoLevels   bool `json:"noLevels,omitempty"`   // compare the paranoia level anew in every request
	NoSetup    bool `json:"noSetup,omitempty"`    // evaluate the rules that only set up and compare TX variables
	NoMemory   bool `json:"noMemory,omitempty"`   // work out anew what is known of values seen before
}

// Exclusion takes rules away from where they misfire. Exactly one of Rule, Tag
// is set. Target names a variable ("ARGS:q"); empty removes the rule whole.
type Exclusion struct {
	Rule    int        `json:"rule,omitempty"`
	Tag     string     `json:"tag,omitempty"`
	Target  string     `json:"target,omitempty"`
	Host    string     `json:"host,omitempty"`   // exact, or "*.example.com"; empty: any
	Path    string     `json:"path,omitempty"`   // exact, or prefix ending in "*"; empty: any
	Method  string     `json:"method,omitempty"` // empty: any
	Reason  string     `json:"reason,omitempty"`
	Expires *time.Time `json:"expires,omitempty"` // in force until then
}

// Problem is something an author should mend: a parse error, a refused
// directive, a rule or exclusion that can do nothing.
type Problem struct {
	Path    string // into Settings: "rules[0]", "exclusions[2].target"
	Line    int    // within the SecLang snippet, from 1; 0 when not about text
	Column  int    // bytes from 1
	Message string
	Fatal   bool // the part cannot be used; otherwise it is used and can do nothing
}
