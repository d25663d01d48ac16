package wafrules

// Rule is one rule of the catalogue.
type Rule struct {
	ID              int      `json:"id"`
	File            string   `json:"file"` // "REQUEST-942-APPLICATION-ATTACK-SQLI.conf"
	Line            int      `json:"line"`
	Phase           int      `json:"phase"`
	Paranoia        int      `json:"paranoia"`           // 0: plumbing, at every level
	Severity        string   `json:"severity,omitempty"` // "critical", …
	Score           int      `json:"score,omitempty"`    // points one match adds
	Once            bool     `json:"once,omitempty"`     // however many values match, the points are added once
	Outbound        bool     `json:"outbound,omitempty"` // the points are for the response
	Status          int      `json:"status,omitempty"`   // of a rule that denies by itself and says how
	Message         string   `json:"message,omitempty"`
	Tags            []string `json:"tags,omitempty"`
	Variables       []string `json:"variables,omitempty"`
	Operator        string   `json:"operator,omitempty"` // "@rx …"
	Transformations []string `json:"transformations,omitempty"`
	Chain           []Rule   `json:"chain,omitempty"` // the chained rules, without id
}
