package waf

import (
	"reflect"
	"strings"
	"sync"
	"unsafe"
)

// texts holds one copy of each text in compiled rules. The engine keeps a copy of
// the whole rule set's source in every policy; most of it is the same in all.
type texts struct {
	mu    sync.Mutex
	known map[string]string
	size  int // bytes of all
}

// maxTexts bounds what is held, in bytes: the rule set with room to spare. Texts
// that come after stay as they are.
const maxTexts = 4 << 20

func newTexts() *texts { return &texts{known: map[string]string{}} }

// one gives the copy to use of a text.
func (t *texts) one(text string) string {
	if text == "" {
		return text
	}
	if known, ok := t.known[text]; ok {
		return known
	}
	if t.size += len(text); t.size > maxTexts {
		return text
	}
	text = strings.Clone(text) // it may be a part of something long
	t.known[text] = text
	return text
}

// share replaces the texts of a rule, which nobody else may be using yet, by the
// copies to use. It follows what the engine makes anew for every rule and nothing
// else: operators, for one, are already shared between policies in use.
func (t *texts) share(rule reflect.Value) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.walk(rule)
}

func (t *texts) walk(v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		text := (*string)(unsafe.Pointer(v.UnsafeAddr()))
		*text = t.one(*text)
	case reflect.Slice:
		for i := range v.Len() {
			t.walk(v.Index(i))
		}
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() && (v.Kind() == reflect.Interface || ownsTexts(v.Type().Elem())) {
			t.walk(v.Elem())
		}
	case reflect.Struct:
		if !ownsTexts(v.Type()) || !v.CanAddr() {
			return
		}
		for i := range v.NumField() {
			t.walk(v.Field(i))
		}
	}
}

// ownsTexts says that values of the type are made for one rule.
func ownsTexts(t reflect.Type) bool {
	name, ok := strings.CutPrefix(t.PkgPath(), "github.com/corazawaf/coraza/v3/")
	if !ok {
		return false
	}
	switch name {
	case "internal/corazawaf", "internal/corazarules", "internal/actions", "experimental/plugins/macro":
		return true
	}
	return false
}
