package xds

import (
	"encoding/json"
	"reflect"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"
)

// invalid asks the message's own rules (protoc-gen-validate, the same that Envoy
// enforces) and says what is wrong; "": nothing.
func invalid(m proto.Message) string {
	v, ok := m.(interface{ Validate() error })
	if !ok {
		return ""
	}
	if err := v.Validate(); err != nil {
		return err.Error()
	}
	return ""
}

const brokenText = "it has no name or holds text that is not UTF-8"

// readable reports whether all text in a value is UTF-8; a protobuf message can
// hold no other.
func readable(v any) bool { return utf8Throughout(reflect.ValueOf(v)) }

func utf8Throughout(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.String:
		return utf8.ValidString(v.String())
	case reflect.Pointer:
		return v.IsNil() || utf8Throughout(v.Elem())
	case reflect.Struct:
		for i := range v.NumField() {
			if !utf8Throughout(v.Field(i)) {
				return false
			}
		}
	case reflect.Slice:
		if v.Type() == reflect.TypeFor[json.RawMessage]() {
			return utf8.Valid(v.Bytes())
		}
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return true // bytes may be anything
		}
		for i := range v.Len() {
			if !utf8Throughout(v.Index(i)) {
				return false
			}
		}
	}
	return true
}
