package hubble

import (
	"slices"
	"strings"

	"github.com/cilium/cilium/api/v1/flow"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
)

// mask is which fields of flows a caller wants: of a message, by name, with what
// of them; an empty one wants all.
type mask struct {
	fields map[protoreflect.Name]*mask
}

// newMask checks that the fields are there; nil wants all.
func newMask(m *fieldmaskpb.FieldMask) (*mask, error) {
	if len(m.GetPaths()) == 0 {
		return nil, nil
	}
	if _, err := fieldmaskpb.New((*flow.Flow)(nil), m.GetPaths()...); err != nil {
		return nil, invalid("field mask: %v", err)
	}
	paths := slices.Sorted(slices.Values(m.GetPaths())) // "source" comes before "source.labels"
	root := &mask{fields: map[protoreflect.Name]*mask{}}
	for _, path := range paths {
		root.add(strings.Split(path, "."))
	}
	return root, nil
}

func (m *mask) add(path []string) {
	name := protoreflect.Name(path[0])
	below, known := m.fields[name]
	switch {
	case known && below.fields == nil: // all of it is wanted already
		return
	case !known:
		below = &mask{}
		m.fields[name] = below
	}
	if len(path) == 1 {
		return
	}
	if below.fields == nil {
		below.fields = map[protoreflect.Name]*mask{}
	}
	below.add(path[1:])
}

// apply takes out what is not wanted.
func (m *mask) apply(f *flow.Flow) {
	if m != nil {
		m.clear(f.ProtoReflect())
	}
}

func (m *mask) clear(msg protoreflect.Message) {
	msg.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		below, wanted := m.fields[fd.Name()]
		switch {
		case !wanted:
			msg.Clear(fd)
		case below.fields != nil && fd.Message() != nil && !fd.IsList():
			below.clear(v.Message())
		}
		return true
	})
}
