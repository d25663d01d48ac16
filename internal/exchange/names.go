package exchange

import (
	"strings"
	"sync"
	"sync/atomic"

	"github.com/gabion-io/gabion/internal/sensitive"
)

// Names remembers what names say about their values, those of headers, cookies and
// parameters and those of members of bodies: one API has the same ones again and
// again. It holds a bounded number of them, and what bodies are read with, and may be
// used by many goroutines.
type Names struct {
	fields  [512]atomic.Pointer[fieldName]
	slots   [1024]atomic.Pointer[memberName] // of members
	readers sync.Pool                        // of *jsonReader
}

// memberName is all that a member's name and that of the member above it say.
type memberName struct {
	parent, name string
	hash         uint64 // of the name
	field        sensitive.Field
	member       bool // else it is a value itself: see isMemberName
	tag          bool // see isTag
	telling      int  // see discriminates
}

// fieldName is all that the name of a header, a cookie or a parameter says.
type fieldName struct {
	in, name string
	role     role
	form     nameForm        // of a parameter or a cookie
	peopled  bool            // see ParamSeen.withoutNames
	field    sensitive.Field // what it is meant to hold, as far as it is shown
	shown    string          // the name, masked as far as it is a value
}

// role is what is done with the value under a name.
type role uint8

const (
	parameter  role = iota
	passedOver      // everybody sends it, whatever the API
	credential      // it says who calls
	either          // a credential if it looks like one
)

// of is what the name of a "header" (in lower case), a "cookie", or a parameter of the
// "query" or a "matrix" says. A nil Names remembers nothing.
func (n *Names) of(in, name string) *fieldName {
	if n == nil || len(name) > maxKnownName {
		return lookUpField(in, name)
	}
	h := hashName(name) + uint64(in[0])
	slot := &n.fields[(h^h>>32)%uint64(len(n.fields))]
	if k := slot.Load(); k != nil && k.name == name && k.in == in {
		return k
	}
	k := lookUpField(in, strings.Clone(name))
	slot.Store(k)
	return k
}

func lookUpField(in, name string) *fieldName {
	f := &fieldName{in: in, name: name, shown: paramName(name)}
	switch {
	case in == "header" && plumbing(name), in == "cookie" && isTracker(name):
		f.role = passedOver
		return f
	case in == "header" && isKeyName(name), in == "cookie" && isSession(name):
		f.role = credential
		return f
	case in == "header" && isTokenName(name):
		f.role = either
	case in == "cookie", in == "query":
		f.shown, f.form = bracketed(name)
	}
	f.field = sensitive.Named(f.shown)
	f.peopled = f.field.Kind() != sensitive.None || peopled(f.shown)
	return f
}

// maxKnownName is the length in bytes up to which names are remembered.
const maxKnownName = 64

// below is what is known of a name below that of a parent; nil is none. A nil
// Names remembers nothing.
func (n *Names) below(parent *memberName, name string) *memberName {
	above, h := "", hashName(name)
	mixed := h
	if parent != nil {
		above = parent.name
		mixed ^= parent.hash * 0x9e3779b97f4a7c15
	}
	if n == nil || len(above) > maxKnownName || len(name) > maxKnownName {
		return lookUpName(above, name, h)
	}
	slot := &n.slots[(mixed^mixed>>32)%uint64(len(n.slots))]
	if k := slot.Load(); k != nil && k.name == name && k.parent == above {
		return k
	}
	k := lookUpName(strings.Clone(above), name, h)
	slot.Store(k)
	return k
}

func lookUpName(parent, name string, hash uint64) *memberName {
	name = strings.Clone(name)
	return &memberName{parent: parent, name: name, hash: hash, field: sensitive.Below(parent, name),
		member: isMemberName(name), tag: isTag(name), telling: discriminates(name)}
}

// hashName looks at the length and at both ends. Names that share a hash cost a
// look-up each, and no more.
func hashName(s string) uint64 {
	var first, last uint64
	if len(s) >= 8 {
		first, last = eight(s), eight(s[len(s)-8:])
	} else {
		for i := range len(s) {
			first = first<<8 | uint64(s[i])
		}
	}
	h := (first ^ last*0xff51afd7ed558ccd ^ uint64(len(s))) * 0xc4ceb9fe1a85ec53
	return h ^ h>>29
}

func eight(s string) uint64 {
	_ = s[7]
	return uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 | uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
}

// reader is one that is not in use.
func (n *Names) reader() *jsonReader {
	if n != nil {
		if r, ok := n.readers.Get().(*jsonReader); ok {
			return r
		}
	}
	return &jsonReader{known: n}
}

// done gives a reader back, unless what it holds has become large.
func (n *Names) done(r *jsonReader) {
	if n != nil && r.small() {
		n.readers.Put(r)
	}
}
