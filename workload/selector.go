package workload

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Operator is how a Requirement compares.
type Operator string

// Kubernetes' four operators, with its meanings.
const (
	In           Operator = "In"
	NotIn        Operator = "NotIn" // also where the label is missing
	Exists       Operator = "Exists"
	DoesNotExist Operator = "DoesNotExist"
)

// Requirement is one thing that a Selector demands of labels.
type Requirement struct {
	Label    string
	Operator Operator
	Values   []string // for In and NotIn
}

// Selector picks labels: all its requirements must hold. The zero value picks
// everything.
type Selector struct {
	Requirements []Requirement
}

// MatchLabels is the selector that demands these very values.
func MatchLabels(l Labels) Selector {
	var s Selector
	for _, name := range slices.Sorted(maps.Keys(l)) {
		s.Requirements = append(s.Requirements, Requirement{name, In, []string{l[name]}})
	}
	return s
}

// Split takes a selector apart into what MatchLabels can say, nil if nothing, and
// the rest, in order. Of several values demanded of one label the first is an
// equality.
func (s Selector) Split() (equal map[string]string, rest []Requirement) {
	for _, r := range s.Requirements {
		if _, twice := equal[r.Label]; twice || r.Operator != In || len(r.Values) != 1 {
			rest = append(rest, r)
			continue
		}
		if equal == nil {
			equal = map[string]string{}
		}
		equal[r.Label] = r.Values[0]
	}
	return equal, rest
}

// Check says what is wrong with a selector.
func (s Selector) Check() error {
	for i, r := range s.Requirements {
		if err := r.check(); err != nil {
			return fmt.Errorf("requirement %d: %w", i, err)
		}
	}
	return nil
}

func (r Requirement) check() error {
	switch r.Operator {
	case In, NotIn:
		if len(r.Values) == 0 {
			return fmt.Errorf("%s of label %q needs values", r.Operator, r.Label)
		}
	case Exists, DoesNotExist:
		if len(r.Values) > 0 {
			return fmt.Errorf("%s of label %q takes no values", r.Operator, r.Label)
		}
	default:
		return fmt.Errorf("operator %q is not one of In, NotIn, Exists, DoesNotExist", r.Operator)
	}
	if r.Label == "" {
		return fmt.Errorf("%s names no label", r.Operator)
	}
	return nil
}

// Empty says whether the selector picks everything.
func (s Selector) Empty() bool { return len(s.Requirements) == 0 }

// Matches says whether labels are picked.
func (s Selector) Matches(l Labels) bool { return s.MatchesBy(l.Get) }

// MatchesBy is Matches over labels that are looked up.
func (s Selector) MatchesBy(get func(name string) (string, bool)) bool {
	for _, r := range s.Requirements {
		if !r.matches(get(r.Label)) {
			return false
		}
	}
	return true
}

func (r Requirement) matches(v string, there bool) bool {
	switch r.Operator {
	case In:
		return there && slices.Contains(r.Values, v)
	case NotIn:
		return !there || !slices.Contains(r.Values, v)
	case Exists:
		return there
	case DoesNotExist:
		return !there
	}
	return false
}

// String is what kubectl would take: "app=web,tier in (a,b),!debug".
func (s Selector) String() string {
	parts := make([]string, len(s.Requirements))
	for i, r := range s.Requirements {
		parts[i] = r.String()
	}
	return strings.Join(parts, ",")
}

func (r Requirement) String() string {
	switch {
	case r.Operator == In && len(r.Values) == 1:
		return r.Label + "=" + r.Values[0]
	case r.Operator == In:
		return r.Label + " in (" + strings.Join(r.Values, ",") + ")"
	case r.Operator == NotIn:
		return r.Label + " notin (" + strings.Join(r.Values, ",") + ")"
	case r.Operator == DoesNotExist:
		return "!" + r.Label
	}
	return r.Label
}
