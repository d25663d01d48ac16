package proposal

import (
	"slices"
	"strings"

	"github.com/gabion-io/gabion/filters"
)

// alarming: several classes of attack in one request, or a critical finding with
// twice the points that deny. Sometimes that is a false positive too, but it is
// how attacks look.
func alarming(e filters.Event, t thresholds) bool {
	critical := slices.ContainsFunc(e.Matches, func(m filters.Match) bool { return strings.EqualFold(m.Severity, "critical") })
	return classes(e) > 1 || e.MoreMatches > 0 || critical && strength(e) >= 2*t.inbound
}

// strength is an event's score without what merely confirms: rules of gabion's
// own say of a value that another rule took for an attack what makes it one. In
// each class the strongest of them is no further sign.
func strength(e filters.Event) int {
	confirming := map[string]int{}
	for _, m := range e.Matches {
		if class := classOf(m); confirms(m.Rule) && class != "" {
			confirming[class] = max(confirming[class], m.Score)
		}
	}
	score := e.Score
	for _, points := range confirming {
		score -= points
	}
	return score
}

// confirms: the rule is one of the profiles' own.
func confirms(rule int) bool { return rule >= 201_000 && rule < 202_000 }

// classes counts the kinds of attack the event looks like.
func classes(e filters.Event) int {
	found := map[string]bool{}
	for _, m := range e.Matches {
		for _, tag := range m.Tags {
			if class, ok := strings.CutPrefix(tag, "attack-"); ok {
				found[kin(class)] = true
			}
		}
	}
	return len(found)
}

func classOf(m filters.Match) string {
	for _, tag := range m.Tags {
		if class, ok := strings.CutPrefix(tag, "attack-"); ok {
			return kin(class)
		}
	}
	return ""
}

// kin names a class as the core rule set does, which counts more attacks among
// one than the profiles' own rules do.
func kin(class string) string {
	switch class {
	case "nosqli":
		return "sqli"
	case "java", "deserialisation":
		return "rce"
	}
	return class
}
