package same

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"
)

// The stock engine visits the parts of a message in the random order of a Go
// map, and some of what it reports depends on it: which of several matches is
// the last, and so what is captured, counted and named after it, and which value
// its memory of transformed values, kept by place, gives back. So the comparison
// is made where the order is fixed: the tests of this package run a second time,
// built with a copy of the engine's source whose collections are visited in a
// defined order, for both engines alike. There everything is
// equal, without exception.

// orderVariable names the order in the environment of that second run.
const orderVariable = "GABION_VISIT_ORDER"

// fuzzVariable is an environment variable that has TestInOrder fuzz for so long
// instead, see scripts/fuzz.
const fuzzVariable = "GABION_FUZZTIME"

func ordered() bool { return os.Getenv(orderVariable) != "" }

// TestInOrder runs the comparison in a fixed order, in the full suites in two.
func TestInOrder(t *testing.T) {
	if ordered() {
		t.Skip("this is that run")
	}
	mod := changedEngine(t)
	orders := []string{"ascending", "descending"}
	if os.Getenv("GABION_FULL") == "" {
		orders = orders[:1]
	}
	for _, order := range orders {
		t.Run(order, func(t *testing.T) {
			args := []string{"test", "-count=1", "-modfile", mod, "-timeout", "60m"}
			if fuzzTime := os.Getenv(fuzzVariable); fuzzTime != "" {
				args = append(args, "-run", "^$", "-fuzz", "^FuzzSame$", "-fuzztime", fuzzTime, "-parallel", "2")
			} else {
				args = append(args, "-run", "^(TestFastIsTheSame|TestManyValues|TestEveryCombination|TestOrderIsFixed|FuzzSame)$")
			}
			if testing.Short() {
				args = append(args, "-short")
			}
			if testing.Verbose() {
				args = append(args, "-v")
			}
			args = append(args, buildFlags()...)
			cmd := exec.Command("go", append(args, ".")...)
			cmd.Env = append(os.Environ(), orderVariable+"="+order)
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, tail(out))
			}
			t.Logf("%s", tail(out))
		})
	}
}

func tail(out []byte) []byte {
	const most = 20_000
	if len(out) > most {
		out = out[len(out)-most:]
	}
	return out
}

// buildFlags are those this test was built with.
func buildFlags() (out []string) {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return nil
	}
	for _, s := range info.Settings {
		switch {
		case s.Key == "-tags" && s.Value != "":
			out = append(out, "-tags", s.Value)
		case s.Key == "-race" && s.Value == "true":
			out = append(out, "-race")
		}
	}
	return out
}

// changedEngine copies the engine's source, changes every walk over a
// collection in it, and gives a go.mod that takes the copy.
func changedEngine(t testing.TB) string {
	t.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}\n{{.Version}}", "github.com/corazawaf/coraza/v3").Output()
	if err != nil {
		t.Fatalf("find the engine's source: %v", err)
	}
	mod, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		t.Fatalf("find go.mod: %v", err)
	}
	dir, copied := strings.Fields(string(out))[0], filepath.Join(t.TempDir(), "coraza")
	if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	change := func(name string, edit func(string) string) {
		file := filepath.Join(copied, filepath.FromSlash(name))
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		changed := edit(string(text))
		if changed == string(text) {
			t.Fatalf("%s is not as expected: nothing to change", name)
		}
		if err := os.Remove(file); err != nil { // it is read-only
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(changed), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	walk := func(of string) func(string) string {
		return strings.NewReplacer(
			"for k, data := range "+of+" {", "for _, k := range visit("+of+") {\n\t\tdata := "+of+"[k]",
			"for _, data := range "+of+" {", "for _, k := range visit("+of+") {\n\t\tdata := "+of+"[k]",
		).Replace
	}
	change("internal/collections/map.go", func(text string) string {
		return strings.Replace(walk("c.data")(text), "import (", "import (\n\t\"os\"\n\t\"sort\"", 1) + visitFunction
	})
	change("internal/collections/named.go", walk("c.collection.data"))
	// Names that differ in case only overwrite each other in a form, in the order
	// of this walk.
	change("internal/bodyprocessors/urlencoded.go", strings.NewReplacer(
		"for k, vs := range values {", "for _, k := range slices.Sorted(maps.Keys(values)) {\n\t\tvs := values[k]",
		"\"io\"", "\"io\"\n\t\"maps\"\n\t\"slices\"").Replace)
	root := filepath.Dir(strings.TrimSpace(string(mod)))
	for _, name := range []string{"go.mod", "go.sum"} {
		text, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		if name == "go.mod" {
			text = append(text, "\nreplace github.com/corazawaf/coraza/v3 => "+copied+"\n"...)
		}
		if err := os.WriteFile(filepath.Join(filepath.Dir(copied), name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(filepath.Dir(copied), "go.mod")
}

const visitFunction = `
var descending = os.Getenv("` + orderVariable + `") == "descending"

func visit(data map[string][]keyValue) []string {
	keys := make([]string, 0, len(data))
	for k := range data {
		keys = append(keys, k)
	}
	sort.Slice(keys, func(i, j int) bool { return (keys[i] < keys[j]) != descending })
	return keys
}
`

// TestOrderIsFixed: in the second run the order really is.
func TestOrderIsFixed(t *testing.T) {
	if !ordered() {
		t.Skip("only in the ordered run")
	}
	m := message{body: nil}
	m.head.Method, m.head.Path, m.head.Proto = "GET", "/?"+strings.Repeat("a=1&b=2&c=3&d=4&e=5&f=6&g=7&h=8&i=9&j=10&", 1), "HTTP/1.1"
	var first []byte
	for range 20 {
		o, err := run(stock[0], m)
		if err != nil {
			t.Fatal(err)
		}
		b := []byte(strings.Join(o.order, "\n"))
		if first == nil {
			first = b
		}
		if !bytes.Equal(first, b) {
			t.Fatalf("visited in another order:\n%s\n\n%s", first, b)
		}
	}
}
