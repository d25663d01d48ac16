package waf

import (
	"reflect"
	"strings"
	"testing"
	"unsafe"

	wafrules "github.com/gabion-io/gabion/waf-rules"
)

// Policies hold the text of a rule that they share once, and their own for
// themselves.
func TestTextsAreShared(t *testing.T) {
	c := NewCompiler()
	raw := func(own string) map[int]string {
		s := wafrules.Defaults()
		s.Rules = []string{own}
		e, err := c.Compile(Config{Settings: s, Limits: wafrules.Limits{RequestBody: 1 << 20}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(e.Release)
		tx := e.waf.NewTransactionWithID("x")
		defer tx.Close()
		rules, err := compiledRules(tx, nil)
		if err != nil {
			t.Fatal(err)
		}
		out := map[int]string{}
		for _, r := range rules {
			out[r.id] = r.raw[0]
		}
		return out
	}
	const one, other = `SecRule ARGS "@streq a" "id:1000,phase:2,deny,msg:'one'"`, `SecRule ARGS "@streq b" "id:1000,phase:2,deny,msg:'other'"`
	a, b := raw(one), raw(other)
	shared := 0
	for id, text := range a {
		if id != 1000 && id != 0 && b[id] == text && unsafe.StringData(text) == unsafe.StringData(b[id]) {
			shared++
		}
	}
	if shared < len(a)*9/10 {
		t.Errorf("%d of %d rules share their text", shared, len(a))
	}
	if a[1000] != one || b[1000] != other {
		t.Errorf("own rules became %q and %q", a[1000], b[1000])
	}
}

func TestTextsAreBounded(t *testing.T) {
	texts := newTexts()
	for i := range 3 {
		long := strings.Repeat(string(rune('a'+i)), maxTexts/2)
		if texts.one(long) != long {
			t.Fatal("a text changed")
		}
	}
	if len(texts.known) != 2 {
		t.Errorf("holds %d texts of half the bound", len(texts.known))
	}
	type foreign struct{ text string }
	f := foreign{"x"}
	texts.share(reflect.ValueOf(&f)) // not the engine's: passed over
	if len(texts.known) != 2 || f.text != "x" {
		t.Error("walked into a type that is not the engine's")
	}
}
