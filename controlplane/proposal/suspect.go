package proposal

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/gabion-io/gabion/filters"
	wafrules "github.com/gabion-io/gabion/waf-rules"
)

// thresholds are the anomaly scores from which an event's policy denies.
type thresholds struct{ inbound, outbound int }

// suspect is one rule on one variable: the smallest thing an exclusion removes.
// An empty target is the rule whole.
type suspect struct {
	rule   int
	target string
}

func (s suspect) compare(o suspect) int {
	return cmp.Or(cmp.Compare(s.rule, o.rule), cmp.Compare(s.target, o.target))
}

// choice says which suspects have to go so that each event passes, by the
// event's position.
type choice [][]suspect

// widen maps a suspect to what stands for it: itself at first, a wider target
// where the engine showed that the narrow one does not help.
type widen map[suspect]suspect

func (w widen) of(m filters.Match) suspect {
	s := suspect{m.Rule, usableTarget(m.Rule, m.Variable)}
	for range len(w) {
		next, ok := w[s]
		if !ok {
			break
		}
		s = next
	}
	return s
}

// usableTarget is the variable as an exclusion can name it. A name that was
// redacted is not known: all names of its kind are meant. A transaction
// variable or "what matched before" cannot be removed from a rule: then the
// whole rule is meant.
func usableTarget(rule int, variable string) string {
	name, key := cutTarget(variable)
	switch {
	case name == "REQUEST_XML" || name == "XML": // named by an expression, not by a key
		variable = "XML:" + key
	case key != "" && redacted(key):
		variable = name
	}
	x := wafrules.Exclusion{Rule: rule, Target: variable}
	if variable == "" || volatile(variable) || x.Validate() != nil {
		return ""
	}
	return variable
}

var plainKey = regexp.MustCompile(`^[A-Za-z0-9_.\[\]$:*@/-]+$`)

// redacted: the filter shows names that look like names, and redacts the rest
// in ways that can be seen: strange characters, zeros for a long number, the
// form of a mail address, a cut end. Nor can a name be named that would read as a
// pattern: whoever sends it chooses what the exclusion holds.
func redacted(key string) bool {
	return !plainKey.MatchString(key) || key[0] == '/' && key[len(key)-1] == '/' || len(key) >= 64 || strings.Contains(key, "000000") || strings.Contains(key, "@") && strings.Contains(key, ".")
}

func volatile(variable string) bool {
	name, _ := cutTarget(variable)
	return slices.Contains([]string{"TX", "MATCHED_VAR", "MATCHED_VARS", "MATCHED_VAR_NAME", "MATCHED_VARS_NAMES", "RULE", "ENV", "UNIQUE_ID"}, name)
}

// choose finds a smallest set of suspects to remove: per event the heaviest
// first, preferring those other events need too, then whatever proves
// dispensable is given back. Only suspects with a match that may is true of are
// chosen; nil is true of all.
func choose(events []filters.Event, limit func(filters.Event) thresholds, w widen, may func(filters.Match) bool) (choice, error) {
	wanted := map[suspect]int{} // in how many events
	for _, e := range events {
		for _, s := range suspectsOf(e, w) {
			wanted[s]++
		}
	}
	removed := map[suspect]bool{}
	for _, e := range events {
		open := suspectsOf(e, w)
		if may != nil {
			open = slices.DeleteFunc(open, func(s suspect) bool {
				return !slices.ContainsFunc(e.Matches, func(m filters.Match) bool { return w.of(m) == s && may(m) })
			})
		}
		if err := chooseFor(e, limit(e), w, open, wanted, removed); err != nil {
			return nil, err
		}
	}
	giveBack(events, limit, w, removed)
	out := make(choice, len(events))
	for i, e := range events {
		for _, s := range suspectsOf(e, w) {
			if removed[s] {
				out[i] = append(out[i], s)
			}
		}
	}
	return out, nil
}

func chooseFor(e filters.Event, t thresholds, w widen, order []suspect, wanted map[suspect]int, removed map[suspect]bool) error {
	if e.Engine != "waf" && e.Engine != "" {
		return fmt.Errorf("%w: event %s was raised by a limit, not by a rule (%s); change the policy's limits instead", ErrNotExcludable, e.ID, e.Reason)
	}
	points := pointsOf(e, t, w)
	slices.SortStableFunc(order, func(a, b suspect) int {
		return cmp.Or(cmp.Compare(points[b], points[a]), cmp.Compare(wanted[b], wanted[a]), a.compare(b))
	})
	gone := func(m filters.Match) bool { return removed[w.of(m)] }
	for _, s := range order {
		if remaining(e, t, gone).passes(t) {
			return nil
		}
		if helps(e, t, w, gone, s) {
			removed[s] = true
		}
	}
	if left := remaining(e, t, gone); !left.passes(t) {
		return fmt.Errorf("%w: event %s lists %d matches of %d, the rest keeps its score at %d", ErrNotExcludable, e.ID, len(e.Matches), len(e.Matches)+e.MoreMatches, left.in)
	}
	return nil
}

// helps: removing s takes away something that stands in the event's way.
func helps(e filters.Event, t thresholds, w widen, gone func(filters.Match) bool, s suspect) bool {
	r := remaining(e, t, gone)
	for _, m := range e.Matches {
		if w.of(m) != s {
			continue
		}
		if slices.Contains(deniers(e, t), m.Rule) || m.Score > 0 && (m.Phase <= 2 && r.in >= t.inbound || m.Phase > 2 && r.out >= t.outbound) {
			return true
		}
	}
	return false
}

// giveBack returns suspects that turned out not to be needed, lightest first.
func giveBack(events []filters.Event, limit func(filters.Event) thresholds, w widen, removed map[suspect]bool) {
	list := make([]suspect, 0, len(removed))
	for s := range removed {
		list = append(list, s)
	}
	slices.SortFunc(list, suspect.compare)
	for _, s := range list {
		removed[s] = false
		for _, e := range events {
			if !remaining(e, limit(e), func(m filters.Match) bool { return removed[w.of(m)] }).passes(limit(e)) {
				removed[s] = true
				break
			}
		}
	}
}

// suspectsOf lists what matched in e, each once, in the order of evaluation.
func suspectsOf(e filters.Event, w widen) []suspect {
	var out []suspect
	for _, m := range e.Matches {
		if s := w.of(m); !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}

func pointsOf(e filters.Event, t thresholds, w widen) map[suspect]int {
	points := map[suspect]int{}
	for _, m := range e.Matches {
		points[w.of(m)] += m.Score
		if slices.Contains(deniers(e, t), m.Rule) { // nothing weighs more
			points[w.of(m)] += 1 << 20
		}
	}
	return points
}

// deniers are the rules of an event that deny by themselves: the engine's base
// rules, which have no points; and an author's own rules without points, when
// nothing else explains the denial.
func deniers(e filters.Event, t thresholds) []int {
	points := map[int]int{}
	for _, m := range e.Matches {
		points[m.Rule] += m.Score
	}
	var base, custom []int
	for _, m := range e.Matches {
		switch {
		case points[m.Rule] > 0:
		case m.Rule >= firstForeignRule && !slices.Contains(base, m.Rule):
			base = append(base, m.Rule)
		case m.Rule < firstForeignRule && !slices.Contains(custom, m.Rule):
			custom = append(custom, m.Rule)
		}
	}
	if len(base) == 0 && e.Decision != filters.Allow && e.Score < t.inbound && e.OutScore < t.outbound {
		return custom
	}
	return base
}

// firstForeignRule: ids below are an author's own.
const firstForeignRule = 100_000

// sum is what is left of an event's findings.
type sum struct {
	in, out int
	deniers int // rules left that deny by themselves
}

func (s sum) passes(t thresholds) bool {
	return s.in < t.inbound && s.out < t.outbound && s.deniers == 0
}

// remaining adds up an event's findings without those that are gone. What the
// event does not list stays.
func remaining(e filters.Event, t thresholds, gone func(filters.Match) bool) sum {
	r := sum{in: e.Score, out: e.OutScore}
	denying := deniers(e, t)
	for _, m := range e.Matches {
		switch g := gone(m); {
		case !g && slices.Contains(denying, m.Rule):
			r.deniers++
		case g && m.Phase <= 2:
			r.in -= m.Score
		case g:
			r.out -= m.Score
		}
	}
	return r
}
