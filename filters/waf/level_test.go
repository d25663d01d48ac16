package waf

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gabion-io/gabion/filters"
	wafrules "github.com/gabion-io/gabion/waf-rules"
)

// Markers are left out only where no jump needs them: the author's rules that run
// are the engine's own.
func TestJumpsOfCustomRules(t *testing.T) {
	const (
		one   = `SecRule ARGS "@contains go" "id:1001,phase:1,pass,log,msg:'one'"`
		two   = `SecRule ARGS "@contains go" "id:1002,phase:2,pass,log,msg:'two'"`
		three = `SecRule ARGS "@contains go" "id:1003,phase:2,pass,log,msg:'three'"`
	)
	compilers := map[string]*Compiler{"stock": NewStockCompiler(), "fast": NewCompiler()}
	for name, c := range map[string]struct {
		rules []string
		want  []int
	}{
		"none":          {[]string{one, two, three}, []int{1001, 1002, 1003}},
		"ahead":         {[]string{one, `SecRule ARGS "@contains go" "id:1010,phase:2,pass,nolog,skipAfter:END"`, two, `SecMarker END`, three}, []int{1001, 1003}},
		"not taken":     {[]string{one, `SecRule ARGS "@contains stay" "id:1010,phase:2,pass,nolog,skipAfter:END"`, two, `SecMarker END`, three}, []int{1001, 1002, 1003}},
		"by an action":  {[]string{`SecAction "id:1010,phase:1,pass,nolog,skipAfter:END"`, one, two, `SecMarker END`, three}, []int{1002, 1003}},
		"back":          {[]string{`SecMarker START`, `SecRule ARGS "@contains go" "id:1010,phase:1,pass,nolog,skipAfter:START"`, one, two, three}, []int{1002, 1003}},
		"back, between": {[]string{two, `SecMarker START`, `SecRule ARGS "@contains go" "id:1010,phase:1,pass,nolog,skipAfter:START"`, one, three}, []int{1003}},
		"nowhere":       {[]string{one, `SecRule ARGS "@contains go" "id:1010,phase:1,pass,nolog,skipAfter:NOWHERE"`, two, three}, []int{1001}},
		"a marker counts": {[]string{one, `SecRule ARGS "@contains go" "id:1010,phase:2,pass,nolog,skip:2"`, `SecMarker HERE`, two, three},
			[]int{1001, 1003}},
	} {
		t.Run(name, func(t *testing.T) {
			for kind, compiler := range compilers {
				s := wafrules.Defaults()
				s.Profile, s.Rules = wafrules.ProfileCRS, c.rules
				e, err := compiler.Compile(Config{Settings: s, Detect: true})
				if err != nil {
					t.Fatal(err)
				}
				defer e.Release()
				if e.slow != nil {
					t.Fatal(e.slow)
				}
				tx := e.Begin("x")
				defer tx.Close()
				tx.RequestHeaders(&filters.RequestHead{Method: "GET", Scheme: "http", Authority: "shop.example", Path: "/a?q=go", Proto: "HTTP/1.1"})
				if err := tx.RequestBody(nil, false); err != nil {
					t.Fatal(err)
				}
				var got []int
				for _, m := range tx.tx.MatchedRules() {
					if id := m.Rule().ID(); id > 1000 && id < 1010 {
						got = append(got, id)
					}
				}
				slices.Sort(got)
				if diff := cmp.Diff(c.want, got); diff != "" {
					t.Errorf("%s:\n%s", kind, diff)
				}
			}
		})
	}
}
