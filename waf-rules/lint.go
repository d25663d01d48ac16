package wafrules

import (
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// Lint reports everything an author of s should mend: refused or broken custom
// rules and exclusions (Fatal), and those that can do nothing. A Problem's Path
// leads into Settings. What only the engine can find (an operator's argument)
// is chain.Check's.
func Lint(s Settings, c Context) []Problem {
	if err := s.Validate(); err != nil {
		return []Problem{{Message: err.Error(), Fatal: true}}
	}
	l, err := newLinter(s, c)
	if err != nil {
		return []Problem{{Message: err.Error(), Fatal: true}}
	}
	for i, text := range s.Rules {
		l.at = fmt.Sprintf("rules[%d]", i)
		refused := CheckCustom(text)
		for _, p := range refused {
			p.Path = l.at
			l.problems = append(l.problems, p)
		}
		if len(refused) == 0 {
			l.snippet(text)
		}
	}
	l.markers()
	for i, x := range s.Exclusions {
		l.at = fmt.Sprintf("exclusions[%d]", i)
		l.exclusion(x)
	}
	return l.problems
}

// linter holds what the checks compare with.
type linter struct {
	settings Settings
	profile  *Profile
	context  Context
	rules    map[int]Rule // of the profile, the base and the author
	tags     map[string][]int
	known    map[string]bool // markers that exist
	marks    []markUse       // custom markers and jumps
	at       string
	problems []Problem
}

type markUse struct {
	name         string
	jump         bool // skipAfter; else the marker itself
	path         string
	line, column int
}

func newLinter(s Settings, c Context) (*linter, error) {
	profile, err := LoadProfile(s.Profile)
	if err != nil {
		return nil, err
	}
	catalogue, err := profile.catalogue()
	if err != nil {
		return nil, err
	}
	l := &linter{settings: s, profile: profile, context: c, rules: map[int]Rule{}, tags: map[string][]int{}, known: map[string]bool{}}
	for _, r := range catalogue {
		l.add(r)
	}
	if err := l.profileMarkers(); err != nil {
		return nil, err
	}
	for i, text := range s.Rules {
		for _, r := range RuleText("custom", text) {
			if _, twice := l.rules[r.ID]; twice && r.ID > 0 {
				l.problems = append(l.problems, Problem{Path: fmt.Sprintf("rules[%d]", i), Line: r.Line, Column: 1, Fatal: true,
					Message: fmt.Sprintf("id %d is used twice", r.ID)})
			}
			l.add(r)
		}
	}
	return l, nil
}

func (l *linter) add(r Rule) {
	l.rules[r.ID] = r
	for _, tag := range r.Tags {
		l.tags[tag] = append(l.tags[tag], r.ID)
	}
}

// profileMarkers learns the markers of the profile's rules.
func (l *linter) profileMarkers() error {
	files := l.profile.Files()
	names, err := ruleFiles(files)
	if err != nil {
		return err
	}
	for _, name := range names {
		if !strings.HasSuffix(name, ".conf") {
			continue
		}
		text, err := fs.ReadFile(files, path.Join(crsDir, name))
		if err != nil {
			return err
		}
		for _, line := range strings.Split(string(text), "\n") {
			if mark, ok := strings.CutPrefix(line, "SecMarker "); ok {
				mark, _ = unquote(mark, 0)
				l.known[mark] = true
			}
		}
	}
	return nil
}

// idle reports a part that is used and can do nothing.
func (l *linter) idle(field string, line, column int, format string, args ...any) {
	at := l.at
	if field != "" {
		at += "." + field
	}
	l.problems = append(l.problems, Problem{Path: at, Line: line, Column: column, Message: fmt.Sprintf(format, args...)})
}

// markers compares jumps with the markers they jump to.
func (l *linter) markers() {
	used := map[string]bool{}
	for _, m := range l.marks {
		if m.jump {
			used[m.name] = true
		} else {
			l.known[m.name] = true
		}
	}
	for _, m := range l.marks {
		l.at = m.path
		switch {
		case m.jump && !l.known[m.name]:
			l.idle("", m.line, m.column, "skipAfter:%s skips every rule that follows: there is no SecMarker of that name", m.name)
		case !m.jump && !used[m.name]:
			l.idle("", m.line, m.column, "no rule jumps to marker %s", m.name)
		}
	}
}

// looksAt says whether an exclusion or update of target reaches a variable of
// the rule. The engine compares variables by name: ARGS is not ARGS_GET.
func (r Rule) looksAt(name, key string) bool {
	for _, link := range append([]Rule{r}, r.Chain...) {
		for _, v := range link.Variables {
			if strings.HasPrefix(v, "!") {
				continue
			}
			n, k, _ := strings.Cut(strings.TrimPrefix(v, "&"), ":")
			if n != name {
				continue
			}
			if k == "" || key == "" || strings.EqualFold(k, key) || isRegexKey(k) || isRegexKey(key) {
				return true
			}
		}
	}
	return false
}

// runs says why a rule never runs under the settings, "" when it does.
func (l *linter) runs(r Rule) string {
	switch {
	case r.Paranoia > l.settings.Level():
		return fmt.Sprintf("rule %d belongs to paranoia level %d; level %d is in force", r.ID, r.Paranoia, l.settings.Level())
	case !l.context.ResponseBody && onlyLooksAt(r, responseBodyVariables()):
		return fmt.Sprintf("rule %d looks at response bodies, which are not inspected (responseBody.inspect)", r.ID)
	case !l.context.RequestBody && onlyLooksAt(r, requestBodyVariables()):
		return fmt.Sprintf("rule %d looks at request bodies, which are not inspected (requestBody.inspect)", r.ID)
	}
	return ""
}

func responseBodyVariables() []string {
	return []string{"RESPONSE_BODY", "RESPONSE_ARGS", "RESPONSE_XML", "RESPONSE_CONTENT_LENGTH", "OUTBOUND_DATA_ERROR"}
}

func requestBodyVariables() []string {
	return []string{"REQUEST_BODY", "REQUEST_BODY_LENGTH", "ARGS_POST", "ARGS_POST_NAMES", "FILES", "FILES_NAMES", "FILES_SIZES",
		"FILES_COMBINED_SIZE", "FILES_TMPNAMES", "FILES_TMP_CONTENT", "MULTIPART_FILENAME", "MULTIPART_NAME", "MULTIPART_PART_HEADERS",
		"MULTIPART_STRICT_ERROR", "REQBODY_ERROR", "REQBODY_ERROR_MSG", "REQBODY_PROCESSOR_ERROR", "REQUEST_XML", "XML", "INBOUND_DATA_ERROR"}
}

// onlyLooksAt says that the rule's first link can see nothing else.
func onlyLooksAt(r Rule, names []string) bool {
	n := 0
	for _, v := range r.Variables {
		if strings.HasPrefix(v, "!") {
			continue
		}
		if strings.HasPrefix(v, "&") {
			return false // counts nothing as 0, which can match
		}
		name, _, _ := strings.Cut(v, ":")
		if !slices.Contains(names, name) {
			return false
		}
		n++
	}
	return n > 0 && !strings.HasPrefix(r.Operator, "!")
}
