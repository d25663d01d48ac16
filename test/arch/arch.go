// Package arch holds the shape of the repository: who may import whom, where
// each heavy dependency lives, and what no package may do. It reads the files
// themselves; a test that asks `go list` is fooled by Go's test cache.
//
// It is not a linter of taste: every rule here is one that the next change
// would otherwise break unnoticed. Nobody imports it.
package arch

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// tree is what the rules look at.
type tree struct {
	module   string
	packages []*pkg // by directory
	files    []string
}

// pkg is one directory of Go files.
type pkg struct {
	dir   string // slash-separated, "." is the root
	name  string // of the non-test files, else of the tests
	doc   string // the longest package comment
	files []goFile
}

type goFile struct {
	name    string // base name
	test    bool
	imports []string
	inits   []token.Position
	state   []token.Position // package variables that exist to be changed
}

// readTree parses every Go file below root that Go would build.
func readTree(root string) (*tree, error) {
	mod, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		return nil, fmt.Errorf("read module: %w", err)
	}
	_, after, _ := strings.Cut("\n"+string(mod), "\nmodule ")
	module, _, _ := strings.Cut(after, "\n")
	t := &tree{module: strings.TrimSpace(module)}
	byDir := map[string]*pkg{}
	err = filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, file)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		if d.IsDir() {
			if rel != "." && skipDir(rel) {
				return fs.SkipDir
			}
			return nil
		}
		t.files = append(t.files, rel)
		if strings.HasSuffix(rel, ".go") {
			return addFile(byDir, file, rel)
		}
		return nil
	})
	for _, p := range byDir {
		t.packages = append(t.packages, p)
	}
	slices.SortFunc(t.packages, func(a, b *pkg) int { return strings.Compare(a.dir, b.dir) })
	return t, err
}

// skipDir leaves out what is not ours or not Go's.
func skipDir(rel string) bool {
	base := path.Base(rel)
	return strings.HasPrefix(base, ".") && base != ".ci" || strings.HasPrefix(base, "_") ||
		base == "testdata" || base == "node_modules" || rel == "bin"
}

func addFile(byDir map[string]*pkg, file, rel string) error {
	set := token.NewFileSet()
	f, err := parser.ParseFile(set, file, nil, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return fmt.Errorf("parse %s: %w", rel, err)
	}
	dir := path.Dir(rel)
	p := byDir[dir]
	if p == nil {
		p = &pkg{dir: dir}
		byDir[dir] = p
	}
	g := goFile{name: path.Base(rel), test: strings.HasSuffix(rel, "_test.go")}
	if name := strings.TrimSuffix(f.Name.Name, "_test"); p.name == "" || !g.test {
		p.name = name
	}
	if doc := f.Doc.Text(); len(doc) > len(p.doc) {
		p.doc = doc
	}
	for _, i := range f.Imports {
		to, err := strconv.Unquote(i.Path.Value)
		if err != nil {
			return fmt.Errorf("parse %s: %w", rel, err)
		}
		g.imports = append(g.imports, to)
	}
	for _, d := range f.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if d.Recv == nil && d.Name.Name == "init" {
				g.inits = append(g.inits, set.Position(d.Pos()))
			}
		case *ast.GenDecl:
			for _, s := range d.Specs {
				if v, ok := s.(*ast.ValueSpec); ok && d.Tok == token.VAR && changes(v) {
					g.state = append(g.state, set.Position(v.Pos()))
				}
			}
		}
	}
	p.files = append(p.files, g)
	return nil
}

// changes says whether a package variable has, or holds, a lock, an atomic or a
// channel: there is no other use for it than to be changed.
func changes(v *ast.ValueSpec) bool {
	found := false
	look := func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncLit:
			return false
		case *ast.ChanType:
			found = true
		case *ast.SelectorExpr:
			if x, ok := n.X.(*ast.Ident); ok && (x.Name == "sync" || x.Name == "atomic") && !strings.HasPrefix(n.Sel.Name, "Once") {
				found = true
			}
		}
		return !found
	}
	if v.Type != nil {
		ast.Inspect(v.Type, look)
	}
	for _, e := range v.Values {
		ast.Inspect(e, look)
	}
	return found
}
