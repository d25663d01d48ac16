package wafrules

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// A rule may switch the whole inspection off, and look harmless: it is accepted,
// because somebody may want just that, and reported, because most do not.

// deciders are the rule set's rules that deny by the scores of all others.
func deciders() []int { return []int{949110, 949111, 959100, 959101} }

// always: the rule matches every request.
func always(d directive, r secRule, chained bool) bool {
	if _, chain := r.get("chain"); chain || chained {
		return false
	}
	return d.name == "secaction" || strings.EqualFold(strings.TrimSpace(r.operator), "@unconditionalMatch")
}

// directiveOff looks at what a directive takes away for good.
func (l *linter) directiveOff(d directive) {
	fields := strings.Fields(strings.ReplaceAll(d.text[d.args:], `"`, " "))
	var ids []int
	switch d.name {
	case "secruleremovebyid":
		for _, f := range fields {
			ids = append(ids, l.inRange(f)...)
		}
	case "secruleremovebytag":
		tag, _ := unquote(d.text[d.args:], 0)
		ids = l.tags[tag]
	case "secruleupdateactionbyid":
		l.updatedOff(d, fields)
		return
	default:
		return
	}
	l.off("", ids, "", d.line, 1)
}

// updatedOff finds deciding rules that are told to pass.
func (l *linter) updatedOff(d directive, fields []string) {
	if len(fields) < 2 {
		return
	}
	actions := strings.Split(strings.ToLower(strings.Join(fields[1:], "")), ",")
	if !slices.Contains(actions, "pass") && !slices.Contains(actions, "allow") {
		return
	}
	for _, id := range l.inRange(fields[0]) {
		if slices.Contains(deciders(), id) {
			l.idle("", d.line, 1, "rule %d is what denies by the score: told to pass, nothing that is found is denied", id)
			return
		}
	}
}

// ctlOff looks at what a rule takes away in the requests that it matches.
func (l *linter) ctlOff(value string, every bool, line, column int) {
	option, which, _ := strings.Cut(value, "=")
	var ids []int
	switch strings.ToLower(option) {
	case "ruleremovebyid":
		ids = l.inRange(which)
	case "ruleremovebytag":
		ids = l.tags[which]
	}
	when := "where this rule matches, "
	if every {
		when = "in every request, "
	}
	l.off("", ids, when, line, column)
}

// off says what taking rules away switches off: all denying, or most of what
// finds. One rule or one family is an exclusion like any other.
func (l *linter) off(field string, ids []int, when string, line, column int) {
	var gone []string
	for _, id := range deciders() {
		if slices.Contains(ids, id) {
			gone = append(gone, strconv.Itoa(id))
		}
	}
	finding, lost := 0, 0
	for id, r := range l.rules {
		if r.Score == 0 || r.Outbound || r.Paranoia > l.settings.ParanoiaLevel {
			continue
		}
		finding++
		if slices.Contains(ids, id) {
			lost++
		}
	}
	var what []string
	if len(gone) > 0 {
		what = append(what, fmt.Sprintf("what denies by the score (%s)", strings.Join(gone, ", ")))
	}
	if finding > 0 && 2*lost >= finding {
		what = append(what, fmt.Sprintf("%d of the %d rules that find attacks in requests", lost, finding))
	}
	if len(what) > 0 {
		l.idle(field, line, column, "%sthis switches off %s", when, strings.Join(what, " and "))
	}
}
