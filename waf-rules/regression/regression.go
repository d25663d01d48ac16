// Package regression is the regression suite of the OWASP Core Rule Set as a
// library: every test of the embedded, pinned suite with the bytes it sends and
// what it expects. Whoever wants known attacks reads them here: the suite run
// natively and through Envoy, and the evidence of a proposal.
//
// It sends nothing and judges nothing. Anyone may import it; it links some 3 MB
// of test files into the binary.
package regression

import (
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"

	crstests "github.com/corazawaf/coraza-coreruleset/v4/tests"
)

// Case is one test of the suite.
type Case struct {
	ID          string // "942100-1": rule id and test id
	Rule        int    // the rule under test
	Test        int
	File        string // "REQUEST-942-APPLICATION-ATTACK-SQLI/942100.yaml"
	Description string
	Stages      []Stage // at least one; run in order
	// IgnoredUpstream is why upstream does not run this test with Coraza, as the
	// requests never get past the HTTP server in front of the engine. Empty:
	// it is run.
	IgnoredUpstream string
}

// Attack reports whether the case expects its request to be found: a rule of
// 911000 to 949109 is expected in some stage. Tests that expect silence, an
// HTTP error or a rule about responses are no attacks on the request.
func (c *Case) Attack() bool {
	for _, s := range c.Stages {
		for _, id := range s.Expect.IDs {
			if id >= 911000 && id < 949110 {
				return true
			}
		}
	}
	return false
}

// Stage is one request with what is expected of it.
type Stage struct {
	Request Request
	Expect  Expect
}

// Expect is what a stage wants to see. Zero fields are not checked.
type Expect struct {
	IDs       []int  // rules that must be logged
	NoIDs     []int  // rules that must not be logged
	Match     string // regular expression the log must match
	NoMatch   string // regular expression the log must not match
	Status    int
	Response  string // regular expression the response must match
	Error     bool   // the connection breaks instead of answering
	RetryOnce bool   // racy by upstream's own word: one more try is fair
	Isolated  bool   // IDs, and no other rule
}

// Load reads the whole suite, sorted by file and test. It takes some hundred
// milliseconds; callers keep the result.
func Load() ([]Case, error) { return LoadFS(crstests.FS) }

// LoadFS reads the suite from any tree of the same form.
func LoadFS(tree fs.FS) ([]Case, error) {
	var cases []Case
	err := fs.WalkDir(tree, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || path.Ext(name) != ".yaml" {
			return err
		}
		text, err := fs.ReadFile(tree, name)
		if err != nil {
			return fmt.Errorf("read regression tests %s: %w", name, err)
		}
		found, err := Parse(name, text)
		if err != nil {
			return err
		}
		cases = append(cases, found...)
		return nil
	})
	if err != nil {
		return nil, err
	}
	ignored := ignoredUpstream()
	for i := range cases {
		cases[i].IgnoredUpstream = ignored[cases[i].ID]
	}
	return cases, nil
}

// ignoredUpstream lists what the suite's own Coraza run leaves out: Go's HTTP
// server answers these before the engine is asked.
func ignoredUpstream() map[string]string {
	const malformed = "the HTTP server refuses the request line before the engine sees it"
	return map[string]string{
		"920100-4": malformed,
		"920100-5": malformed,
		"920280-3": "the HTTP server refuses a request without Host before the engine sees it",
		"920430-3": "the HTTP server refuses the protocol version before the engine sees it",
		"920430-5": "the HTTP server does not speak HTTP/0.9",
		"920430-9": "the HTTP server refuses the protocol version before the engine sees it",
		"920610-2": malformed,
	}
}

// ruleOfFile falls back on the file's name when a file names no rule.
func ruleOfFile(name string) int {
	n, err := strconv.Atoi(strings.TrimSuffix(path.Base(name), path.Ext(name)))
	if err != nil {
		return 0
	}
	return n
}
