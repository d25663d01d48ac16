package file

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/gabion-io/gabion/controlplane/api/v1alpha1"
	"github.com/gabion-io/gabion/controlplane/source"
)

var (
	errTooLarge   = fmt.Errorf("is larger than %d MiB: split it", maxFile>>20)
	errNotRegular = errors.New("is no regular file")
	errEmpty      = errors.New("is empty: remove the file to remove its resources")
)

// shelf keeps each file as last seen and what it held when it was last good.
type shelf map[string]*book

type book struct {
	root    string
	data    []byte
	fault   string
	changed time.Time
	good    []source.Item
	hadGood bool
}

// same says whether nothing differs from what the shelf holds.
func (s shelf) same(f found) bool {
	present := 0
	for _, c := range f.files {
		b := s[c.path]
		if b == nil || !bytes.Equal(b.data, c.data) || b.fault != text(c.err) {
			return false
		}
		present++
	}
	kept := 0
	for path, b := range s {
		if err, gone := f.gone[b.root]; gone {
			if b.fault != text(err) {
				return false
			}
			kept++
		} else if !slices.ContainsFunc(f.files, func(c content) bool { return c.path == path }) {
			return false
		}
	}
	return present+kept == len(s)
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// set takes in what was found and returns what is in force.
func (s shelf) set(f found) source.Set {
	var items []source.Item
	var conditions []v1alpha1.Condition
	present := map[string]bool{}
	for _, c := range f.files {
		present[c.path] = true
		b := s[c.path]
		if b == nil {
			b = &book{}
			s[c.path] = b
		}
		b.root = c.root
		conditions = append(conditions, b.take(c)...)
		items = append(items, b.good...)
	}
	for path, b := range s {
		err, gone := f.gone[b.root]
		switch {
		case present[path]:
		case gone:
			b.fault, b.data = text(err), nil
			items = append(items, b.good...)
		default:
			delete(s, path)
		}
	}
	for root, err := range f.gone {
		conditions = append(conditions, fileCondition(root, fmt.Sprintf("cannot be read (%v): what it held stays in force", errors.Unwrap(err))))
	}
	slices.SortFunc(conditions, func(a, b v1alpha1.Condition) int {
		return cmp.Or(a.Key().Compare(b.Key()), cmp.Compare(a.Path, b.Path), cmp.Compare(a.Message, b.Message))
	})
	return source.NewSet(items, conditions)
}

// take reads a file's present text. With mistakes in it the whole file stays as
// it was last good; one that never was good gives the documents that are.
func (b *book) take(c content) []v1alpha1.Condition {
	b.data, b.fault, b.changed = c.data, text(c.err), c.changed
	if c.err == nil && len(c.data) == 0 && b.hadGood {
		c.err = errEmpty
	}
	if c.err != nil {
		return []v1alpha1.Condition{fileCondition(c.path, c.err.Error()+b.consequence())}
	}
	docs, problems := v1alpha1.DecodeDocuments(c.path, c.data)
	var out []v1alpha1.Condition
	for _, p := range problems {
		out = append(out, problemCondition(p, b.consequence()))
	}
	if len(problems) > 0 && b.hadGood {
		return out
	}
	b.good = nil
	for _, d := range docs {
		b.good = append(b.good, source.Item{
			Object: d.Object, Origin: source.File, File: c.path, Line: d.Line, Manifest: d.Text,
			Created: c.changed, Updated: c.changed,
		})
	}
	b.hadGood = len(problems) == 0
	return out
}

func (b *book) consequence() string {
	if b.hadGood {
		return "; the file's last good version stays in force"
	}
	return ""
}

// problemCondition puts a mistake on the resource it is in, or, when that cannot
// be told, on the file.
func problemCondition(p v1alpha1.Problem, consequence string) v1alpha1.Condition {
	if p.Key.Kind == "" || p.Key.Name == "" {
		return fileCondition(p.File, fmt.Sprintf("line %d: %s%s", p.Line, p.Message, consequence))
	}
	c := v1alpha1.Condition{
		Kind: p.Key.Kind, Namespace: p.Key.Namespace, Name: p.Key.Name,
		Type: v1alpha1.Accepted, Status: "False", Reason: "Invalid", Path: p.Path,
	}
	p.Path = "" // it is in the condition
	c.Message = p.Error() + consequence
	return c
}

// KindFile is the kind of conditions that are about a file rather than a
// resource; their name is its path.
const KindFile = "File"

func fileCondition(path, message string) v1alpha1.Condition {
	return v1alpha1.Condition{Kind: KindFile, Name: path, Type: v1alpha1.Accepted, Status: "False", Reason: "Invalid", Message: message}
}
