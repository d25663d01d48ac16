package exchange

import (
	"cmp"
	"slices"

	"github.com/gabion-io/gabion/internal/sensitive"
)

// SensitiveCount counts the values that carry one kind of sensitive data.
type SensitiveCount struct {
	Kind  sensitive.Kind `json:"k"`
	Count uint32         `json:"n"`
}

// maxSensitive is how many kinds are kept of one place.
const maxSensitive = 16

func (s *Shape) addSensitive(k sensitive.Kind, n uint32) {
	i, found := slices.BinarySearchFunc(s.Sensitive, k, func(c SensitiveCount, k sensitive.Kind) int { return cmp.Compare(c.Kind, k) })
	if !found {
		if len(s.Sensitive) == maxSensitive {
			return
		}
		s.Sensitive = slices.Insert(s.Sensitive, i, SensitiveCount{Kind: k})
	}
	s.Sensitive[i].Count += n
}

// classifier notes what sensitive data values are, by value and by the name of
// the member that holds them. It is used again for every value of a body.
type classifier struct {
	field sensitive.Field
	found []sensitive.Finding
}

// note classifies one value and keeps what is likely.
func (c *classifier) note(s *Shape, value string) {
	if c.found == nil {
		c.found = make([]sensitive.Finding, 0, 4)
	}
	c.found = c.field.Classify(c.found[:0], value)
	for _, f := range c.found {
		if f.Confidence >= sensitive.Likely {
			s.addSensitive(f.Kind, 1)
		}
	}
}

// noteText classifies a value below a name, for bodies of few values.
func (s *Shape) noteText(name, value string) {
	c := classifier{field: sensitive.Named(name)}
	c.note(s, value)
}
