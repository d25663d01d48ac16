package learn

import (
	"cmp"
	"slices"

	"github.com/gabion-io/gabion/api-discovery"
	"github.com/gabion-io/gabion/internal/exchange"
)

// bodySchema says what bodies are: the conclusion from a merged shape.
func bodySchema(s *exchange.Shape) *apidiscovery.Schema {
	if s == nil || s.Count == 0 {
		return nil
	}
	return schemaOfShape(s)
}

func schemaOfShape(s *exchange.Shape) *apidiscovery.Schema {
	o := &apidiscovery.Schema{Count: uint64(s.Count), Truncated: s.Cut, Types: typesOf(s)}
	if s.Types[exchange.String] > 0 {
		stringSchema(s, o)
	}
	if s.Types[exchange.Integer] > 0 && s.Big && s.Types[exchange.Number] == 0 {
		o.Format = "int64"
	}
	if s.Types[exchange.Array] > 0 && s.Items != nil && s.Items.Count > 0 {
		o.Items = schemaOfShape(s.Items)
	}
	if n := s.Types[exchange.Object]; n > 0 {
		objectSchema(s, n, o)
	}
	o.Sensitive = sensitiveOf(s.Sensitive, s.Count)
	return o
}

// sensitiveOf names the kinds of data that values are; fewer than one value in
// twenty is chance.
func sensitiveOf(list []exchange.SensitiveCount, values uint32) (names []string) {
	for _, x := range list {
		if x.Count*20 >= values {
			names = append(names, x.Kind.String())
		}
	}
	slices.Sort(names)
	return names
}

// typesOf lists the types in alphabetical order; integers among numbers are numbers.
func typesOf(s *exchange.Shape) (types []string) {
	for _, t := range []struct {
		name string
		seen bool
	}{
		{"array", s.Types[exchange.Array] > 0},
		{"boolean", s.Types[exchange.Boolean] > 0},
		{"integer", s.Types[exchange.Integer] > 0 && s.Types[exchange.Number] == 0},
		{"null", s.Types[exchange.Null] > 0},
		{"number", s.Types[exchange.Number] > 0},
		{"object", s.Types[exchange.Object] > 0},
		{"string", s.Types[exchange.String] > 0},
	} {
		if t.seen {
			types = append(types, t.name)
		}
	}
	return types
}

// stringSchema finds a format that all strings have, or the few words they are.
func stringSchema(s *exchange.Shape, o *apidiscovery.Schema) {
	strings := s.Types[exchange.String]
	if len(s.Kinds) == 1 {
		switch s.Kinds[0].Kind {
		case exchange.KindDate, exchange.KindDateTime, exchange.KindUUID, exchange.KindEmail:
			o.Format, o.Example = stringFormat(s.Kinds[0].Kind), exampleOfKind(s.Kinds[0].Kind)
		case exchange.KindURI:
			o.Format = "uri-reference"
		case exchange.KindIP:
			o.Format = "ip"
		case exchange.KindBinary:
			o.Format = "binary"
		}
	}
	if s.Many || len(s.Words) == 0 || strings+s.Types[exchange.Null] != s.Count {
		return
	}
	counted := uint32(0)
	for _, w := range s.Words {
		counted += w.Count
	}
	if counted != strings || strings < 3*uint32(len(s.Words)) || len(s.Words) == 1 && strings < 10 {
		return
	}
	for _, w := range s.Words {
		o.Enum = append(o.Enum, w.Text)
	}
}

func stringFormat(k exchange.Kind) string {
	switch k {
	case exchange.KindDate:
		return "date"
	case exchange.KindDateTime:
		return "date-time"
	case exchange.KindUUID:
		return "uuid"
	case exchange.KindEmail:
		return "email"
	case exchange.KindURI:
		return "uri-reference"
	}
	return ""
}

// objectSchema describes members, a map, or variants that a tag tells apart.
func objectSchema(s *exchange.Shape, objects uint32, o *apidiscovery.Schema) {
	if s.Free != nil {
		o.Additional = schemaOfShape(s.Free)
	}
	if isMap(s, objects) {
		all := (*exchange.Shape)(nil).Merge(s.Free)
		for _, m := range s.Members {
			all = all.Merge(m.Shape)
		}
		o.Additional = schemaOfShape(all)
		return
	}
	for _, m := range s.Members {
		// One object is not enough to say that a member always comes.
		o.Properties = append(o.Properties, apidiscovery.Property{Name: m.Name, Required: m.Shape.Count >= objects && objects >= 2,
			Schema: schemaOfShape(m.Shape), Count: uint64(m.Shape.Count)})
	}
	variants(s, objects, o)
}

// isMap: many names, each in few of the objects, with values that are alike.
func isMap(s *exchange.Shape, objects uint32) bool {
	if len(s.Members) < 12 {
		return false
	}
	total, types := uint32(0), map[string]int{}
	for _, m := range s.Members {
		total += m.Shape.Count
		key := ""
		for _, t := range typesOf(m.Shape) {
			if t != "null" {
				key += t + " "
			}
		}
		types[key]++
	}
	if len(types) > 1 || float64(total) > 0.25*float64(objects)*float64(len(s.Members)) {
		return false
	}
	return len(s.Members) >= 24 || objects >= 24
}

// variants makes alternatives of the words of a tag, if they differ in their
// members.
func variants(s *exchange.Shape, objects uint32, o *apidiscovery.Schema) {
	if len(s.Variants) < 2 || s.Lost {
		return
	}
	counted := uint32(0)
	for _, v := range s.Variants {
		counted += v.Count
		if v.Count < 3 {
			return
		}
	}
	if counted != objects || !differ(s.Variants) {
		return
	}
	for i := range s.Variants {
		v := &s.Variants[i]
		one := &apidiscovery.Schema{Types: []string{"object"}, Count: uint64(v.Count)}
		for _, m := range v.Members {
			p, ok := o.Property(m.Text)
			if !ok {
				continue
			}
			p.Required, p.Count = m.Count >= v.Count, uint64(m.Count)
			if m.Text == s.Tag {
				p.Schema = &apidiscovery.Schema{Types: []string{"string"}, Enum: []string{v.Word}, Count: uint64(v.Count)}
			}
			one.Properties = append(one.Properties, p)
		}
		slices.SortFunc(one.Properties, func(a, b apidiscovery.Property) int { return cmp.Compare(a.Name, b.Name) })
		o.OneOf = append(o.OneOf, one)
	}
	o.Discriminator = s.Tag
	o.Properties = nil
}

// differ says whether some variant always has a member that another never has.
func differ(list []exchange.Variant) bool {
	for i := range list {
		for _, m := range list[i].Members {
			if m.Count < list[i].Count {
				continue
			}
			for k := range list {
				if k != i && !slices.ContainsFunc(list[k].Members, func(w exchange.WordCount) bool { return w.Text == m.Text }) {
					return true
				}
			}
		}
	}
	return false
}
