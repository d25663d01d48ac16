package proposal

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/gabion-io/gabion/filters"
)

// A suggestion is about one field: a parameter of one operation. Every event
// that would pass without the rules that matched in that field is a voice for
// taking those rules away from it, and voices are counted for each rule by
// itself. What an attacker adds to a field that really does misfire stays out.

// field is one variable of one operation, or of every operation where the
// variable comes with each request.
type field struct {
	policy, route, method, host, path string
	target                            string // array indices made alike
	carried                           bool   // it comes with every request
}

func (f field) compare(o field) int {
	return cmp.Or(cmp.Compare(f.policy, o.policy), cmp.Compare(f.route, o.route), cmp.Compare(f.host, o.host),
		cmp.Compare(f.path, o.path), cmp.Compare(f.method, o.method), cmp.Compare(f.target, o.target), cmp.Compare(rank(f.carried), rank(o.carried)))
}

func rank(yes bool) int {
	if yes {
		return 1
	}
	return 0
}

// everywhere: cookies and headers are not an operation's; where they misfire
// they do so wherever the client goes. What was read from one stands among the
// arguments, under its name.
func everywhere(e filters.Event, target string) bool {
	name, _ := cutTarget(target)
	if name == "REQUEST_COOKIES" || name == "REQUEST_HEADERS" {
		return true
	}
	found := false
	for _, m := range e.Matches {
		if alike(m) != target {
			continue
		}
		if !strings.HasPrefix(m.Read, "cookie") && !strings.HasPrefix(m.Read, "header") {
			return false
		}
		found = true
	}
	return found
}

// foreign: the target was read from the address of the page before, whose
// parameters have their names from anybody; an exclusion by such a name would be of
// the site's own parameters.
func foreign(e filters.Event, target string) bool {
	return slices.ContainsFunc(e.Matches, func(m filters.Match) bool { return alike(m) == target && strings.HasPrefix(m.Read, "Referer") })
}

// nameable: gabion suggests nothing wider than one parameter by itself, and nothing
// of an answer, where no attack can be sent and so no price be told. Whoever wants a
// rule away from all arguments, the body or an answer asks for it.
func nameable(target string) bool {
	name, key := cutTarget(target)
	switch {
	case name == "XML", strings.HasPrefix(name, "RESPONSE_"):
		return false
	case key != "":
		return true
	}
	return slices.Contains([]string{"REQUEST_METHOD", "REQUEST_PROTOCOL", "REQUEST_FILENAME", "REQUEST_BASENAME"}, name)
}

// voice is one event that speaks for one field.
type voice struct {
	event filters.Event
	at    field // as the event says
	field field // with the template of its path
	rules []int // those that have to go from the field
}

// voicesOf lists the fields each of which alone stands between an event and
// passing; most events have one.
func voicesOf(e filters.Event, t thresholds) []voice {
	if !countable(e, t) {
		return nil
	}
	return speak(e, t)
}

// unnamed: the event would be a voice, but what stands between it and passing is
// nothing that gabion names by itself.
func unnamed(e filters.Event, t thresholds) bool {
	return countable(e, t) && slices.ContainsFunc(targetsOf(e), func(target string) bool { return len(needed(e, t, target)) > 0 })
}

// speak is voicesOf whether the event is countable or not.
func speak(e filters.Event, t thresholds) []voice {
	var out []voice
	for _, target := range targetsOf(e) {
		if rules := needed(e, t, target); len(rules) > 0 && nameable(target) && !foreign(e, target) {
			at := fieldOf(e, target)
			out = append(out, voice{event: e, at: at, field: at, rules: rules})
		}
	}
	return out
}

func fieldOf(e filters.Event, target string) field {
	at := scopeOf(e)
	f := field{policy: e.Policy, route: e.Route, method: at.method, host: at.host, path: e.Path, target: target, carried: everywhere(e, target)}
	if f.carried {
		f.method, f.path = "", ""
	}
	return f
}

func targetsOf(e filters.Event) []string {
	var out []string
	for _, m := range e.Matches {
		if t := alike(m); !slices.Contains(out, t) {
			out = append(out, t)
		}
	}
	return out
}

// alike is a match's target with array indices made alike.
func alike(m filters.Match) string { return withoutIndices(usableTarget(m.Rule, m.Variable)) }

// needed are the rules that have to go from a target so that the event passes,
// heaviest first; none when that would not be enough.
func needed(e filters.Event, t thresholds, target string) []int {
	points := map[int]int{}
	for _, m := range e.Matches {
		if alike(m) == target {
			points[m.Rule] += m.Score
			if slices.Contains(deniers(e, t), m.Rule) {
				points[m.Rule] += 1 << 20
			}
		}
	}
	var order []int
	for rule := range points {
		order = append(order, rule)
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Or(cmp.Compare(points[b], points[a]), cmp.Compare(a, b)) })
	for n := 1; n <= len(order); n++ {
		gone := func(m filters.Match) bool { return alike(m) == target && slices.Contains(order[:n], m.Rule) }
		if remaining(e, t, gone).passes(t) {
			return order[:n]
		}
	}
	return nil
}

// countable: the event may be evidence at all. An event that also looks like
// another class of attack never is, nor one that a strong rule found.
func countable(e filters.Event, t thresholds) bool {
	if e.Client == "" || len(e.Matches) == 0 || e.MoreMatches > 0 || e.Engine == "chain" {
		return false
	}
	return !alarming(e, t)
}

// support is who spoke for one rule in one field, and when first.
type support map[string]time.Time

func (s support) add(who string, at time.Time) {
	if t, spoke := s[who]; !spoke || at.Before(t) {
		s[who] = at
	}
}

// enough distinct clients, over enough time, not all at once. Each client speaks
// once, by its first event: coming back spreads no evidence.
func (r SuggestRules) enough(s support) bool {
	if len(s) < r.Clients {
		return false
	}
	hours := map[int64]bool{}
	var first, last time.Time
	for _, t := range s {
		hours[t.Unix()/3600] = true
		if first.IsZero() || t.Before(first) {
			first = t
		}
		if t.After(last) {
			last = t
		}
	}
	return len(hours) >= r.Buckets && last.Sub(first) >= r.Spread
}

// claim is one rule in one field.
type claim struct {
	field field
	rule  int
}

// supported counts the voices and returns the claims that have enough.
func (r SuggestRules) supported(voices []voice) map[claim]support {
	out := map[claim]support{}
	for _, v := range voices {
		for _, rule := range v.rules {
			c := claim{v.field, rule}
			if out[c] == nil {
				out[c] = support{}
			}
			out[c].add(clientOf(v.event), v.event.Time)
		}
	}
	for c, s := range out {
		if !r.enough(s) {
			delete(out, c)
		}
	}
	return out
}

// heard: everything the voice asks for is supported.
func (v voice) heard(claims map[claim]support) bool {
	for _, rule := range v.rules {
		if claims[claim{v.field, rule}] == nil {
			return false
		}
	}
	return true
}

// belief is what is known to misfire, and by whom.
type belief struct {
	voices []voice // oldest first, each in its field
	groups grouping
	claims map[claim]support
}

func (r SuggestRules) belief(voices []voice) belief {
	b := belief{voices: voices, groups: r.group(voices)}
	b.claims = r.supported(b.place(voices))
	return b
}

// place gives every voice its field.
func (b belief) place(voices []voice) []voice {
	for i := range voices {
		voices[i].field = b.groups.of(voices[i].at)
	}
	return voices
}

// has: the match is known to misfire in its field.
func (b belief) has(e filters.Event, m filters.Match) bool {
	return b.claims[claim{b.groups.of(fieldOf(e, alike(m))), m.Rule}] != nil
}
