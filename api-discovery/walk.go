package apidiscovery

// maxWalk is how deep Walk goes; schemas may be shared and refer to themselves.
const maxWalk = 24

// Walk calls visit for a schema and all below it, with the place as
// "/customer/email"; "[]" are the items of a list, "*" the values of free keys,
// and alternatives stand where they are.
func (s *Schema) Walk(visit func(where string, s *Schema)) {
	budget := 20_000 // places: shared schemas may unfold without end
	s.walk("", maxWalk, &budget, visit)
}

func (s *Schema) walk(where string, depth int, budget *int, visit func(string, *Schema)) {
	if s == nil || depth == 0 || *budget <= 0 {
		return
	}
	*budget--
	visit(where, s)
	for _, p := range s.Properties {
		p.Schema.walk(where+"/"+p.Name, depth-1, budget, visit)
	}
	s.Additional.walk(where+"/*", depth-1, budget, visit)
	s.Items.walk(where+"/[]", depth-1, budget, visit)
	for _, list := range [][]*Schema{s.OneOf, s.AnyOf} {
		for _, a := range list {
			a.walk(where, depth-1, budget, visit)
		}
	}
}
