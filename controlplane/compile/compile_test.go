package compile

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/gabion-io/gabion/controlplane/api/v1alpha1"
	"github.com/gabion-io/gabion/controlplane/source"
	"github.com/gabion-io/gabion/filters"
	wafrules "github.com/gabion-io/gabion/waf-rules"
)

var update = flag.Bool("update", false, "write the expected output of testdata/*.txtar")

var now = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

// check stands in for the filter's own compile: a rule that says BAD is
// refused, one that says IDLE can do nothing. So are operations whose path does.
func check(p filters.Policy) (out []wafrules.Problem) {
	if p.API != nil {
		for i, o := range p.API.Operations {
			path := fmt.Sprintf("api.operations[%d].path", i)
			if strings.Contains(o.Path, "BAD") {
				out = append(out, wafrules.Problem{Path: path, Message: "two holes in one segment", Fatal: true})
			}
			if strings.Contains(o.Path, "IDLE") {
				out = append(out, wafrules.Problem{Path: path, Message: "can do nothing"})
			}
		}
		return out
	}
	var s wafrules.Settings
	if err := json.Unmarshal(p.WAF, &s); err != nil {
		return []wafrules.Problem{{Message: err.Error(), Fatal: true}}
	}
	for i, rule := range s.Rules {
		path := fmt.Sprintf("rules[%d]", i)
		if n := strings.Index(rule, "BAD"); n >= 0 {
			out = append(out, wafrules.Problem{Path: path, Line: 1, Column: n + 1, Message: "unknown operator", Fatal: true})
		}
		if strings.Contains(rule, "IDLE") {
			out = append(out, wafrules.Problem{Path: path, Message: "runs in a phase that never comes"})
		}
	}
	for i, e := range s.Exclusions {
		if e.Rule == 2 && s.ParanoiaLevel < 2 {
			out = append(out, wafrules.Problem{Path: fmt.Sprintf("exclusions[%d].rule", i), Message: "rule 2 belongs to paranoia level 2"})
		}
		if e.Rule == 404 {
			out = append(out, wafrules.Problem{Path: fmt.Sprintf("exclusions[%d].rule", i), Message: "there is no rule 404"})
		}
	}
	return out
}

func testOptions(good map[string]filters.Policy) Options {
	return Options{
		Now: now, Check: check, Good: good,
		Spool:     &filters.Spool{Dir: "/spool", MaxBytes: 1 << 20},
		RecordKey: []byte("0123456789abcdef0123456789abcdef"), RecordDir: "/rec",
	}
}

func decode(t *testing.T, file string, text []byte) []source.Item {
	t.Helper()
	docs, problems := v1alpha1.DecodeDocuments(file, text)
	for _, p := range problems {
		t.Error(p)
	}
	var items []source.Item
	for _, d := range docs {
		items = append(items, source.Item{Object: d.Object, Origin: source.File, File: file, Line: d.Line, Manifest: d.Text})
	}
	return items
}

// TestCompile holds every case of testdata: in.yaml, compiled, is ir.json and
// conditions.txt. Where there is a before.yaml, it was in force before.
func TestCompile(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) { testCase(t, file) })
	}
}

func testCase(t *testing.T, file string) {
	archive, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	parts := map[string][]byte{}
	for _, f := range archive.Files {
		parts[f.Name] = f.Data
	}
	var good map[string]filters.Policy
	if before, ok := parts["before.yaml"]; ok {
		good = Compile(source.NewSet(decode(t, "before.yaml", before), nil), testOptions(nil)).Good
	}
	items := decode(t, "in.yaml", parts["in.yaml"])
	got := outputs(t, source.NewSet(items, nil), good, parts["explain"])
	for range 3 {
		rand.Shuffle(len(items), func(i, j int) { items[i], items[j] = items[j], items[i] })
		again := outputs(t, source.NewSet(items, nil), good, parts["explain"])
		if diff := cmp.Diff(got, again); diff != "" {
			t.Fatalf("the order of resources matters:\n%s", diff)
		}
	}
	if *update {
		write(t, file, archive, got)
		return
	}
	for name, text := range got {
		if diff := cmp.Diff(string(parts[name]), text); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func outputs(t *testing.T, set source.Set, good map[string]filters.Policy, explain []byte) map[string]string {
	t.Helper()
	r := Compile(set, testOptions(good))
	var b bytes.Buffer
	for _, c := range r.Conditions {
		mark := "ok "
		if c.Bad() {
			mark = "BAD"
		}
		fmt.Fprintf(&b, "%s %s %s=%s %s %s: %s\n", mark, c.Key(), c.Type, c.Status, c.Reason, c.Path, c.Message)
	}
	if !r.Next.IsZero() {
		fmt.Fprintf(&b, "next %s\n", r.Next.Format(time.RFC3339))
	}
	out := map[string]string{"ir.json": indent(t, r.IR), "conditions.txt": b.String()}
	if explain != nil {
		e, err := Explain(set, testOptions(good), strings.TrimSpace(string(explain)), "")
		if err != nil {
			t.Fatal(err)
		}
		out["explain.json"] = indent(t, e)
	}
	return out
}

// indent renders without what is unset, so that a golden shows what is said.
func indent(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var plain any
	if err := json.Unmarshal(text, &plain); err != nil {
		t.Fatal(err)
	}
	text, err = json.MarshalIndent(prune(plain), "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(text) + "\n"
}

func prune(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k, below := range v {
			if v[k] = prune(below); v[k] == nil {
				delete(v, k)
			}
		}
		if len(v) == 0 {
			return nil
		}
	case []any:
		for i := range v {
			v[i] = prune(v[i])
		}
		if len(v) == 0 {
			return nil
		}
	case string:
		if v == "" {
			return nil
		}
	case bool:
		if !v {
			return nil
		}
	}
	return v
}

func write(t *testing.T, file string, archive *txtar.Archive, got map[string]string) {
	t.Helper()
	var kept []txtar.File
	for _, f := range archive.Files {
		if _, ok := got[f.Name]; !ok {
			kept = append(kept, f)
		}
	}
	for _, name := range []string{"conditions.txt", "explain.json", "ir.json"} {
		if text, ok := got[name]; ok {
			kept = append(kept, txtar.File{Name: name, Data: []byte(text)})
		}
	}
	archive.Files = kept
	if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
		t.Fatal(err)
	}
}

// FuzzCompile holds that whatever decodes compiles: without a panic, and to the
// same in any order.
func FuzzCompile(f *testing.F) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		archive, err := txtar.ParseFile(file)
		if err != nil {
			f.Fatal(err)
		}
		for _, part := range archive.Files {
			if strings.HasSuffix(part.Name, ".yaml") {
				f.Add(part.Data)
			}
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		docs, _ := v1alpha1.DecodeDocuments("f", data)
		var items []source.Item
		for i, d := range docs {
			items = append(items, source.Item{Object: d.Object, Origin: source.File, Line: i})
		}
		first := Compile(source.NewSet(items, nil), testOptions(nil))
		slices.Reverse(items)
		second := Compile(source.NewSet(items, nil), testOptions(first.Good))
		a, b := indent(t, first.IR), indent(t, second.IR)
		if first.Next.Equal(second.Next) && a != b {
			t.Fatalf("the order of resources matters:\n%s", cmp.Diff(a, b))
		}
	})
}

func refuseAll(filters.Policy) []wafrules.Problem {
	return []wafrules.Problem{{Message: "refused", Fatal: true}}
}

func TestExplainNames(t *testing.T) {
	archive, err := txtar.ParseFile("testdata/grpc.txtar")
	if err != nil {
		t.Fatal(err)
	}
	set := source.NewSet(decode(t, "in.yaml", archive.Files[0].Data), nil)
	for _, c := range []struct {
		route, rule string
		keys        string
		err         string
	}{
		{"api", "", "default/api/0 grpc:default/api/get grpc:default/api/1", ""},
		{"GRPCRoute api", "get", "grpc:default/api/get", ""},
		{"HTTPRoute default/api", "", "default/api/0", ""},
		{"none", "", "", "there is no such route"},
		{"api", "none", "", `has no rule "none"`},
	} {
		list, err := Explain(set, testOptions(nil), c.route, c.rule)
		if (c.err == "") != (err == nil) || (err != nil && !strings.Contains(err.Error(), c.err)) {
			t.Errorf("%s %s: got %v, want %q", c.route, c.rule, err, c.err)
		}
		want := strings.Fields(c.keys)
		slices.Sort(want)
		var keys []string
		for _, e := range list {
			keys = append(keys, e.Key)
		}
		slices.Sort(keys)
		if !slices.Equal(keys, want) {
			t.Errorf("%s %s: got %v, want %v", c.route, c.rule, keys, want)
		}
	}
}
