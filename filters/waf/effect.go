package waf

import (
	"fmt"
	"reflect"
	"regexp"
	"strings"

	"github.com/corazawaf/coraza/v3/experimental/plugins/macro"
	"github.com/corazawaf/coraza/v3/types/variables"
)

// setVar is a setvar action as the engine compiled it.
type setVar struct {
	name, value string
	remove      bool
}

func readSetVar(v reflect.Value) setVar {
	s := setVar{remove: v.FieldByName("isRemove").Bool()}
	if m := field[macro.Macro](v, "key"); m != nil {
		s.name = strings.ToLower(m.String())
	}
	if m := field[macro.Macro](v, "value"); m != nil {
		s.value = m.String()
	}
	return s
}

// links are the rule itself and what is chained to it.
func (r *compiledRule) links() []*compiledRule {
	out := []*compiledRule{r}
	for i := range r.chain {
		out = append(out, &r.chain[i])
	}
	return out
}

// names is a set of names of TX variables: those listed, those that begin with
// one of the prefixes or hold one of the parts, or all there are.
type names struct {
	list     map[string]bool
	prefixes []string
	parts    []string
	all      bool
}

func (n *names) add(name string) {
	name = strings.ToLower(name)
	if before, _, dynamic := strings.Cut(name, "%{"); dynamic {
		n.prefixes = append(n.prefixes, before)
		return
	}
	if n.list == nil {
		n.list = map[string]bool{}
	}
	n.list[name] = true
}

// addPattern adds all names that match.
func (n *names) addPattern(re *regexp.Regexp) {
	if begin, ok := strings.CutPrefix(re.String(), "^"); ok && plainPrefix.MatchString(begin) {
		n.prefixes = append(n.prefixes, begin)
	} else if part, _ := re.LiteralPrefix(); part != "" {
		n.parts = append(n.parts, part)
	} else {
		n.all = true
	}
}

var plainPrefix = regexp.MustCompile(`^[a-z0-9_]+$`)

func (n *names) merge(m names) {
	for name := range m.list {
		n.add(name)
	}
	n.prefixes = append(n.prefixes, m.prefixes...)
	n.parts = append(n.parts, m.parts...)
	n.all = n.all || m.all
}

// has says whether name may be in the set.
func (n *names) has(name string) bool {
	if n.all || n.list[name] {
		return true
	}
	for _, p := range n.prefixes {
		if strings.HasPrefix(name, p) {
			return true
		}
	}
	for _, p := range n.parts {
		if strings.Contains(name, p) {
			return true
		}
	}
	return false
}

// meets says whether the sets may share a name.
func (n *names) meets(m names) bool {
	for name := range m.list {
		if n.has(name) {
			return true
		}
	}
	for name := range n.list {
		if m.has(name) {
			return true
		}
	}
	for _, p := range n.prefixes {
		for _, q := range m.prefixes {
			if strings.HasPrefix(p, q) || strings.HasPrefix(q, p) {
				return true
			}
		}
	}
	dynamic := func(n *names) bool { return n.all || len(n.prefixes)+len(n.parts) > 0 }
	return n.all && !m.empty() || m.all && !n.empty() || len(n.parts) > 0 && dynamic(&m) || len(m.parts) > 0 && dynamic(n)
}

func (n *names) empty() bool { return !n.all && len(n.list)+len(n.prefixes)+len(n.parts) == 0 }

// writes are the TX variables that evaluating the rule may change.
func (r *compiledRule) writes() (out names) {
	for _, l := range r.links() {
		for _, s := range l.setvars {
			out.add(s.name)
		}
		if l.capture {
			for i := range 10 {
				out.add(fmt.Sprint(i))
			}
		}
	}
	return out
}

var txMacro = regexp.MustCompile(`(?i)%\{\s*tx\.([^}]*)\}`)

// reads are the TX variables that evaluating the rule may look at.
func (r *compiledRule) reads() (out names) {
	for _, l := range r.links() {
		for _, t := range l.targets {
			switch {
			case t.variable != variables.TX:
			case t.pattern != nil:
				out.addPattern(t.pattern)
			case t.key == "":
				out.all = true
			default:
				out.add(t.key)
			}
		}
		texts := l.texts
		for _, s := range l.setvars {
			texts = append(texts, s.name, s.value)
			if strings.HasPrefix(s.value, "+") || strings.HasPrefix(s.value, "-") {
				out.add(s.name)
			}
		}
		for _, text := range texts {
			for _, m := range txMacro.FindAllStringSubmatch(text, -1) {
				out.add(m[1])
			}
		}
	}
	return out
}

// silent says that a link that matches changes nothing when it is not the last:
// it captures nothing, and its actions act only when the whole rule matches, or
// never.
func (r *compiledRule) silent() bool { return !r.capture && r.acts(plain) }

// plain are the actions that do nothing by themselves when a link matches.
var plain = strings.Fields("id phase t tag ver rev severity maturity accuracy msg logdata log nolog auditlog noauditlog " +
	"capture chain multimatch status pass block deny drop redirect allow skip skipafter")

// acts says that the link has no other actions than these.
func (r *compiledRule) acts(only []string) bool {
	for _, a := range r.actions {
		found := false
		for _, name := range only {
			found = found || a.name == name
		}
		if !found {
			return false
		}
	}
	return true
}

// stops says that the rule can end the phase or more.
func (r *compiledRule) stops() bool {
	for _, a := range r.actions {
		switch a.name {
		case "deny", "drop", "redirect", "allow":
			return true
		}
	}
	return false
}
