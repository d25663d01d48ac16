package wafrules

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// snippet looks for rules of one accepted snippet that can do nothing.
func (l *linter) snippet(text string) {
	directives, _ := parseSecLang(text)
	chained := false
	for _, d := range directives {
		switch d.name {
		case "secrule", "secaction":
			r, err := d.rule()
			if err != nil {
				continue
			}
			l.custom(d, r, chained)
			_, chained = r.get("chain")
		case "secmarker":
			name, _ := unquote(d.text[d.args:], 0)
			l.marks = append(l.marks, markUse{name: name, path: l.at, line: d.line, column: 1})
		case "secruleremovebyid", "secruleupdateactionbyid", "secruleupdatetargetbyid":
			l.byID(d)
			l.directiveOff(d)
		case "secruleremovebytag", "secruleupdatetargetbytag":
			l.byTag(d)
			l.directiveOff(d)
		}
	}
}

func (l *linter) custom(d directive, parsed secRule, chained bool) {
	r := describe("custom", d, parsed)
	for _, a := range parsed.actions {
		line, column := d.at(a.at)
		switch a.key {
		case "skipafter":
			l.marks = append(l.marks, markUse{name: a.value, jump: true, path: l.at, line: line, column: column})
		case "ctl":
			l.ctl(a.value, r.Phase, line, column)
			l.ctlOff(a.value, always(d, parsed, chained), line, column)
		case "allow":
			if always(d, parsed, chained) {
				l.idle("", line, column, "allow lets every request pass here: no rule after this one inspects it")
			}
		case "deny", "drop", "redirect":
			if r.Phase == 5 {
				l.idle("", line, column, "%s does nothing in phase 5: the response has been sent", a.key)
			}
		case "block":
			if !chained && r.Score == 0 && !addsScore(parsed) {
				l.idle("", line, column, "block alone does nothing: write deny, or add to tx.inbound_anomaly_score_pl1")
			}
		}
	}
	if d.name == "secrule" {
		l.phase(d, r, chained)
	}
}

func addsScore(r secRule) bool {
	_, chain := r.get("chain")
	return chain // a later link may add it
}

// phase finds variables that are never set when the rule runs.
func (l *linter) phase(d directive, r Rule, chained bool) {
	if chained {
		return // it runs in the phase of its first rule
	}
	line, column := d.at(d.args)
	var late []string
	if r.Phase == 1 {
		late = append(late, requestBodyVariables()...)
	}
	if r.Phase <= 2 {
		late = append(late, "RESPONSE_STATUS", "RESPONSE_HEADERS", "RESPONSE_HEADERS_NAMES", "RESPONSE_CONTENT_TYPE", "RESPONSE_PROTOCOL", "STATUS_LINE")
	}
	if r.Phase <= 3 {
		late = append(late, responseBodyVariables()...)
	}
	switch why := l.runs(r); {
	case onlyLooksAt(r, late):
		l.idle("", line, column, "in phase %d %s is not known yet", r.Phase, strings.Join(r.Variables, "|"))
	case why != "":
		l.idle("", line, column, "%s", why)
	}
}

// ctl finds removals of rules that do not exist or have run already.
func (l *linter) ctl(value string, phase, line, column int) {
	option, rest, _ := strings.Cut(value, "=")
	which, target, _ := strings.Cut(rest, ";")
	var ids []int
	switch strings.ToLower(option) {
	case "ruleremovebyid", "ruleremovetargetbyid":
		if ids = l.inRange(which); len(ids) == 0 {
			l.idle("", line, column, "no rule has the id %s", clip(which, 32))
			return
		}
	case "ruleremovebytag", "ruleremovetargetbytag":
		if ids = l.tags[which]; len(ids) == 0 {
			l.idle("", line, column, "no rule has the tag %q", clip(which, 64))
			return
		}
	default:
		return
	}
	if !slices.ContainsFunc(ids, func(id int) bool { return l.rules[id].Phase >= phase }) {
		l.idle("", line, column, "the rule has run already: it belongs to phase %d, this one to phase %d", l.rules[ids[0]].Phase, phase)
		return
	}
	if target != "" {
		l.target("", ids, target, line, column)
	}
}

// target reports a variable that none of the rules looks at.
func (l *linter) target(field string, ids []int, target string, line, column int) {
	name, key, _ := strings.Cut(target, ":")
	name = strings.ToUpper(name)
	for _, id := range ids {
		if l.rules[id].looksAt(name, key) {
			return
		}
	}
	if len(ids) == 1 {
		l.idle(field, line, column, "rule %d does not look at %s; it looks at %s", ids[0], target, clip(strings.Join(l.rules[ids[0]].Variables, ", "), 200))
		return
	}
	l.idle(field, line, column, "none of these rules looks at %s", target)
}

func (l *linter) inRange(s string) []int {
	from, to, err := parseRange(strings.Trim(s, `"`))
	if err != nil {
		return nil
	}
	var ids []int
	for id := range l.rules {
		if id >= from && id <= to {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

func (l *linter) byID(d directive) {
	fields := strings.Fields(strings.ReplaceAll(d.text[d.args:], `"`, " "))
	if d.name != "secruleremovebyid" && len(fields) > 1 {
		fields = fields[:1]
	}
	for _, f := range fields {
		ids := l.inRange(f)
		if len(ids) == 0 {
			l.idle("", d.line, 1, "no rule has the id %s", clip(f, 32))
			continue
		}
		if d.name == "secruleupdatetargetbyid" {
			l.updated(d, ids)
		}
	}
}

// updated checks "!ARGS:q" in an update; a target that is added always counts.
func (l *linter) updated(d directive, ids []int) {
	fields := strings.Fields(d.text[d.args:])
	vars, at := unquote(fields[len(fields)-1], strings.LastIndex(d.text, fields[len(fields)-1]))
	for _, t := range parseTargets(strings.ReplaceAll(vars, ",", "|"), at) {
		if !t.negate {
			continue
		}
		line, column := d.at(t.at)
		name := t.name
		if t.key != "" {
			name += ":" + t.key
		}
		l.target("", ids, name, line, column)
	}
}

func (l *linter) byTag(d directive) {
	tag, _ := unquote(d.text[d.args:], 0)
	if d.name == "secruleupdatetargetbytag" {
		tag, _ = unquote(strings.Fields(tag)[0], 0)
		tag = strings.Trim(tag, `"`)
	}
	ids := l.tags[tag]
	if len(ids) == 0 {
		l.idle("", d.line, 1, "no rule has the tag %q", clip(tag, 64))
		return
	}
	if d.name == "secruleupdatetargetbytag" {
		l.updated(d, ids)
	}
}

// exclusion reports an exclusion that is refused, has ended or reaches nothing.
func (l *linter) exclusion(x Exclusion) {
	if err := x.Validate(); err != nil {
		field, message, _ := strings.Cut(err.Error(), ": ")
		l.problems = append(l.problems, Problem{Path: l.at + "." + field, Message: message, Fatal: true})
		return
	}
	if !l.context.Now.IsZero() && x.Expired(l.context.Now) {
		l.idle("expires", 0, 0, "the exclusion ended at %s", x.Expires.UTC().Format("2006-01-02T15:04:05Z"))
		return
	}
	field, ids, name := "rule", []int{x.Rule}, strconv.Itoa(x.Rule)
	if x.Tag != "" {
		field, ids, name = "tag", l.tags[x.Tag], fmt.Sprintf("%q", x.Tag)
	}
	if _, ok := l.rules[ids0(ids)]; !ok {
		l.idle(field, 0, 0, "no rule has the %s %s", map[string]string{"rule": "id", "tag": "tag"}[field], name)
		return
	}
	var why string
	running := slices.DeleteFunc(slices.Clone(ids), func(id int) bool {
		w := l.runs(l.rules[id])
		if w != "" {
			why = w
		}
		return w != ""
	})
	if len(running) == 0 {
		l.idle(field, 0, 0, "%s", why)
		return
	}
	if x.Target != "" {
		l.target("target", running, x.Target, 0, 0)
		return
	}
	if x.Host == "" && x.Method == "" && (x.Path == "" || x.Path == "*" || x.Path == "/*") {
		l.off(field, ids, "", 0, 0)
	}
}

func ids0(ids []int) int {
	if len(ids) == 0 {
		return 0
	}
	return ids[0]
}
