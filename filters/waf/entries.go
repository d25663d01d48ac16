package waf

import (
	"fmt"
	"reflect"
	"unsafe"

	"github.com/corazawaf/coraza/v3/collection"
	"github.com/corazawaf/coraza/v3/experimental/plugins/plugintypes"
	"github.com/corazawaf/coraza/v3/types/variables"
)

// entry is a value and its key.
type entry struct{ key, value string }

// engineMap is what the engine keeps under one variable.
type engineMap struct {
	byCase bool               // keys differ by case; else data has them in small letters
	data   map[string][]entry // keys of entries are as they came
	_      variables.RuleVariable
	total  int // values
}

// under gives what has a key, of which small is its text in small letters.
func (m *engineMap) under(key, small string) []entry {
	if !m.byCase {
		key = small
	}
	return m.data[key]
}

// set writes variables, whose names are in small letters.
func (m *engineMap) set(sets []setVar) {
	list := make([]entry, len(sets)) // each has its own: the engine writes over it
	for i := range sets {
		list[i] = entry{sets[i].name, sets[i].value}
		m.total += 1 - len(m.data[sets[i].name])
		m.data[sets[i].name] = list[i : i+1 : i+1]
	}
}

// one gives the value of a key that has one.
func (m *engineMap) one(key string) (string, bool) {
	if list := m.data[key]; len(list) == 1 {
		return list[0].value, true
	}
	return "", false
}

// opener reads the engine's collections where they lie: by its interface each
// question copies what it gives. They are not part of that: see newOpener. The zero
// value opens none.
type opener struct {
	plain, named, joined reflect.Type
	transaction          reflect.Type
	allow                uintptr // where a transaction says what it lets pass
}

// allowsPhase is there when no further rule of the phase shall run: the engine's own
// number (its AllowTypePhase), which the comparisons with the stock engine vouch for.
const allowsPhase = 2

type (
	engineNamed  struct{ of *engineMap }
	engineJoined struct{ of []collection.Keyed }
)

// newOpener looks whether all is laid out as it is read here. Any surprise is an
// error, upon which nothing is skipped.
func newOpener(tx plugintypes.TransactionState) (o opener, err error) {
	defer func() {
		if r := recover(); r != nil {
			o, err = opener{}, fmt.Errorf("read collections: %v", r)
		}
	}()
	v := tx.Variables()
	plain, named, joined := reflect.TypeOf(v.TX()), reflect.TypeOf(v.RequestHeaders()), reflect.TypeOf(v.Args())
	transaction := reflect.TypeOf(tx)
	allow, ok := transaction.Elem().FieldByName("AllowType")
	values := at(plain.Elem(), "data", unsafe.Offsetof(engineMap{}.data))
	entries := values.Elem().Elem()
	text := reflect.TypeFor[string]()
	switch {
	case !ok, allow.Type.Kind() != reflect.Int, at(plain.Elem(), "isCaseSensitive", 0) != reflect.TypeFor[bool](), values.Kind() != reflect.Map, values.Key() != text,
		values.Elem().Kind() != reflect.Slice, entries.Size() != unsafe.Sizeof(entry{}),
		at(entries, "key", 0) != text, at(entries, "value", unsafe.Offsetof(entry{}.value)) != text,
		at(plain.Elem(), "totalValues", unsafe.Offsetof(engineMap{}.total)) != reflect.TypeFor[int](),
		at(named.Elem(), "Map", 0) != plain, at(joined.Elem(), "data", 0) != reflect.TypeFor[[]collection.Keyed]():
		return opener{}, fmt.Errorf("read collections: they are laid out in another way")
	}
	return opener{plain, named, joined, transaction, allow.Offset}, nil
}

// at gives the type of a field; it panics unless that is so many bytes behind the
// beginning.
func at(t reflect.Type, name string, offset uintptr) reflect.Type {
	f, ok := t.FieldByName(name)
	if !ok || f.Offset != offset {
		panic(fmt.Sprintf("%v has no field %s at %d", t, name, offset))
	}
	return f.Type
}

// endPhase ends the phase that runs: the engine would compare each of its rules with
// all that were taken out. ok is false when it cannot be told so.
func (o *opener) endPhase(tx any) (ok bool) {
	if reflect.TypeOf(tx) != o.transaction {
		return false
	}
	*(*int)(unsafe.Add(reflect.ValueOf(tx).UnsafePointer(), o.allow)) = allowsPhase
	return true
}

// open gives the map of a collection that has one; else nil.
func (o *opener) open(col collection.Collection) *engineMap {
	switch t := reflect.TypeOf(col); {
	case t == nil:
		return nil
	case t == o.plain:
		return (*engineMap)(reflect.ValueOf(col).UnsafePointer())
	case t == o.named:
		return (*engineNamed)(reflect.ValueOf(col).UnsafePointer()).of
	}
	return nil
}

// appendAll appends all that is in a collection.
func (o *opener) appendAll(into []entry, col collection.Collection) []entry {
	if m := o.open(col); m != nil {
		for _, list := range m.data {
			into = append(into, list...)
		}
		return into
	}
	if t := reflect.TypeOf(col); t != nil && t == o.joined {
		for _, part := range (*engineJoined)(reflect.ValueOf(col).UnsafePointer()).of {
			into = o.appendAll(into, part)
		}
		return into
	}
	for _, m := range col.FindAll() {
		into = append(into, entry{m.Key(), m.Value()})
	}
	return into
}
