package foreign

import (
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"

	"github.com/gabion-io/gabion/segmentation"
)

// The expression matches what the template matches, with and without a query, and
// reads back as one that matches the same.
func TestTemplateExpressions(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 4))
	segments := []string{"a", "b.c", "x+y", "{id}", "{other}", "", "v1", "(1)"}
	values := []string{"a", "b.c", "bXc", "x+y", "xxy", "", "v1", "(1)", "1", "a%20b"}
	matched := 0
	for range 4000 {
		var template, path strings.Builder
		for range 1 + r.IntN(3) {
			template.WriteString("/" + segments[r.IntN(len(segments))])
		}
		if r.IntN(3) == 0 {
			template.WriteString("/**")
		}
		for range r.IntN(5) {
			path.WriteString("/" + values[r.IntN(len(values))])
		}
		tpl := segmentation.PathTemplate(template.String())
		if tpl.Check() != "" {
			t.Fatal(tpl, tpl.Check())
		}
		expr := templateRegexp(tpl)
		want := tpl.Matches(path.String())
		whole := regexp.MustCompile("^(?:" + expr + ")$")
		if whole.MatchString(path.String()) != want || whole.MatchString(path.String()+"?q=/x") != want {
			t.Fatalf("%s as %s: %q must give %v", tpl, expr, path.String(), want)
		}
		again, ok := regexpTemplate(expr)
		if !ok || again.Matches(path.String()) != want {
			t.Fatalf("%s as %s is read as %s, %v", tpl, expr, again, ok)
		}
		if want {
			matched++
		}
	}
	if matched < 100 {
		t.Errorf("only %d matched", matched)
	}
}

func TestExpressionsThatAreNoTemplates(t *testing.T) {
	for _, expr := range []string{"/public.*", "/a|/b", ".*", "/a[0-9]+", "a", "/a/.*/b", "^/a$"} {
		if got, ok := regexpTemplate(expr); ok {
			t.Errorf("%s is read as %s", expr, got)
		}
	}
	for expr, want := range map[string]segmentation.PathTemplate{"/public": "/public", "/a-b/c_d": "/a-b/c_d", "": ""} {
		if got, ok := regexpTemplate(expr); !ok || got != want {
			t.Errorf("%s is read as %s, %v", expr, got, ok)
		}
	}
}
