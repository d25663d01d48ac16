// Package crs runs the regression suite of the Core Rule Set against whatever
// can send a request and say which rules matched: the filter's chain inside
// this process, or a real Envoy with the filter.
//
// It judges results only; the requests and expectations are
// waf-rules/regression's. Tests import it.
package crs

import (
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	"github.com/gabion-io/gabion/filters"
	wafrules "github.com/gabion-io/gabion/waf-rules"
	"github.com/gabion-io/gabion/waf-rules/regression"
)

// Observation is what came of one request.
type Observation struct {
	Status  int    // of the response; 0: the connection broke without one
	Rules   []int  // ids that were logged
	Log     string // what log expressions are matched against
	Refused string // why the request was refused before any rule could see it; "": it was not
	Event   *filters.Event
}

// Doer sends one stage's request.
type Doer interface {
	Do(*regression.Request) (Observation, error)
}

// Outcome of a case.
type Outcome int

const (
	Passed Outcome = iota
	Failed
	Excused // not run as written, for a reason that is not the rules'
)

// Result is one case's outcome; Why explains all but Passed.
type Result struct {
	ID      string
	Outcome Outcome
	Why     string
}

// Run sends the stages of a case in order and compares. excuses gives reasons
// by case id: a failing case that is listed is excused.
func Run(c *regression.Case, d Doer, excuses map[string]string) Result {
	r := Result{ID: c.ID}
	var why []string
	other, hasOther := Alternatives()[c.ID]
	for i, stage := range c.Stages {
		o, err := d.Do(&stage.Request)
		if err != nil {
			why = append(why, fmt.Sprintf("stage %d: %v", i+1, err))
			continue
		}
		misses := compare(stage.Expect, o)
		if len(misses) > 0 && stage.Expect.RetryOnce {
			if o, err = d.Do(&stage.Request); err == nil {
				misses = compare(stage.Expect, o)
			}
		}
		if len(misses) > 0 && hasOther && len(compare(other.Expect, o)) == 0 {
			misses = nil
		}
		for _, m := range misses {
			why = append(why, fmt.Sprintf("stage %d: %s", i+1, m))
		}
	}
	if len(why) == 0 {
		return r
	}
	r.Outcome, r.Why = Failed, strings.Join(why, "; ")
	if reason := excuses[c.ID]; reason != "" {
		r.Outcome, r.Why = Excused, reason+" ("+r.Why+")"
	}
	return r
}

// compare lists what was expected and not seen. The expectations of one stage
// hold together, but a status stands in for the log when the request never
// reached the rules: that is how the suite says "the server may refuse this".
func compare(e regression.Expect, o Observation) []string {
	var misses []string
	miss := func(format string, args ...any) { misses = append(misses, fmt.Sprintf(format, args...)) }
	if e.Error && o.Refused == "" && o.Status != 0 && o.Status != 400 {
		miss("expected the connection to break, got status %d", o.Status)
	}
	if e.Status != 0 && o.Status != e.Status {
		miss("status %d, expected %d", o.Status, e.Status)
	}
	for _, id := range e.IDs {
		if !slices.Contains(o.Rules, id) {
			miss("rule %d did not match", id)
		}
	}
	for _, id := range e.NoIDs {
		if slices.Contains(o.Rules, id) {
			miss("rule %d matched", id)
		}
	}
	if e.Isolated {
		for _, id := range o.Rules {
			if !slices.Contains(e.IDs, id) && id < 949000 {
				miss("rule %d matched as well", id)
			}
		}
	}
	if e.Match != "" && !matches(e.Match, o.Log) {
		miss("log does not match %q", e.Match)
	}
	if e.NoMatch != "" && matches(e.NoMatch, o.Log) {
		miss("log matches %q", e.NoMatch)
	}
	if len(misses) > 0 && o.Refused != "" {
		misses = append(misses, "refused: "+o.Refused)
	}
	return misses
}

// matches ignores case: header names arrive in lower case.
func matches(pattern, log string) bool {
	re, err := regexp.Compile("(?i)" + pattern)
	return err == nil && re.MatchString(log)
}

// Observe reads an Observation's rules from an event, as a run through a proxy
// has to: the rules that total scores are not in it and follow from it.
func Observe(e *filters.Event, s wafrules.Settings) (rules []int, log string) {
	if e == nil {
		return nil, ""
	}
	var b strings.Builder
	for _, m := range e.Matches {
		rules = append(rules, m.Rule)
		fmt.Fprintf(&b, "[id \"%d\"] [msg \"%s\"] within %s: %s\n", m.Rule, m.Message, m.Variable, m.Value)
	}
	if e.Score >= s.Inbound {
		rules = append(rules, 949110)
	}
	if e.OutScore >= s.Outbound {
		rules = append(rules, 959100)
	}
	if e.Score+e.OutScore > 0 {
		rules = append(rules, 980170)
	}
	return rules, b.String()
}

// Summary counts results.
type Summary struct {
	Passed, Failed, Excused int
	Results                 []Result // all but passed
}

// Add counts one result.
func (s *Summary) Add(r Result) {
	switch r.Outcome {
	case Passed:
		s.Passed++
		return
	case Failed:
		s.Failed++
	default:
		s.Excused++
	}
	s.Results = append(s.Results, r)
}

// Print lists what did not pass and ends with the one line scripts read.
func (s *Summary) Print(w io.Writer) {
	for _, r := range s.Results {
		word := "FAILED"
		if r.Outcome == Excused {
			word = "excused"
		}
		fmt.Fprintf(w, "%-8s %-10s %s\n", word, r.ID, r.Why)
	}
	fmt.Fprintln(w, s)
}

func (s *Summary) String() string {
	return fmt.Sprintf("%d passed, %d failed, %d excused", s.Passed, s.Failed, s.Excused)
}
