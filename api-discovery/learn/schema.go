package learn

import (
	"cmp"
	"slices"
	"strings"

	"github.com/gabion-io/gabion/api-discovery"
	"github.com/gabion-io/gabion/internal/exchange"
)

// paramsOf describes the parameters of an operation: those of the path in order,
// then the others by name.
func paramsOf(e *end, path []*branch, t apidiscovery.PathTemplate) (params []apidiscovery.Param) {
	names := t.Names()
	i := 0
	before := ""
	for _, b := range path {
		if !b.hole {
			before = b.text
			continue
		}
		s, style := schemaOf(b.vals)
		if isPlural(before) { // what follows "users" are names of users, however few
			s.Enum = nil
		}
		params = append(params, apidiscovery.Param{In: apidiscovery.InPath, Name: names[i], Required: true, Schema: s, Style: style, Count: uint64(e.count)})
		i++
	}
	rest := len(params)
	list := joinMembers(e.params)
	for k := range list {
		p := &list[k]
		if !worthwhile(p, e) {
			continue
		}
		s, style := schemaOf(&p.vals)
		if exchange.HoldsNames(p.name) {
			s.Enum = nil
		}
		a := apidiscovery.Param{In: p.in, Name: p.name, Schema: s, Style: style, Count: uint64(p.count),
			Required: p.ok >= e.ok && e.ok >= 2, Explode: style == "form" && p.vals.listed == 0}
		if p.deep {
			a.Style, a.Schema = "deepObject", &apidiscovery.Schema{Types: []string{"object"}, Additional: s}
		}
		if p.style != "" && style == "form" {
			a.Style = p.style
		}
		params = append(params, a)
	}
	slices.SortStableFunc(params[rest:], func(a, b apidiscovery.Param) int {
		return cmp.Or(cmp.Compare(place4(a.In), place4(b.In)), cmp.Compare(a.Name, b.Name))
	})
	return params
}

// maxMembersApart is how many names in brackets of one name are told apart.
const maxMembersApart = 8

// joinMembers makes one parameter of those whose names are many members of one
// object: "filter[state]" and the like. Few of them are parameters of their own.
func joinMembers(list []param) []param {
	members, deep := map[string]int{}, map[string]bool{}
	for i := range list {
		if base, inside := memberOf(&list[i]); inside {
			members[base]++
		} else if list[i].deep {
			deep[list[i].name] = true
		}
	}
	if len(members) == 0 {
		return list
	}
	var out []param
	for i := range list {
		p := &list[i]
		base, inside := memberOf(p)
		if !p.deep && !(inside && (members[base] > maxMembersApart || deep[base])) {
			out = append(out, *p)
			continue
		}
		k := slices.IndexFunc(out, func(q param) bool { return q.deep && q.in == p.in && q.name == base })
		if k < 0 {
			k = len(out)
			out = append(out, param{in: p.in, name: base, deep: true})
		}
		// How many exchanges had one of them is not known: at least so many.
		q := &out[k]
		q.count, q.ok = max(q.count, p.count), max(q.ok, p.ok)
		q.vals.merge(&p.vals)
	}
	return out
}

// memberOf is the name before the brackets of "filter[state]".
func memberOf(p *param) (base string, inside bool) {
	base, key, found := strings.Cut(p.name, "[")
	return base, found && key != "]" && p.in == apidiscovery.InQuery
}

func place4(in string) int {
	return slices.Index([]string{apidiscovery.InMatrix, apidiscovery.InQuery, apidiscovery.InHeader, apidiscovery.InCookie}, in)
}

// worthwhile: a name that came only in refused exchanges, or hardly ever, is
// somebody's mistake or attempt.
func worthwhile(p *param, e *end) bool {
	return p.ok > 0 && (p.ok >= 2 || e.ok < 300) && float64(p.ok) >= 0.001*float64(e.ok)
}

// schemaOf says what values sent as text are; style is "form" for lists.
func schemaOf(v *values) (s *apidiscovery.Schema, style string) {
	s = scalarSchema(v)
	if v.count > 0 && (v.repeated > 0 || float64(v.listed) >= 0.2*float64(v.count)) {
		return &apidiscovery.Schema{Types: []string{"array"}, Items: s, Count: uint64(v.count)}, "form"
	}
	return s, ""
}

func scalarSchema(v *values) *apidiscovery.Schema {
	s := &apidiscovery.Schema{Count: uint64(v.count)}
	n := v.count - v.of(exchange.KindEmpty)
	small, big, decimal := v.of(exchange.KindSmall), v.of(exchange.KindNumber), v.of(exchange.KindDecimal)
	all := func(k ...exchange.Kind) bool { return n > 0 && v.of(k...) == n }
	switch {
	case all(exchange.KindSmall, exchange.KindNumber) && v.length <= 16 && v.prefix == "":
		s.Types = []string{"integer"}
		if v.length > 9 {
			s.Format = "int64"
		}
	case n > 0 && small+big+decimal == n && v.length <= 40 && decimal > 0:
		s.Types = []string{"number"}
	case all(exchange.KindBool):
		s.Types = []string{"boolean"}
	default:
		s.Types = []string{"string"}
		if len(v.kinds) == 1 {
			s.Format = stringFormat(v.kinds[0].kind)
		}
		if v.prefix != "" && v.prefix != "-" && all(exchange.KindPrefixed) {
			s.Pattern = "^" + v.prefix
		}
		s.Enum = enumOf(v)
	}
	s.Example = exampleOf(v)
	s.Sensitive = sensitiveOf(v.sensitive, v.count)
	return s
}

// enumOf: a few words that come again and again are the API's own.
func enumOf(v *values) (words []string) {
	if v.over || len(v.sample) > 16 || v.count < 5*uint32(len(v.sample)) || len(v.sample) == 1 && v.count < 20 || v.of(exchange.KindWord) != v.count {
		return nil
	}
	for _, x := range v.sample {
		if x.text == "" || x.count < 3 {
			return nil
		}
		words = append(words, x.text)
	}
	slices.Sort(words)
	return words
}

// exampleOf shows the form of the values, not one of them, if they have one.
func exampleOf(v *values) string {
	if len(v.kinds) != 1 {
		return ""
	}
	if k := v.kinds[0].kind; k != exchange.KindPrefixed {
		return exampleOfKind(k)
	}
	if v.prefix == "" || v.prefix == "-" {
		return ""
	}
	return v.prefix + "aaaa0000"
}

// exampleOfKind is a value of a kind that is nobody's.
func exampleOfKind(k exchange.Kind) string {
	switch k {
	case exchange.KindSmall:
		return "0"
	case exchange.KindNumber:
		return "00000"
	case exchange.KindDecimal:
		return "0.0"
	case exchange.KindDate:
		return "2000-01-01"
	case exchange.KindDateTime:
		return "2000-01-01T00:00:00Z"
	case exchange.KindUUID:
		return "00000000-0000-0000-0000-000000000000"
	case exchange.KindEmail:
		return "aaa@aaa.aaa"
	}
	return ""
}

func bodiesOf(list []content, ok, withBody uint32) (bodies []apidiscovery.Body) {
	for _, c := range list {
		bodies = append(bodies, apidiscovery.Body{MediaType: c.mediaType, Required: ok > 1 && withBody >= ok, Count: uint64(c.count),
			Inspected: uint64(c.inspected), Schema: bodySchema(c.shape)})
	}
	return bodies
}

func responsesOf(e *end) (list []apidiscovery.Response) {
	for _, s := range e.statuses {
		r := apidiscovery.Response{Status: int(s.code), Count: uint64(s.count)}
		for _, b := range s.bodies {
			r.Bodies = append(r.Bodies, apidiscovery.Body{MediaType: b.mediaType, Count: uint64(b.count), Inspected: uint64(b.inspected), Schema: bodySchema(b.shape)})
		}
		list = append(list, r)
	}
	return list
}
