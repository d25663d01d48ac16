package openapi

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/gabion-io/gabion/api-discovery"
)

// Each case is a declared document, and one that is taken as observed.
func TestCompare(t *testing.T) {
	cases, err := filepath.Glob("testdata/drift/*.txtar")
	if err != nil || len(cases) == 0 {
		t.Fatal("no cases", err)
	}
	for _, name := range cases {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) {
			ar, err := txtar.ParseFile(name)
			if err != nil {
				t.Fatal(err)
			}
			var specs [2]apidiscovery.Spec
			for i := range specs {
				if specs[i], _, err = Parse(ar.Files[i].Data, Options{Service: "shop", Name: "x.yaml"}); err != nil {
					t.Fatal(err)
				}
			}
			for i := range specs[1].Operations {
				seen(&specs[1].Operations[i])
			}
			var b strings.Builder
			for _, d := range Compare(specs[0], specs[1]) {
				fmt.Fprintf(&b, "%s %s %s: %s\n", d.Kind, d.Method, d.Template, strings.Join(strings.Fields(strings.Join([]string{d.Part, d.Where, d.What, "|", d.Declared, "|", d.Observed}, " ")), " "))
			}
			if *update {
				ar.Files = append(ar.Files[:2], txtar.File{Name: "drift", Data: []byte(b.String())})
				if err := os.WriteFile(name, txtar.Format(ar), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(string(ar.Files[2].Data), b.String()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// seen fills in the counts that ten exchanges would have left.
func seen(o *apidiscovery.Operation) {
	o.Evidence.Successes, o.Traffic.Count = 10, 10
	for i := range o.Params {
		o.Params[i].Count = 10
		if !o.Params[i].Required {
			o.Params[i].Count = 4
		}
	}
	for i := range o.Request {
		o.Request[i].Count = 10
	}
	for i := range o.Responses {
		o.Responses[i].Count = 10
		for k := range o.Responses[i].Bodies {
			o.Responses[i].Bodies[k].Count = 10
		}
	}
	for i := range o.Auth {
		o.Auth[i].Count, o.Auth[i].Accepted = 10, 10
	}
}

func TestFitsSegment(t *testing.T) {
	for _, c := range []struct {
		declared, seen string
		want           bool
	}{
		{"users", "users", true}, {"users", "user", false}, {"{id}", "7", true}, {"{id}", "{userId}", true}, {"{id}.json", "{x}.json", true}, {"{id}.json", "7.xml", false},
		{"{id}.json", ".json", false}, {"v{n}", "v2", true}, {"v{n}", "w2", false}, {"{a}...{b}", "x...y", true}, {"{a}...{b}", "x..y", false}, {"{a}{b}", "xy", true}, {"{a}{b}", "x", false},
	} {
		if got := fitsSegment(c.declared, c.seen); got != c.want {
			t.Errorf("%q for %q: %v", c.declared, c.seen, got)
		}
	}
}

func FuzzFitsSegment(f *testing.F) {
	f.Add("{a}...{b}", "x...y")
	f.Fuzz(func(t *testing.T, declared, seen string) {
		if len(declared)+len(seen) < 200 {
			fitsSegment(declared, seen)
		}
	})
}
