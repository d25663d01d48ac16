package file

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// maxFile bounds one manifest: a mistake such as -f /var must not fill memory.
const maxFile = 16 << 20

// content is a file as it was found.
type content struct {
	path    string
	root    string // the given path it was found under
	data    []byte
	changed time.Time
	err     error
}

// found is everything below the given paths.
type found struct {
	files []content // sorted by path
	gone  map[string]error
	dirs  []string // to be watched
}

// scan reads every manifest below the paths. A directory is taken with all it
// holds, hidden names left out; symbolic links are followed, once each.
func scan(paths []string) found {
	f := found{gone: map[string]error{}}
	w := walker{found: &f, seen: map[string]bool{}, read: map[string]bool{}}
	for _, p := range paths {
		info, err := os.Stat(p)
		switch {
		case err != nil:
			f.gone[p] = err
			w.dir(filepath.Dir(p))
		case info.IsDir():
			w.walk(p, p)
		default:
			w.file(p, p)
			w.dir(filepath.Dir(p))
			if real, err := filepath.EvalSymlinks(p); err == nil {
				w.dir(filepath.Dir(real))
			}
		}
	}
	slices.SortFunc(f.files, func(a, b content) int { return strings.Compare(a.path, b.path) })
	return f
}

type walker struct {
	found *found
	seen  map[string]bool // real directories walked
	read  map[string]bool // paths read
}

func (w *walker) dir(path string) {
	if !slices.Contains(w.found.dirs, path) {
		w.found.dirs = append(w.found.dirs, path)
	}
}

func (w *walker) walk(dir, root string) {
	real, err := filepath.EvalSymlinks(dir)
	if err != nil || w.seen[real] {
		return
	}
	w.seen[real] = true
	w.dir(dir)
	entries, err := os.ReadDir(dir)
	if err != nil {
		w.found.files = append(w.found.files, content{path: dir, root: root, err: err})
		return
	}
	for _, e := range entries {
		if hidden(e.Name()) {
			continue
		}
		path := filepath.Join(dir, e.Name())
		info, err := os.Stat(path) // follows links, as ReadDir does not
		switch {
		case err != nil && !isManifest(path):
		case err != nil:
			w.found.files = append(w.found.files, content{path: path, root: root, err: err})
		case info.IsDir():
			w.walk(path, root)
		case isManifest(path):
			w.file(path, root)
		}
	}
}

func (w *walker) file(path, root string) {
	if w.read[path] {
		return
	}
	w.read[path] = true
	c := content{path: path, root: root}
	info, err := os.Stat(path)
	switch {
	case err != nil:
		c.err = err
	case !info.Mode().IsRegular():
		c.err = errNotRegular
	case info.Size() > maxFile:
		c.err = errTooLarge
	default:
		c.changed = info.ModTime()
		c.data, c.err = os.ReadFile(path)
	}
	w.found.files = append(w.found.files, c)
}

// hidden names are editors' and Kubernetes' own: .x.swp, ..data, ..2026_01_01.
func hidden(name string) bool {
	return strings.HasPrefix(name, ".") || strings.HasPrefix(name, "#") || strings.HasSuffix(name, "~")
}

func isManifest(path string) bool {
	return slices.Contains([]string{".yaml", ".yml", ".json"}, strings.ToLower(filepath.Ext(path)))
}
