package wafrules

import (
	"fmt"
	"regexp"
	"strings"
	"time"
)

// Expired says whether the exclusion has ended at t.
func (x Exclusion) Expired(t time.Time) bool { return x.Expires != nil && !t.Before(*x.Expires) }

var (
	tagPattern    = regexp.MustCompile(`^[A-Za-z0-9_./ -]{1,128}$`)
	hostPattern   = regexp.MustCompile(`^(\*\.)?[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?$|^\[[0-9A-Fa-f:.]+\]$`)
	methodPattern = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_-]{0,31}$`)
	targetPattern = regexp.MustCompile(`^[A-Z_]+$`)
)

// Validate checks the exclusion's fields; the error begins with the field.
func (x Exclusion) Validate() error {
	switch {
	case x.Rule == 0 && x.Tag == "":
		return fmt.Errorf("rule: an exclusion needs a rule id or a tag")
	case x.Rule != 0 && x.Tag != "":
		return fmt.Errorf("tag: an exclusion has a rule id or a tag, not both")
	case x.Rule < 0 || x.Rule > 999_999:
		return fmt.Errorf("rule: %d is not a rule id", x.Rule)
	case x.Rule >= exclusionID && x.Rule < exclusionID+maxExclusions:
		return fmt.Errorf("rule: %d is the id of an exclusion", x.Rule)
	case x.Tag != "" && !tagPattern.MatchString(x.Tag):
		return fmt.Errorf("tag: %q is not a tag", x.Tag)
	case x.Host != "" && !hostPattern.MatchString(x.Host):
		return fmt.Errorf("host: %q is neither a host name nor \"*.\" and a domain", x.Host)
	case x.Method != "" && !methodPattern.MatchString(x.Method):
		return fmt.Errorf("method: %q is not a method", x.Method)
	case x.Path != "" && x.Path[0] != '/' && x.Path != "*":
		return fmt.Errorf("path: %q does not begin with /", x.Path)
	case strings.Contains(strings.TrimSuffix(x.Path, "*"), "*"):
		return fmt.Errorf("path: %q has a * that is not at its end", x.Path)
	case strings.IndexFunc(x.Path, isControl) >= 0:
		return fmt.Errorf("path: control character")
	}
	if x.Target != "" {
		if err := validTarget(x.Target); err != nil {
			return fmt.Errorf("target: %w", err)
		}
	}
	return nil
}

func validTarget(s string) error {
	name, key, hasKey := strings.Cut(s, ":")
	switch {
	case !targetPattern.MatchString(name):
		return fmt.Errorf("%q does not begin with the name of a variable in capitals", s)
	case !knownVariable(name):
		return fmt.Errorf("there is no variable %s", name)
	case hasKey && key == "":
		return fmt.Errorf("%q has no name after the colon", s)
	case strings.IndexFunc(key, isControl) >= 0:
		return fmt.Errorf("control character")
	}
	if isRegexKey(key) {
		if _, err := regexp.Compile(key[1 : len(key)-1]); err != nil {
			return err
		}
		if strings.ContainsAny(key, `"'`) {
			return fmt.Errorf("quotes in a regular expression: write \\x22 and \\x27")
		}
	}
	return nil
}

func isRegexKey(key string) bool {
	return len(key) > 2 && key[0] == '/' && key[len(key)-1] == '/'
}

// directive renders the exclusion as a rule of phase 1 that takes the excluded
// rule (or its target) out of this one transaction. It ends by itself: the
// expiry is a condition on the engine's clock, in force even when nobody is
// left to send a new configuration.
func (x Exclusion) directive(id int) (string, error) {
	if err := x.Validate(); err != nil {
		return "", err
	}
	conditions := x.conditions()
	if len(conditions) == 0 {
		return fmt.Sprintf("SecAction \"id:%d,phase:1,pass,nolog,t:none,%s\"\n", id, x.ctl()), nil
	}
	var b strings.Builder
	for i, c := range conditions {
		var actions []string
		if i == 0 {
			actions = append(actions, fmt.Sprintf("id:%d,phase:1,pass,nolog", id))
		}
		actions = append(actions, c.transform)
		if i == len(conditions)-1 {
			actions = append(actions, x.ctl())
		} else {
			actions = append(actions, "chain")
		}
		fmt.Fprintf(&b, "SecRule %s \"%s\" \"%s\"\n", c.variable, c.operator, strings.Join(actions, ","))
	}
	return b.String(), nil
}

type condition struct{ variable, operator, transform string }

func (x Exclusion) conditions() []condition {
	var out []condition
	if x.Expires != nil {
		out = append(out, condition{"TIME_EPOCH", fmt.Sprintf("@lt %d", x.Expires.Unix()), "t:none"})
	}
	if x.Method != "" {
		out = append(out, condition{"REQUEST_METHOD", `@rx \A` + literal(x.Method) + `\z`, "t:none"})
	}
	if x.Host != "" {
		out = append(out, condition{"REQUEST_HEADERS:Host", `@rx (?i)\A` + hostRegex(x.Host) + `(?::[0-9]+)?\z`, "t:none"})
	}
	if x.Path != "" && x.Path != "*" && x.Path != "/*" {
		// Normalised first: /shop/../admin is not under /shop.
		op := `@rx \A` + literal(x.Path) + `\z`
		if prefix, ok := strings.CutSuffix(x.Path, "*"); ok {
			op = `@rx \A` + literal(prefix)
		} else if x.Path == "/" {
			op = `@rx \A/+\z` // the engine normalises "/" to "//"
		}
		out = append(out, condition{"REQUEST_FILENAME", op, "t:none,t:normalizePath"})
	}
	return out
}

func hostRegex(host string) string {
	if domain, ok := strings.CutPrefix(host, "*."); ok {
		return `[^:]+\.` + literal(domain)
	}
	return literal(host)
}

// literal writes s as a regular expression that needs no quoting in SecLang:
// no quotes, no macro, no backslash at an end.
func literal(s string) string {
	var b strings.Builder
	for _, r := range s {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '/', r == '-', r == '_':
			b.WriteRune(r)
		case r < 0x80:
			fmt.Fprintf(&b, `\x%02x`, r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// ctl is the action that does the removing. Names with unusual characters are
// given as a regular expression: the list of actions has no escape for them.
func (x Exclusion) ctl() string {
	what, which := "ById", fmt.Sprint(x.Rule)
	if x.Tag != "" {
		what, which = "ByTag", x.Tag
	}
	if x.Target == "" {
		return fmt.Sprintf("ctl:'ruleRemove%s=%s'", what, which)
	}
	name, key, hasKey := strings.Cut(x.Target, ":")
	switch {
	case !hasKey:
	case isRegexKey(key):
		key = "/(?i)" + key[1:] // the engine compares with the name in lower case
	case !plainKey.MatchString(key):
		key = `/\A` + literal(strings.ToLower(key)) + `\z/`
	}
	if hasKey {
		name += ":" + key
	}
	return fmt.Sprintf("ctl:'ruleRemoveTarget%s=%s;%s'", what, which, name)
}

var plainKey = regexp.MustCompile(`^[A-Za-z0-9_.\[\]@*$-]+$`)
