package docs

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const root = "../.."

// pages are all documents of the tree, as paths below root.
func pages(t *testing.T) (found []string) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() && path != root && (strings.HasPrefix(name, ".") || name == "bin" || name == "testdata") {
			return fs.SkipDir
		}
		if filepath.Ext(name) == ".md" {
			found = append(found, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(found, filepath.Join(root, "README.md")) {
		t.Fatal("the walk found no README.md")
	}
	return found
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

var (
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ +(.+)$`)
	notSlug = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
)

func TestLinksLeadSomewhere(t *testing.T) {
	for _, page := range pages(t) {
		for _, m := range link.FindAllStringSubmatch(read(t, page), -1) {
			target, fragment, _ := strings.Cut(m[1], "#")
			if strings.Contains(target, "://") || strings.HasPrefix(target, "mailto:") {
				continue
			}
			to := page
			if target != "" {
				to = filepath.Join(filepath.Dir(page), target)
			}
			if _, err := os.Stat(to); err != nil {
				t.Errorf("%s: the link to %s leads nowhere", page, m[1])
				continue
			}
			if fragment != "" && !slices.Contains(slugs(read(t, to)), fragment) {
				t.Errorf("%s: %s has no heading for #%s", page, to, fragment)
			}
		}
	}
}

// slugs are the fragments under which a page's headings are reached.
func slugs(text string) (out []string) {
	for _, m := range heading.FindAllStringSubmatch(text, -1) {
		s := notSlug.ReplaceAllString(strings.ToLower(m[1]), "")
		out = append(out, strings.ReplaceAll(s, " ", "-"))
	}
	return out
}

// A command is named in code: `gabion waf events …`, or as a line of a block.
var named = regexp.MustCompile("(?m)(?:`|^[$ ]*|\\| )(?:bin/)?gabion ((?:[a-z]+ ?)+)")

func TestNamedCommandsExist(t *testing.T) {
	gabion := buildGabion(t)
	known := map[string]bool{}
	for _, page := range pages(t) {
		for _, m := range named.FindAllStringSubmatch(code(read(t, page)), -1) {
			path := commandOf(t, gabion, known, strings.Fields(m[1]))
			if path == "" {
				t.Errorf("%s: there is no command `gabion %s`", page, strings.TrimSpace(m[1]))
			}
		}
	}
	if len(known) < 10 {
		t.Errorf("only %d commands are named: does the test still read the pages?", len(known))
	}
}

// commandOf is the command that the first of words name; the rest may be its
// arguments, when it takes any.
func commandOf(t *testing.T, gabion string, known map[string]bool, words []string) string {
	t.Helper()
	for n := min(len(words), 3); n > 0; n-- {
		path := strings.Join(words[:n], " ")
		ok, seen := known[path]
		if !seen || n < len(words) {
			out, err := exec.CommandContext(t.Context(), gabion, append(slices.Clone(words[:n]), "--help")...).Output()
			ok = err == nil && strings.Contains(string(out), "\n  gabion "+path)
			// A word that a group does not know is a command that does not exist.
			if n < len(words) && strings.Contains(string(out), "gabion "+path+" [command]") {
				ok = false
			}
			known[path] = ok || known[path]
		}
		if ok {
			return path
		}
	}
	return ""
}

var (
	fenced = regexp.MustCompile("(?ms)^```(?:sh|console)?\n(.*?)^```$")
	inline = regexp.MustCompile("`gabion [^`\n]+`")
)

// code is what a page shows to be typed.
func code(text string) string {
	var b strings.Builder
	for _, m := range fenced.FindAllStringSubmatch(text, -1) {
		b.WriteString(m[1])
	}
	for _, m := range inline.FindAllString(text, -1) {
		b.WriteString(m + "\n")
	}
	return b.String()
}

// buildGabion builds the program of this tree: its help is what the pages are
// held to.
func buildGabion(t *testing.T) string {
	t.Helper()
	if dir := os.Getenv("GABION_BIN"); dir != "" {
		return filepath.Join(dir, "gabion")
	}
	gabion := filepath.Join(t.TempDir(), "gabion")
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", gabion, root+"/cmd/gabion").CombinedOutput()
	if err != nil {
		t.Fatalf("build gabion: %v\n%s", err, out)
	}
	return gabion
}
