package wafrules

import (
	"fmt"
	"strings"
)

// directive is one SecLang directive as the engine's parser reads it: physical
// lines trimmed, comments dropped, lines ending in a backslash joined.
type directive struct {
	name string // lower case: "secrule"
	text string // the joined line
	args int    // offset of the arguments in text
	line int    // of the first physical line, from 1
	from []origin
}

// origin says where a stretch of directive.text came from.
type origin struct{ offset, line, column int }

// at gives the line and column of an offset into text.
func (d directive) at(offset int) (line, column int) {
	o := d.from[0]
	for _, f := range d.from {
		if f.offset > offset {
			break
		}
		o = f
	}
	return o.line, o.column + offset - o.offset
}

// maxLine bounds a physical line: the engine's scanner stops without a word at
// 64 KiB, and everything after it would be lost.
const maxLine = 60 << 10

// parseSecLang splits a text into directives exactly as the engine does. The
// problems are texts the engine would swallow or misread without an error.
func parseSecLang(text string) ([]directive, []Problem) {
	var out []directive
	var problems []Problem
	var cur directive
	var buf strings.Builder
	bad := func(line, column int, format string, args ...any) {
		problems = append(problems, Problem{Line: line, Column: column, Message: fmt.Sprintf(format, args...), Fatal: true})
	}
	for i, raw := range strings.Split(text, "\n") {
		raw = strings.TrimSuffix(raw, "\r")
		n := i + 1
		if len(raw) > maxLine {
			bad(n, 1, "line is longer than %d bytes", maxLine)
			continue
		}
		if c := strings.IndexFunc(raw, isControl); c >= 0 {
			bad(n, c+1, "control character %q", raw[c])
			continue
		}
		line := strings.TrimSpace(raw)
		if line == "" || line[0] == '#' {
			continue
		}
		if line[0] == '`' || strings.HasSuffix(line, "`") {
			bad(n, strings.IndexByte(raw, '`')+1, "a data set between backticks is not allowed")
			continue
		}
		column := strings.Index(raw, line) + 1
		if buf.Len() == 0 {
			cur = directive{line: n}
		}
		cur.from = append(cur.from, origin{buf.Len(), n, column})
		if body, more := strings.CutSuffix(line, `\`); more {
			buf.WriteString(body)
			continue
		}
		buf.WriteString(line)
		cur.text = buf.String()
		buf.Reset()
		name, _, ok := strings.Cut(cur.text, " ")
		cur.name, cur.args = strings.ToLower(name), len(cur.text)
		if ok {
			cur.args = len(name) + 1
		}
		out = append(out, cur)
	}
	if buf.Len() > 0 {
		line, column := cur.line, 1
		bad(line, column, "text ends in a continuation: the last line must not end in a backslash")
	}
	return out, problems
}

func isControl(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }

// secRule is a parsed SecRule or SecAction. Offsets are into directive.text.
type secRule struct {
	variables  string
	varsAt     int
	operator   string // with @ and !, as written; "" for SecAction
	operatorAt int
	actions    []action
}

// action is one item of an action list, key in lower case.
type action struct {
	key, value string
	at         int
}

func (r secRule) get(key string) (action, bool) {
	for _, a := range r.actions {
		if a.key == key {
			return a, true
		}
	}
	return action{}, false
}

// rule parses the arguments of a SecRule or SecAction.
func (d directive) rule() (secRule, error) {
	if d.name == "secaction" {
		text, at := unquote(d.text[d.args:], d.args)
		return secRule{actions: parseActions(text, at)}, nil
	}
	var r secRule
	rest, at := trimLeft(d.text[d.args:], d.args)
	vars, tail, ok := strings.Cut(rest, " ")
	if !ok {
		return r, fmt.Errorf("a rule needs variables, an operator in quotes and actions in quotes")
	}
	r.variables, r.varsAt = vars, at
	tail, at = trimLeft(tail, at+len(vars)+1)
	quoted, rest, err := cutQuoted(tail)
	if err != nil {
		return r, fmt.Errorf("operator: %w", err)
	}
	r.operator = strings.ReplaceAll(quoted[1:len(quoted)-1], `\"`, `"`)
	r.operatorAt = at + 1
	rest, at = trimLeft(rest, at+len(quoted))
	rest = strings.TrimRight(rest, " ")
	if rest == "" {
		return r, nil
	}
	if len(rest) < 2 || rest[0] != '"' || rest[len(rest)-1] != '"' {
		return r, fmt.Errorf("actions: not in quotes")
	}
	r.actions = parseActions(rest[1:len(rest)-1], at+1)
	return r, nil
}

func trimLeft(s string, at int) (string, int) {
	t := strings.TrimLeft(s, " ")
	return t, at + len(s) - len(t)
}

// unquote drops one pair of quotes around s, if there is one.
func unquote(s string, at int) (string, int) {
	s, at = trimLeft(s, at)
	s = strings.TrimRight(s, " ")
	if len(s) >= 2 && (s[0] == '"' || s[0] == '\'') && s[len(s)-1] == s[0] {
		return s[1 : len(s)-1], at + 1
	}
	return s, at
}

// cutQuoted takes a double-quoted string off the front of s. A quote after an
// odd number of backslashes is part of the string.
func cutQuoted(s string) (quoted, rest string, err error) {
	if s == "" || s[0] != '"' {
		return "", "", fmt.Errorf("not in quotes")
	}
	slashes := 0
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == '\\':
			slashes++
			continue
		case s[i] == '"' && slashes%2 == 0:
			return s[:i+1], s[i+1:], nil
		}
		slashes = 0
	}
	return "", "", fmt.Errorf("closing quote is missing")
}

// parseActions splits an action list at commas outside single quotes. Like the
// engine it looks at the second byte first and skips what follows a backslash.
func parseActions(s string, at int) []action {
	var out []action
	start, colon, quoted := 0, -1, false
	emit := func(end int) {
		key, value := s[start:end], ""
		if colon >= 0 {
			key, value = s[start:colon], strings.TrimSpace(s[colon+1:end])
		}
		value, _ = unquote(value, 0)
		trimmed := strings.TrimLeft(key, " \t")
		out = append(out, action{key: strings.ToLower(strings.TrimSpace(key)), value: value, at: at + start + len(key) - len(trimmed)})
	}
	for i := 1; i < len(s); i++ {
		switch c := s[i]; {
		case s[i-1] == '\\':
		case c == '\'':
			quoted = !quoted
		case quoted:
		case c == ':' && colon < 0:
			colon = i
		case c == ',':
			emit(i)
			start, colon = i+1, -1
		}
	}
	emit(len(s))
	return out
}

// target is one variable a rule looks at: "ARGS:q", "&ARGS", "!ARGS:x".
type target struct {
	name   string // upper case: "ARGS"
	key    string // "q", "/regex/", ""
	negate bool
	count  bool
	at     int
}

func (t target) String() string {
	s := t.name
	if t.key != "" {
		s += ":" + t.key
	}
	if t.count {
		s = "&" + s
	}
	if t.negate {
		s = "!" + s
	}
	return s
}

// parseTargets splits a variable list. A pipe inside /…/ belongs to the regex.
func parseTargets(s string, at int) []target {
	var out []target
	start, regex := 0, false
	emit := func(end int) {
		item := strings.Trim(strings.TrimSpace(s[start:end]), `"`)
		t := target{at: at + start}
		for item != "" && (item[0] == '!' || item[0] == '&') {
			t.negate = t.negate || item[0] == '!'
			t.count = t.count || item[0] == '&'
			item = item[1:]
		}
		name, key, _ := strings.Cut(item, ":")
		t.name, t.key = strings.ToUpper(name), strings.Trim(key, "'")
		if t.name != "" {
			out = append(out, t)
		}
	}
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '/' && !regex && i > 0 && (s[i-1] == ':' || s[i-1] == '\''):
			regex = true
		case s[i] == '/' && regex && s[i-1] != '\\':
			regex = false
		case s[i] == '|' && !regex:
			emit(i)
			start = i + 1
		}
	}
	emit(len(s))
	return out
}
