package workload

import (
	"fmt"
	"strings"
)

// ParseSelector reads what Selector.String writes and kubectl takes:
// "app=web,tier in (a,b),zone notin (c),debug,!canary".
func ParseSelector(text string) (Selector, error) {
	var s Selector
	for _, part := range splitRequirements(text) {
		r, err := parseRequirement(strings.TrimSpace(part))
		if err != nil {
			return Selector{}, fmt.Errorf("read selector %q: %w", text, err)
		}
		s.Requirements = append(s.Requirements, r)
	}
	return s, nil
}

// splitRequirements cuts at commas that stand in no parentheses.
func splitRequirements(text string) (out []string) {
	if strings.TrimSpace(text) == "" {
		return nil
	}
	depth, from := 0, 0
	for i, c := range text {
		switch {
		case c == '(':
			depth++
		case c == ')':
			depth--
		case c == ',' && depth == 0:
			out = append(out, text[from:i])
			from = i + 1
		}
	}
	return append(out, text[from:])
}

func parseRequirement(text string) (Requirement, error) {
	var r Requirement
	label, list, in := strings.Cut(text, " in (")
	if in {
		r = Requirement{Label: label, Operator: In}
	} else if label, list, in = strings.Cut(text, " notin ("); in {
		r = Requirement{Label: label, Operator: NotIn}
	}
	switch {
	case in:
		list, closed := strings.CutSuffix(strings.TrimSpace(list), ")")
		if !closed {
			return r, fmt.Errorf("%q has no closing parenthesis", text)
		}
		for _, v := range strings.Split(list, ",") {
			r.Values = append(r.Values, strings.TrimSpace(v))
		}
	case strings.Contains(text, "="):
		label, value, _ := strings.Cut(text, "=")
		label, not := strings.CutSuffix(label, "!")
		r = Requirement{label, In, []string{strings.TrimSpace(strings.TrimPrefix(value, "="))}}
		if not {
			r.Operator = NotIn
		}
	case strings.HasPrefix(text, "!"):
		r = Requirement{Label: text[1:], Operator: DoesNotExist}
	default:
		r = Requirement{Label: text, Operator: Exists}
	}
	r.Label = strings.TrimSpace(r.Label)
	for _, word := range append([]string{r.Label}, r.Values...) {
		if strings.ContainsAny(word, " \t()!=,\"") {
			return r, fmt.Errorf("%q is no label or value", word)
		}
	}
	return r, r.check()
}
