// Package sensitive says what of a text is data that somebody would mind to see
// leave: personal, financial, health data and secrets. It knows kinds by value,
// with their checksum where one exists (Luhn, ISO 7064, Verhoeff, the national
// rules), by the name of the field that holds them, in several languages, and
// best by both.
//
// It parses no bodies: whoever walks a body calls Classify once per value. It
// decides nothing and keeps nothing: findings are positions in the caller's own
// value, and Redact is what may be stored of it. A value is read once, by
// position and character class; a value that carries nothing costs no
// allocation.
//
// It is a leaf: it imports the standard library only, and everybody may import
// it.
package sensitive

import "unsafe"

// Bounds of one call: what a value has beyond them is not looked at.
const (
	MaxValue    = 64 << 10 // bytes of a value
	MaxName     = 96       // bytes of a name
	MaxFindings = 16       // kinds in one value
)

// Class is why a kind matters.
type Class uint8

// The classes. Special data (religion, health, …) has laws of its own.
const (
	Unclassified Class = iota
	Personal
	Financial
	Health
	Secret
)

// String is the class's word: "personal".
func (c Class) String() string {
	return [...]string{"", "personal", "financial", "health", "secret"}[min(c, Secret)]
}

// Confidence is how much speaks for a finding.
type Confidence uint8

// The confidences. Possible findings are for a person who asks for everything:
// among them are numbers that only happen to have a right checksum.
const (
	Possible Confidence = iota + 1 // the form alone, or a checksum that one number in ten has
	Likely                         // a form that little else has, or a name with a value that fits it
	Certain                        // a long checksum, or name and checksum
)

// String is the confidence's word.
func (c Confidence) String() string {
	return [...]string{"none", "possible", "likely", "certain"}[min(c, Certain)]
}

// Finding is one kind found in a value.
type Finding struct {
	Kind       Kind
	Confidence Confidence
	Start, End int // of the first occurrence, in bytes of the value
	Count      int // occurrences in the value
}

// Classify appends to found what the value of the field with this name carries:
// every kind once, at its highest confidence. The name may be empty, a path
// ("customer.email") or of any spelling (camelCase, snake_case, kebab-case);
// values of numbers are passed as they are written. The value's escapes (JSON's,
// URL encoding) should be undone, and need not be for most kinds.
func Classify(found []Finding, name, value string) []Finding {
	return Named(name).Classify(found, value)
}

// Field is a name looked up once, for whoever sees many values below it.
type Field struct{ name hint }

// Named looks a name up.
func Named(name string) Field {
	if name == "" {
		return Field{}
	}
	return Field{lookUp(name)}
}

// Below looks a name up together with that of the object it is in: "card" says
// what its "number" is. The kind is never the parent's alone: what stands in an
// address is not always one.
func Below(parent, name string) Field {
	if parent == "" || name == "" {
		return Named(name)
	}
	var w words
	w.read(parent[max(0, len(parent)-maxParent):])
	if w.n > maxParentWords {
		w.drop(w.n - maxParentWords)
	}
	w.parent = w.n
	w.read(name)
	last := w.n - w.parent
	if last == 1 {
		switch string(w.phrase(w.parent, w.n)) {
		case "number", "no", "nr", "num", "value":
			last++ // an order's number is an order number
		}
	}
	return Field{w.hint(last)}
}

// Kind is the kind that a field of this name is meant to hold, or None.
func (f Field) Kind() Kind { return f.name.kind }

// Classify is the function of that name for a value of this field.
func (f Field) Classify(found []Finding, value string) []Finding {
	if len(value) > MaxValue {
		value = value[:MaxValue]
	}
	s := scan{value: value, found: found, base: len(found), name: f.name}
	if len(value) >= shortest {
		s.run()
	}
	s.byName()
	return s.found
}

// ClassifyBytes is Classify for a value in a buffer. It neither changes nor
// keeps the buffer.
func (f Field) ClassifyBytes(found []Finding, value []byte) []Finding {
	return f.Classify(found, unsafe.String(unsafe.SliceData(value), len(value)))
}

// ByName is the kind that a field of this name is meant to hold, or None. It is
// a guess of lower worth than Classify's: no value was seen.
func ByName(name string) Kind { return lookUp(name).kind }
