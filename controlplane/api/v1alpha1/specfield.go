package v1alpha1

import (
	"reflect"
	"strings"
)

// SpecField is one field of a policy's spec that policies merge by: a scalar,
// or a list as a whole.
type SpecField struct {
	Path   string // "requestBody.limit"
	Append bool   // lists of several policies are joined, not replaced
	index  []int
}

// Within says whether the field is the named one or lies inside it.
func (s SpecField) Within(name string) bool {
	return s.Path == name || strings.HasPrefix(s.Path, name+".")
}

// SpecFields lists the fields of a policy's spec (WAFPolicySpec and its like,
// by value or pointer) in the order they are declared. How a policy attaches is
// not among them.
func SpecFields(spec any) []SpecField {
	typ := reflect.TypeOf(spec)
	if typ.Kind() == reflect.Pointer {
		typ = typ.Elem()
	}
	return specFields(typ, "", nil)
}

func specFields(typ reflect.Type, path string, index []int) []SpecField {
	var out []SpecField
	for i := range typ.NumField() {
		f := typ.Field(i)
		if f.Type == reflect.TypeFor[Attachment]() {
			continue
		}
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		below := strings.TrimPrefix(path+"."+name, ".")
		at := append(append([]int(nil), index...), i)
		if f.Type.Kind() == reflect.Pointer && f.Type.Elem().Kind() == reflect.Struct && !isLeaf(f.Type.Elem()) && f.Tag.Get("merge") != "whole" {
			out = append(out, specFields(f.Type.Elem(), below, at)...)
			continue
		}
		out = append(out, SpecField{Path: below, Append: f.Tag.Get("merge") == "append", index: at})
	}
	return out
}

// Get returns the field's value in a spec (given by value or pointer) and
// whether it is set there.
func (s SpecField) Get(spec any) (reflect.Value, bool) {
	v := reflect.Indirect(reflect.ValueOf(spec))
	for _, i := range s.index {
		if v.Kind() == reflect.Pointer {
			if v.IsNil() {
				return reflect.Value{}, false
			}
			v = v.Elem()
		}
		v = v.Field(i)
	}
	return v, !v.IsNil()
}

// Set puts a value that Get returned into another spec, given by pointer.
func (s SpecField) Set(spec any, value reflect.Value) {
	v := reflect.ValueOf(spec).Elem()
	for _, i := range s.index {
		if v.Kind() == reflect.Pointer {
			if v.IsNil() {
				v.Set(reflect.New(v.Type().Elem()))
			}
			v = v.Elem()
		}
		v = v.Field(i)
	}
	v.Set(value)
}
