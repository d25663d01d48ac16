package wafrules

import (
	"fmt"
	"slices"
	"strings"
)

// Part is one piece of a rule set's SecLang, in the order it is compiled.
type Part struct {
	Path string // where an author finds it: "rules[0]", "exclusions[2]"; "" for gabion's own
	Text string
}

// Directives assembles the whole rule set of s. The order matters:
//
//  1. the engine's own configuration,
//  2. exclusions, before every rule they take away (a ctl action only reaches
//     rules that come after it in the phase), the base rules included,
//  3. base rules: choice of body parser, parse errors, argument limits,
//  4. CRS setup, then custom rules, so that they can change both,
//  5. the Core Rule Set as the profile has it (Include of files in Profile.Files()),
//  6. custom SecRuleUpdate* and SecRuleRemove*, which only reach rules that exist.
//
// s must have passed Validate. detect chooses the engine mode that reports
// denials without stopping at them.
func Directives(s Settings, l Limits, detect bool) ([]Part, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	parts := []Part{{Text: engineDirectives(s, l, detect)}}
	for i, x := range s.Exclusions {
		text, err := x.directive(exclusionID + i)
		if err != nil {
			return nil, fmt.Errorf("exclusions[%d]: %w", i, err)
		}
		parts = append(parts, Part{Path: fmt.Sprintf("exclusions[%d]", i), Text: text})
	}
	parts = append(parts, Part{Text: baseDirectives}, Part{Text: setupDirectives(s)})
	var after []Part
	for i, r := range s.Rules {
		path := fmt.Sprintf("rules[%d]", i)
		if problems := CheckCustom(r); len(problems) > 0 {
			return nil, fmt.Errorf("%s: %w", path, problems[0])
		}
		early, late := splitCustom(r)
		if early != "" {
			parts = append(parts, Part{Path: path, Text: early})
		}
		if late != "" {
			after = append(after, Part{Path: path, Text: late})
		}
	}
	parts = append(parts, Part{Text: "Include " + crsDir + "/*.conf\n"})
	return append(parts, after...), nil
}

// splitCustom separates a snippet's rules from its updates and removals. Lines
// are kept in place, so that line numbers in errors stay true.
func splitCustom(snippet string) (early, late string) {
	var e, l strings.Builder
	var hasEarly, hasLate bool
	directives, _ := parseSecLang(snippet)
	put := func(b *strings.Builder, d directive) {
		for n := strings.Count(b.String(), "\n") + 1; n < d.line; n++ {
			b.WriteByte('\n')
		}
		b.WriteString(d.text)
		b.WriteByte('\n')
	}
	for _, d := range directives {
		if strings.HasPrefix(d.name, "secruleupdate") || strings.HasPrefix(d.name, "secruleremove") {
			put(&l, d)
			hasLate = true
		} else {
			put(&e, d)
			hasEarly = true
		}
	}
	if hasEarly {
		early = e.String()
	}
	if hasLate {
		late = l.String()
	}
	return early, late
}

// Level is the paranoia level in force: the policy's, or the profile's if that is
// higher.
func (s Settings) Level() int {
	if p, err := LoadProfile(s.Profile); err == nil {
		return max(p.MinParanoia, s.ParanoiaLevel)
	}
	return s.ParanoiaLevel
}

// Validate checks the scalars of s; the error names the field.
func (s Settings) Validate() error {
	switch {
	case !slices.Contains(Profiles(), s.Profile):
		return fmt.Errorf("profile: %q is unknown; there are %s", s.Profile, strings.Join(Profiles(), ", "))
	case s.ParanoiaLevel < 1 || s.ParanoiaLevel > 4:
		return fmt.Errorf("paranoiaLevel: %d is not between 1 and 4", s.ParanoiaLevel)
	case s.Inbound < 1:
		return fmt.Errorf("inbound: threshold %d is not positive", s.Inbound)
	case s.Outbound < 1:
		return fmt.Errorf("outbound: threshold %d is not positive", s.Outbound)
	case s.MaxArguments < 1:
		return fmt.Errorf("maxArguments: %d is not positive", s.MaxArguments)
	case s.JSONDepth < 1:
		return fmt.Errorf("jsonDepth: %d is not positive", s.JSONDepth)
	case len(s.Exclusions) > maxExclusions:
		return fmt.Errorf("exclusions: %d are more than %d", len(s.Exclusions), maxExclusions)
	}
	return nil
}

// Error makes a Problem usable as an error.
func (p Problem) Error() string {
	at := p.Path
	if p.Line > 0 {
		if at != "" {
			at += ", "
		}
		at += fmt.Sprintf("line %d, column %d", p.Line, p.Column)
	}
	if at == "" {
		return p.Message
	}
	return at + ": " + p.Message
}
