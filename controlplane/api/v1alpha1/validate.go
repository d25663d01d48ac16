package v1alpha1

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

// finding is a mistake at a path, before file and line are known.
type finding struct{ path, message string }

// findings collects mistakes below a path.
type findings struct {
	list []finding
	base string
}

func (f *findings) add(path, format string, args ...any) {
	if f.base != "" {
		path = strings.TrimSuffix(f.base+"."+path, ".")
	}
	f.list = append(f.list, finding{path, fmt.Sprintf(format, args...)})
}

// oneOf checks a choice.
func (f *findings) oneOf(path string, value *string, choices ...string) {
	if value != nil && !slices.Contains(choices, *value) {
		f.add(path, "%q is not one of %s", *value, strings.Join(choices, ", "))
	}
}

// between checks a number.
func (f *findings) between(path string, value *int, low, high int) {
	if value != nil && (*value < low || *value > high) {
		f.add(path, "%d is out of range: %d to %d", *value, low, high)
	}
}

// durationBetween checks a length of time.
func (f *findings) durationBetween(path string, value *Duration, low, high time.Duration) {
	if value != nil && (time.Duration(*value) < low || time.Duration(*value) > high) {
		f.add(path, "%s is not between %s and %s", *value, Duration(low), Duration(high))
	}
}

// sizeBetween checks a size.
func (f *findings) sizeBetween(path string, value *Size, low, high Size) {
	if value != nil && (*value < low || *value > high) {
		f.add(path, "%d bytes is out of range: %d to %d", *value, low, high)
	}
}

var (
	dnsLabel     = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$`)
	dnsSubdomain = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`)
)

// validator is what gabion's own kinds implement.
type validator interface{ validate(*findings) }

// validate checks what the type alone cannot say.
func validate(o Object, info KindInfo) []finding {
	f := &findings{}
	switch name := o.GetName(); {
	case name == "":
		f.add("metadata.name", "is missing: give the resource a name")
	case len(name) > 253 || !dnsSubdomain.MatchString(name):
		f.add("metadata.name", "%q is no name: use lower-case letters, digits, - and .", name)
	}
	switch ns := o.GetNamespace(); {
	case info.Cluster && ns != "":
		f.add("metadata.namespace", "a %s is in no namespace: remove it", info.Kind)
	case !info.Cluster && !dnsLabel.MatchString(ns):
		f.add("metadata.namespace", "%q is no name of a namespace: use lower-case letters, digits and -, at most 63", ns)
	}
	if v, ok := o.(validator); ok {
		f.base = "spec"
		v.validate(f)
	}
	return f.list
}
