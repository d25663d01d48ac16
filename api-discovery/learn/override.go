package learn

import (
	"strings"

	"github.com/gabion-io/gabion/api-discovery"
)

// pin is what is left of a person's template below some place.
type pin struct {
	rest  []string // segments as in the template
	value string   // for a split: the word that the last hole of the template is
}

// pinsOf makes pins of the overrides for one service.
func pinsOf(overrides []apidiscovery.Override, service string) (pins []*pin) {
	for _, o := range overrides {
		if o.Service != "" && o.Service != service || o.Template.IsZero() {
			continue
		}
		switch o.Action {
		case apidiscovery.OverridePin, apidiscovery.OverrideMerge:
			pins = append(pins, &pin{rest: segmentsOf(o.Template)})
		case apidiscovery.OverrideSplit:
			pins = append(pins, &pin{rest: untilLastHole(segmentsOf(o.Template)), value: o.Value})
		}
	}
	return pins
}

func segmentsOf(t apidiscovery.PathTemplate) []string {
	s := strings.Trim(t.String(), "/")
	if s == "" {
		return nil
	}
	return strings.Split(s, "/")
}

func untilLastHole(segments []string) []string {
	for i := len(segments) - 1; i >= 0; i-- {
		if strings.Contains(segments[i], "{") {
			return segments[:i+1]
		}
	}
	return nil
}

// follow keeps the pins that fit one more segment.
func follow(pins []*pin, text, form string, hole bool) (left []*pin) {
	for _, p := range pins {
		if len(p.rest) > 1 && fits(p.rest[0], text, form, hole) {
			left = append(left, &pin{p.rest[1:], p.value})
		}
	}
	return left
}

func fits(segment, text, form string, hole bool) bool {
	head, suffix := around(form)
	if strings.Contains(segment, "{") {
		return hole && strings.HasPrefix(segment, head+"{") && strings.HasSuffix(segment, "}"+suffix)
	}
	return !hole && segment == head+text+suffix
}

// pinnedAs says what persons decided about a word at a place.
func pinnedAs(pins []*pin, text, form string) (value, known bool) {
	for _, p := range pins {
		if len(p.rest) == 0 {
			continue
		}
		switch {
		case fits(p.rest[0], text, form, false):
			return false, true // a word in some template: that is the narrower one
		case fits(p.rest[0], "", form, true):
			if p.value != "" && len(p.rest) == 1 {
				if p.value == text {
					return false, true
				}
				continue
			}
			value, known = true, true
		}
	}
	return value, known
}

// renamed answers the names a person gave to the holes of a template.
func renamed(overrides []apidiscovery.Override, service string, t apidiscovery.PathTemplate) []string {
	for _, o := range overrides {
		if (o.Service == "" || o.Service == service) && !o.Template.IsZero() && o.Template.Canonical() == t.Canonical() {
			if o.Action == apidiscovery.OverrideRename && len(o.Names) == len(t.Names()) {
				return o.Names
			}
			if o.Action == apidiscovery.OverridePin || o.Action == apidiscovery.OverrideMerge {
				return o.Template.Names()
			}
		}
	}
	return nil
}
