package exchange

import (
	"strings"
	"sync/atomic"

	"github.com/gabion-io/gabion/internal/sensitive"
)

// Names remembers what names of members say about their values: bodies of one
// API have the same ones again and again. It holds a bounded number of them and
// may be used by many goroutines.
type Names struct {
	slots [1024]atomic.Pointer[knownName]
}

type knownName struct {
	parent, name string
	field        sensitive.Field
}

// maxKnownName is the length in bytes up to which names are remembered.
const maxKnownName = 64

// below is sensitive.Below, asked once for names that come again. A nil one
// remembers nothing.
func (n *Names) below(parent, name string) sensitive.Field {
	if n == nil || len(parent) > maxKnownName || len(name) > maxKnownName {
		return sensitive.Below(parent, name)
	}
	h := uint32(2166136261)
	for i := range len(parent) {
		h = (h ^ uint32(parent[i])) * 16777619
	}
	h *= 16777619
	for i := range len(name) {
		h = (h ^ uint32(name[i])) * 16777619
	}
	slot := &n.slots[(h^h>>15)%uint32(len(n.slots))]
	if k := slot.Load(); k != nil && k.name == name && k.parent == parent {
		return k.field
	}
	k := &knownName{parent: strings.Clone(parent), name: strings.Clone(name), field: sensitive.Below(parent, name)}
	slot.Store(k)
	return k.field
}
