package corpus

import (
	"go/parser"
	"go/token"
	"os"
	"strings"
	"testing"
)

// A generator that used the classifiers' code would measure nothing.
func TestSharesNoCode(t *testing.T) {
	files, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if !strings.HasSuffix(f.Name(), ".go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), f.Name(), nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range parsed.Imports {
			if strings.Contains(i.Path.Value, ".") {
				t.Errorf("%s imports %s: the standard library only", f.Name(), i.Path.Value)
			}
		}
	}
}

func TestSameSeedSameCases(t *testing.T) {
	a, b := Make(1, 3), Make(1, 3)
	if len(a) != len(b) || len(a) < 300 {
		t.Fatalf("%d and %d cases", len(a), len(b))
	}
	for i := range a {
		if a[i] != b[i] {
			t.Fatalf("%+v and %+v", a[i], b[i])
		}
	}
	if other := Make(2, 3); other[0] == a[0] && other[2] == a[2] && other[4] == a[4] {
		t.Error("another seed makes the same")
	}
}
