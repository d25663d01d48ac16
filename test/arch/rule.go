package arch

import (
	"bytes"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// home says where a dependency may be imported. A path ends at a slash or at
// the end of the import.
type home struct {
	imports []string
	dirs    []string
}

// homes: each heavy dependency has one, so that it can be replaced, and so that
// what does not need it does not link it. Tests below test/ may use them all.
var homes = []home{
	{[]string{"github.com/envoyproxy/go-control-plane"}, []string{"controlplane/xds", "controlplane/ads", "controlplane/ingest", "controlplane/hosts", "filters/extproc", "segmentation/policysync"}},
	{[]string{"github.com/corazawaf"}, []string{"filters/waf", "waf-rules"}},
	{[]string{"github.com/tidwall/gjson"}, []string{"filters/waf"}},
	{[]string{"github.com/petar-dambovaliev/aho-corasick"}, []string{"filters/waf"}},
	{[]string{"C", "runtime/cgo"}, []string{"filters/module"}},
	{[]string{"github.com/cilium/ebpf"}, []string{"segmentation/bpf", "segmentation/datapath", "segmentation/policymap", "segmentation/flowlog", "segmentation/nametap", "api-discovery/capture", "workload/runtime", "internal/tcx"}},
	{[]string{"github.com/cilium/cilium"}, []string{"controlplane/hubble"}},
	{[]string{"github.com/spiffe/go-spiffe"}, []string{"controlplane/identity"}},
	{[]string{"k8s.io/client-go"}, []string{"controlplane/source/kube"}},
	{[]string{"github.com/uptrace/bun", "github.com/pressly/goose", "github.com/jackc/pgx", "modernc.org/sqlite"}, []string{"controlplane/store"}},
	{[]string{"github.com/danielgtaylor/huma"}, []string{"controlplane/server"}},
	{[]string{"github.com/spf13/cobra"}, []string{"cmd"}},
	{[]string{"github.com/graph-gophers/graphql-go"}, []string{"internal/demo", "api-discovery/openapi"}},
	{[]string{"github.com/oasdiff", "github.com/getkin/kin-openapi"}, []string{"api-discovery/changes"}},
	{[]string{"github.com/santhosh-tekuri/jsonschema"}, []string{"filters/apiguard"}},
	{[]string{"github.com/golang-jwt/jwt"}, []string{"internal/demo"}},
	{[]string{"github.com/klauspost/compress", "github.com/andybalholm/brotli"}, []string{"filters/chain"}},
	{[]string{"testing"}, nil},
}

// dependencies holds the homes, and that ir needs nothing but the standard
// library.
func dependencies(t *tree) (bad []string) {
	for _, p := range t.packages {
		if within(p.dir, "test") {
			continue
		}
		for _, f := range p.files {
			for _, i := range f.imports {
				if why := homeless(p.dir, i, f.test); why != "" {
					bad = append(bad, fmt.Sprintf("%s imports %s: %s", path.Join(p.dir, f.name), i, why))
				}
			}
		}
	}
	return bad
}

func homeless(dir, to string, test bool) string {
	if first, _, _ := strings.Cut(to, "/"); within(dir, "controlplane/ir") && !test && strings.Contains(first, ".") {
		return "ir imports the standard library only"
	}
	for _, h := range homes {
		if !slices.ContainsFunc(h.imports, func(i string) bool { return within(to, i) }) {
			continue
		}
		if h.dirs == nil {
			// As with net/http/httptest: a package for tests says so by its name.
			if test || strings.HasSuffix(dir, "test") {
				return ""
			}
			return "only tests import it"
		}
		if !slices.ContainsFunc(h.dirs, func(d string) bool { return within(dir, d) }) {
			return "its home is " + strings.Join(h.dirs, ", ")
		}
	}
	return ""
}

// noInit holds that nothing happens before main.
func noInit(t *tree) (bad []string) {
	for _, p := range t.packages {
		for _, f := range p.files {
			for _, at := range f.inits {
				bad = append(bad, fmt.Sprintf("%s:%d: func init: what it does belongs into a constructor", path.Join(p.dir, f.name), at.Line))
			}
		}
	}
	return bad
}

// noState holds that a package remembers nothing: two of anything can live in
// one process. sync.OnceValue and its kin are constants made late, and are fine.
func noState(t *tree) (bad []string) {
	for _, p := range t.packages {
		if p.dir == "filters/module" {
			continue // a library loaded into Envoy has no other place for its one runtime
		}
		for _, f := range p.files {
			if f.test {
				continue
			}
			for _, at := range f.state {
				bad = append(bad, fmt.Sprintf("%s:%d: a package variable that changes: give it to a constructor", path.Join(p.dir, f.name), at.Line))
			}
		}
	}
	return bad
}

// vague are the names that say nothing about what is inside.
var vague = []string{"util", "utils", "common", "helper", "helpers", "types", "manager", "impl", "misc", "shared", "lib"}

// names holds that packages and files are named by the field's words.
func names(t *tree) (bad []string) {
	for _, p := range t.packages {
		if slices.Contains(vague, p.name) {
			bad = append(bad, fmt.Sprintf("%s: a package named %q says nothing about what it is", p.dir, p.name))
		}
		for _, f := range p.files {
			if stem := strings.TrimSuffix(strings.TrimSuffix(f.name, ".go"), "_test"); slices.Contains(vague, stem) {
				bad = append(bad, fmt.Sprintf("%s: a file named %q says nothing about what is inside", path.Join(p.dir, f.name), f.name))
			}
		}
	}
	return bad
}

// docs holds that every package says what it is.
func docs(t *tree) (bad []string) {
	for _, p := range t.packages {
		switch {
		case p.doc == "":
			bad = append(bad, fmt.Sprintf("%s: package %s has no package comment: say what it is, what it is not, and who may import it", p.dir, p.name))
		case p.name != "main" && !strings.HasPrefix(p.doc, "Package "+p.name+" "):
			bad = append(bad, fmt.Sprintf("%s: the package comment does not begin with \"Package %s \"", p.dir, p.name))
		}
	}
	return bad
}

// words are what no file may mention; each is a regular expression.
var words = []string{}

// wording holds it, in every file that is text.
func wording(root string, t *tree, words []string) (bad []string, err error) {
	if len(words) == 0 {
		return nil, nil
	}
	re, err := regexp.Compile("(?i)" + strings.Join(words, "|"))
	if err != nil {
		return nil, fmt.Errorf("compile forbidden words: %w", err)
	}
	for _, f := range t.files {
		b, err := os.ReadFile(filepath.Join(root, f))
		if err != nil {
			return nil, fmt.Errorf("read file: %w", err)
		}
		if bytes.IndexByte(b[:min(len(b), 8000)], 0) >= 0 {
			continue
		}
		for n, line := range bytes.Split(b, []byte("\n")) {
			if m := re.Find(line); m != nil {
				bad = append(bad, fmt.Sprintf("%s:%d: mentions %q", f, n+1, m))
			}
		}
	}
	return bad, nil
}
