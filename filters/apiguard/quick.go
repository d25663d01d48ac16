package apiguard

import (
	"math/big"
	"slices"
	"unicode/utf8"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// quick proves that values fit a schema, where the schema says only what most
// schemas say. What it cannot prove is the library's to judge: it can save work,
// and never change a verdict. That is a fuzz target.
type quick struct {
	types      kinds           // 0: any
	enum       map[string]bool // of strings; nil: any
	format     func(any) error
	pattern    jsonschema.Regexp
	minLength  int
	maxLength  int // -1: any
	minimum    *float64
	maximum    *float64
	minItems   int
	maxItems   int // -1: any
	items      *quick
	properties map[string]*quick
	required   []string
	named      members // what properties and required say, to read by
	closed     bool    // no other members
	others     *quick  // of other members; nil: any
}

// kinds are types of JSON, as bits.
type kinds uint8

const (
	isNull kinds = 1 << iota
	isBoolean
	isInteger
	isNumber
	isString
	isArray
	isObject
)

func kindOf(name string) kinds {
	switch name {
	case "null":
		return isNull
	case "boolean":
		return isBoolean
	case "integer":
		return isInteger
	case "number":
		return isNumber
	case "string":
		return isString
	case "array":
		return isArray
	}
	return isObject
}

// quickly makes one, nil when the schema says more than it knows.
func quickly(s *jsonschema.Schema, known map[*jsonschema.Schema]*quick) *quick {
	if q, ok := known[s]; ok {
		return q // also one in the making: schemas may contain themselves
	}
	q := &quick{maxLength: -1, maxItems: -1}
	known[s] = q
	if !q.scalars(s) || !q.members(s, known) {
		known[s] = nil
		return nil
	}
	return q
}

// more says that a schema uses something that quick does not know.
func more(s *jsonschema.Schema) bool {
	return s.Bool != nil && !*s.Bool || s.Ref != nil || s.RecursiveRef != nil || s.DynamicRef != nil || s.Const != nil || s.Not != nil ||
		len(s.AllOf)+len(s.AnyOf)+len(s.OneOf) > 0 || s.If != nil || s.Then != nil || s.Else != nil ||
		s.MinProperties != nil || s.MaxProperties != nil || s.PropertyNames != nil || len(s.PatternProperties) > 0 ||
		len(s.Dependencies)+len(s.DependentRequired)+len(s.DependentSchemas) > 0 || s.UnevaluatedProperties != nil ||
		s.UniqueItems || s.Contains != nil || s.Items != nil || s.AdditionalItems != nil || len(s.PrefixItems) > 0 || s.UnevaluatedItems != nil ||
		s.ContentEncoding != nil || s.ContentMediaType != nil || s.ContentSchema != nil ||
		s.ExclusiveMaximum != nil || s.ExclusiveMinimum != nil || s.MultipleOf != nil || len(s.Extensions) > 0
}

func (q *quick) scalars(s *jsonschema.Schema) bool {
	if more(s) {
		return false
	}
	if s.Types != nil && !s.Types.IsEmpty() {
		for _, t := range s.Types.ToStrings() {
			q.types |= kindOf(t)
		}
	}
	if s.Enum != nil {
		q.enum = map[string]bool{}
		for _, v := range s.Enum.Values {
			text, ok := v.(string)
			if !ok {
				return false
			}
			q.enum[text] = true
		}
	}
	if s.Format != nil {
		if s.Format.Name == "regex" {
			return false
		}
		q.format = s.Format.Validate
	}
	q.pattern = s.Pattern
	if s.MinLength != nil {
		q.minLength = *s.MinLength
	}
	if s.MaxLength != nil {
		q.maxLength = *s.MaxLength
	}
	var exact [2]bool
	q.minimum, exact[0] = float(s.Minimum)
	q.maximum, exact[1] = float(s.Maximum)
	return exact[0] && exact[1]
}

// float is a bound as a number of the machine, if it is one.
func float(r *big.Rat) (*float64, bool) {
	if r == nil {
		return nil, true
	}
	f, exact := r.Float64()
	return &f, exact
}

func (q *quick) members(s *jsonschema.Schema, known map[*jsonschema.Schema]*quick) bool {
	if s.MinItems != nil {
		q.minItems = *s.MinItems
	}
	if s.MaxItems != nil {
		q.maxItems = *s.MaxItems
	}
	if s.Items2020 != nil {
		if q.items = quickly(s.Items2020, known); q.items == nil {
			return false
		}
	}
	q.required = s.Required
	if len(s.Properties) > 0 {
		q.properties = make(map[string]*quick, len(s.Properties))
	}
	for name, below := range s.Properties {
		if q.properties[name] = quickly(below, known); q.properties[name] == nil {
			return false
		}
	}
	q.named = membersOf(q.properties, q.required)
	switch a := s.AdditionalProperties.(type) {
	case nil:
	case bool:
		q.closed = !a
	case *jsonschema.Schema:
		q.others = quickly(a, known)
		return q.others != nil
	default:
		return false
	}
	return true
}

// fits is true when a value certainly fits.
func (q *quick) fits(v any) bool {
	if q == nil || q.format != nil && q.format(v) != nil {
		return false
	}
	switch v := v.(type) {
	case nil:
		return q.is(isNull) && q.enum == nil
	case bool:
		return q.is(isBoolean) && q.enum == nil
	case string:
		return q.is(isString) && q.text(v)
	case int64:
		return q.is(isInteger|isNumber) && q.enum == nil && exact(v) && q.number(float64(v))
	case float64:
		return q.is(isNumber) && q.enum == nil && q.number(v)
	case []any:
		return q.is(isArray) && q.enum == nil && q.list(v)
	case map[string]any:
		return q.is(isObject) && q.enum == nil && q.object(v)
	}
	return false
}

func (q *quick) is(kind kinds) bool { return q.types == 0 || q.types&kind != 0 }

// exact says that a number is one that float64 holds exactly, as all near it.
func exact(v int64) bool { return -1<<53 < v && v < 1<<53 }

func (q *quick) text(s string) bool {
	if q.enum != nil && !q.enum[s] || q.pattern != nil && !q.pattern.MatchString(s) {
		return false
	}
	if q.minLength == 0 && q.maxLength < 0 {
		return true
	}
	n := utf8.RuneCountInString(s)
	return n >= q.minLength && (q.maxLength < 0 || n <= q.maxLength)
}

func (q *quick) number(f float64) bool {
	return (q.minimum == nil || f >= *q.minimum) && (q.maximum == nil || f <= *q.maximum)
}

func (q *quick) list(list []any) bool {
	if len(list) < q.minItems || q.maxItems >= 0 && len(list) > q.maxItems {
		return false
	}
	return q.items == nil || !slices.ContainsFunc(list, func(v any) bool { return !q.items.fits(v) })
}

func (q *quick) object(o map[string]any) bool {
	for _, name := range q.required {
		if _, ok := o[name]; !ok {
			return false
		}
	}
	if q.properties == nil && q.others == nil && !q.closed {
		return true
	}
	for name, v := range o {
		switch below, ok := q.properties[name]; {
		case ok:
			if !below.fits(v) {
				return false
			}
		case q.closed, q.others != nil && !q.others.fits(v):
			return false
		}
	}
	return true
}
