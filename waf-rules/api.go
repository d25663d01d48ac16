package wafrules

// Rule is one rule of the catalogue.
type Rule struct {
	ID              int      `json:"id"`
	File            string   `json:"file"` // "REQUEST-942-APPLICATION-ATTACK-SQLI.conf"
	Line            int      `json:"line"`
	Phase           int      `json:"phase"`
	Paranoia        int      `json:"paranoia"`           // 0: plumbing, at every level
	Severity        string   `json:"severity,omitempty"` // "critical", …
	Score           int      `json:"score,omitempty"`    // points a match adds
	Message         string   `json:"message,omitempty"`
	Tags            []string `json:"tags,omitempty"`
	Variables       []string `json:"variables,omitempty"`
	Operator        string   `json:"operator,omitempty"` // "@rx …"
	Transformations []string `json:"transformations,omitempty"`
	Chain           []Rule   `json:"chain,omitempty"` // the chained rules, without id
}

// Catalogue lists the rules of the profile "crs" and the engine's base rules,
// by id.
func Catalogue() ([]Rule, error) { panic("todo") }

// Lint reports everything an author of s should mend: refused or broken custom
// rules (Fatal), and rules and exclusions that can do nothing.
func Lint(s Settings, c Context) []Problem { panic("todo") }

// CheckCustom holds one snippet of custom SecLang against the allow-list.
// Every problem it reports is Fatal; line and column are in the snippet.
func CheckCustom(snippet string) []Problem { panic("todo") }

// Defaults are the built-in settings: CRS at paranoia level 1, thresholds 5 and
// 4, 10,000 arguments.
func Defaults() Settings {
	return Settings{Profile: "crs", ParanoiaLevel: 1, Inbound: 5, Outbound: 4, MaxArguments: 10_000, JSONDepth: 128}
}
