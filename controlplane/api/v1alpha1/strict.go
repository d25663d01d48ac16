package v1alpha1

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gabion-io/gabion/internal/spelling"
)

// checkType walks a document beside the Go type it is to become and reports
// every unknown field and every wrong type at its line, where encoding/json
// would stop at the first and name neither.
func checkType(t *tree, typ reflect.Type, path string, report reporter) {
	if t.kind == scalar && t.scalar == nil {
		return // null is as good as absent
	}
	if typ.Kind() == reflect.Pointer {
		checkType(t, typ.Elem(), path, report)
		return
	}
	if isLeaf(typ) {
		checkLeaf(t, typ, path, report)
		return
	}
	switch typ.Kind() {
	case reflect.Struct:
		checkStruct(t, typ, path, report)
	case reflect.Map:
		if t.kind != mapping {
			report(t.line, path, "must be a mapping of names to values, is "+t.describe())
			return
		}
		for _, f := range t.names {
			checkType(f.value, typ.Elem(), join(path, f.name), report)
		}
	case reflect.Slice:
		if t.kind != sequence {
			report(t.line, path, "must be a list, is "+t.describe())
			return
		}
		for i, item := range t.items {
			checkType(item, typ.Elem(), fmt.Sprintf("%s[%d]", path, i), report)
		}
	}
}

// isLeaf says whether a type reads its own JSON or is a scalar.
func isLeaf(typ reflect.Type) bool {
	if reflect.PointerTo(typ).Implements(reflect.TypeFor[json.Unmarshaler]()) {
		return true
	}
	switch typ.Kind() {
	case reflect.Struct, reflect.Map:
		return false
	case reflect.Slice:
		return typ.Elem().Kind() == reflect.Uint8
	}
	return true
}

func checkLeaf(t *tree, typ reflect.Type, path string, report reporter) {
	err := json.Unmarshal(t.json(), reflect.New(typ).Interface())
	if err == nil {
		return
	}
	own := reflect.PointerTo(typ).Implements(reflect.TypeFor[json.Unmarshaler]())
	switch {
	case typ == reflect.TypeFor[metav1.Time]():
		report(t.line, path, "is no time: write it like 2026-12-31T00:00:00Z")
	case own:
		report(t.line, path, err.Error())
	case typ.Kind() == reflect.String && t.kind == scalar:
		report(t.line, path, fmt.Sprintf("must be text, is %s: put it in quotes", t.describe()))
	case typ.Kind() == reflect.Slice:
		report(t.line, path, "must be base64, is "+t.describe())
	default:
		report(t.line, path, fmt.Sprintf("must be %s, is %s", typeName(typ), t.describe()))
	}
}

func checkStruct(t *tree, typ reflect.Type, path string, report reporter) {
	if t.kind != mapping {
		report(t.line, path, "must be a mapping of fields, is "+t.describe())
		return
	}
	fields := structFields(typ)
	for _, f := range t.names {
		below := join(path, f.name)
		n := slices.IndexFunc(fields, func(s structField) bool { return s.name == f.name })
		if n < 0 {
			names := make([]string, len(fields))
			for i := range fields {
				names[i] = fields[i].name
			}
			report(f.line, below, "unknown field"+suggest(f.name, names))
			continue
		}
		checkType(f.value, fields[n].typ, below, report)
	}
}

type structField struct {
	name  string
	typ   reflect.Type
	index []int
	tag   reflect.StructTag
}

// structFields lists a struct's fields as JSON sees them, embedded ones inlined.
func structFields(typ reflect.Type) []structField {
	var out []structField
	for i := range typ.NumField() {
		f := typ.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case name == "-" || !f.IsExported():
		case f.Anonymous && name == "" && f.Type.Kind() == reflect.Struct:
			for _, below := range structFields(f.Type) {
				below.index = append([]int{i}, below.index...)
				out = append(out, below)
			}
		default:
			if name == "" {
				name = f.Name
			}
			out = append(out, structField{name, f.Type, []int{i}, f.Tag})
		}
	}
	return out
}

func typeName(typ reflect.Type) string {
	switch typ.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.String:
		return "text"
	case reflect.Float32, reflect.Float64:
		return "a number"
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return fmt.Sprintf("a whole number of at most %d bits, not negative", typ.Bits())
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return fmt.Sprintf("a whole number of at most %d bits", typ.Bits())
	}
	return typ.String()
}

// describe says what a value is, briefly; a text's content may be a secret and
// is not shown.
func (t *tree) describe() string {
	switch {
	case t.kind == mapping:
		return "a mapping"
	case t.kind == sequence:
		return "a list"
	}
	switch v := t.scalar.(type) {
	case bool:
		return fmt.Sprint(v)
	case json.Number:
		return v.String()
	case nil:
		return "null"
	}
	return "text"
}

// suggest ends a message about an unknown name with what was likely meant.
func suggest(got string, known []string) string {
	best, distance := "", 4
	for _, name := range known {
		if d := spelling.Distance(strings.ToLower(got), strings.ToLower(name)); d < distance {
			best, distance = name, d
		}
	}
	if best != "" {
		return fmt.Sprintf(": did you mean %s?", best)
	}
	known = slices.Sorted(slices.Values(known))
	return "; known here: " + strings.Join(known, ", ")
}
