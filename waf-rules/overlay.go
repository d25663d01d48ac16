package wafrules

import (
	"bytes"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"
)

// overlay is a file system with some files put in place of, or beside, others.
type overlay struct {
	fs.FS
	files map[string][]byte
}

func (o overlay) Open(name string) (fs.File, error) {
	if text, ok := o.files[name]; ok {
		return &overlaid{bytes.NewReader(text), fileInfo{path.Base(name), int64(len(text))}}, nil
	}
	f, err := o.FS.Open(name)
	if err != nil {
		return nil, err
	}
	if info, err := f.Stat(); err != nil || !info.IsDir() {
		return f, err
	}
	entries, err := o.ReadDir(name)
	return &directory{f, entries}, err
}

// directory is one of the file system's, with what was put into it.
type directory struct {
	fs.File
	entries []fs.DirEntry
}

// ReadDir gives all entries at once, whatever n.
func (d *directory) ReadDir(int) ([]fs.DirEntry, error) {
	e := d.entries
	d.entries = nil
	return e, nil
}

// ReadDir lists the directory with the files put beside its own.
func (o overlay) ReadDir(dir string) ([]fs.DirEntry, error) {
	entries, err := fs.ReadDir(o.FS, dir)
	if err != nil {
		return nil, err
	}
	have := map[string]bool{}
	for _, e := range entries {
		have[e.Name()] = true
	}
	for name, text := range o.files {
		if path.Dir(name) == dir && !have[path.Base(name)] {
			entries = append(entries, fs.FileInfoToDirEntry(fileInfo{path.Base(name), int64(len(text))}))
		}
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return entries, nil
}

type overlaid struct {
	io.Reader
	info fileInfo
}

func (f *overlaid) Stat() (fs.FileInfo, error) { return f.info, nil }
func (f *overlaid) Close() error               { return nil }

type fileInfo struct {
	name string
	size int64
}

func (i fileInfo) Name() string       { return i.name }
func (i fileInfo) Size() int64        { return i.size }
func (i fileInfo) Mode() fs.FileMode  { return 0o444 }
func (i fileInfo) ModTime() time.Time { return time.Time{} }
func (i fileInfo) IsDir() bool        { return false }
func (i fileInfo) Sys() any           { return nil }
