package apiguard

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"

	"github.com/gabion-io/gabion/filters"
	"github.com/gabion-io/gabion/internal/exchange"
)

// validate notes how a value of a request is not what a schema says.
func (j *Judgement) validate(s *schema, v any, in, at string) {
	for _, v := range s.violations(v) {
		v.In, v.At = in, at+v.At
		j.add(400, v)
	}
}

// violations say where and how a value is not what a schema says; a nil schema takes
// anything.
func (s *schema) violations(v any) []filters.Violation {
	if s == nil || s.quick.fits(v) {
		return nil
	}
	err := s.valid.Validate(v)
	if err == nil {
		return nil
	}
	e, ok := err.(*jsonschema.ValidationError)
	if !ok {
		return []filters.Violation{{Reason: "cannot be judged"}}
	}
	// The library walks maps: the report must not depend on their order.
	list := s.collect(nil, e)
	slices.SortFunc(list, func(a, b filters.Violation) int {
		return cmp.Or(cmp.Compare(a.At, b.At), cmp.Compare(a.Reason, b.Reason))
	})
	return slices.Compact(list)
}

// maxCollected bounds what is collected of one value: beyond it, how much more
// there is does not matter.
const maxCollected = 1000

// collect takes the leaves of the library's tree of errors.
func (s *schema) collect(list []filters.Violation, e *jsonschema.ValidationError) []filters.Violation {
	if len(list) >= maxCollected {
		return list
	}
	where := s.place(e.InstanceLocation)
	switch k := e.ErrorKind.(type) {
	case *kind.Required:
		for _, name := range k.Missing {
			list = append(list, filters.Violation{At: where + "/" + name, Reason: "is missing"})
		}
		return list
	case *kind.AdditionalProperties:
		for _, name := range k.Properties {
			list = append(list, filters.Violation{At: where + "/" + s.name(name), Reason: "is not declared"})
		}
		return list
	case *kind.Schema, *kind.Group, *kind.AllOf, *kind.Reference:
		for _, c := range e.Causes {
			list = s.collect(list, c)
		}
		return list
	}
	return append(list, filters.Violation{At: where, Reason: reasonOf(e.ErrorKind)})
}

// place is a place in a body, list items as one: "/items/*/price".
func (s *schema) place(tokens []string) string {
	var b strings.Builder
	for _, t := range tokens {
		b.WriteString("/" + s.name(t))
	}
	return b.String()
}

// name is a member's name if the author of the schema gave it, or if it looks like
// one a developer gives; anything else may be a value.
func (s *schema) name(t string) string {
	if s.names[t] {
		return t
	}
	if strings.Trim(t, "0123456789") == "" {
		return "*"
	}
	return exchange.MaskSegment(t)
}

// reasonOf says what is wrong, without any value.
func reasonOf(k jsonschema.ErrorKind) string {
	switch k := k.(type) {
	case *kind.Type:
		return fmt.Sprintf("is %s, not %s", article(k.Got), article(strings.Join(k.Want, " or ")))
	case *kind.Enum:
		return fmt.Sprintf("is none of the %d values there are", len(k.Want))
	case *kind.Const:
		return "is not the value it has to be"
	case *kind.Format:
		return "is no " + k.Want
	case *kind.Pattern:
		return "does not match its pattern"
	case *kind.MinLength:
		return fmt.Sprintf("is shorter than %d", k.Want)
	case *kind.MaxLength:
		return fmt.Sprintf("is longer than %d", k.Want)
	case *kind.Minimum:
		return "is less than " + k.Want.RatString()
	case *kind.Maximum:
		return "is more than " + k.Want.RatString()
	case *kind.ExclusiveMinimum:
		return "is not more than " + k.Want.RatString()
	case *kind.ExclusiveMaximum:
		return "is not less than " + k.Want.RatString()
	case *kind.MultipleOf:
		return "is no multiple of " + k.Want.RatString()
	case *kind.MinItems:
		return fmt.Sprintf("has fewer than %d items", k.Want)
	case *kind.MaxItems:
		return fmt.Sprintf("has more than %d items", k.Want)
	case *kind.UniqueItems:
		return "has an item twice"
	case *kind.MinProperties:
		return fmt.Sprintf("has fewer than %d members", k.Want)
	case *kind.MaxProperties:
		return fmt.Sprintf("has more than %d members", k.Want)
	case *kind.PropertyNames:
		return "has a member whose name does not fit"
	case *kind.AnyOf:
		return "fits none of the alternatives"
	case *kind.OneOf:
		if len(k.Subschemas) > 1 {
			return "fits more than one of the alternatives"
		}
		return "fits none of the alternatives"
	case *kind.FalseSchema:
		return "is not allowed"
	}
	if path := k.KeywordPath(); len(path) > 0 {
		return "breaks " + path[0]
	}
	return "does not fit its schema"
}

func article(what string) string {
	switch {
	case what == "null":
		return what
	case strings.IndexByte("aio", what[0]) >= 0:
		return "an " + what
	}
	return "a " + what
}
