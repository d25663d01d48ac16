// Package xdstest reads the golden cases of package xds: one txtar file each,
// with the intent that goes in (in.json, options.json, PEM files) and what comes
// out. Only tests import it.
package xdstest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"strings"

	"golang.org/x/tools/txtar"

	"github.com/gabion-io/gabion/controlplane/ir"
	"github.com/gabion-io/gabion/controlplane/xds"
)

// Case is one golden case.
type Case struct {
	Name    string
	Path    string
	In      *ir.IR
	Options xds.Options

	archive *txtar.Archive
}

// Load reads all cases of a directory.
func Load(dir string) ([]*Case, error) {
	paths, err := filepath.Glob(filepath.Join(dir, "*.txtar"))
	if err != nil {
		return nil, err
	}
	if len(paths) == 0 {
		return nil, fmt.Errorf("no cases in %s", dir)
	}
	var out []*Case
	for _, p := range paths {
		c, err := load(p)
		if err != nil {
			return nil, fmt.Errorf("load case %s: %w", p, err)
		}
		out = append(out, c)
	}
	return out, nil
}

func load(p string) (*Case, error) {
	archive, err := txtar.ParseFile(p)
	if err != nil {
		return nil, err
	}
	c := &Case{Name: strings.TrimSuffix(filepath.Base(p), ".txtar"), Path: p, In: &ir.IR{}, archive: archive}
	in, ok := c.File("in.json")
	if !ok {
		return nil, errors.New("no in.json")
	}
	if err := decode(in, c.In); err != nil {
		return nil, err
	}
	if b, ok := c.File("options.json"); ok {
		if err := decode(b, &c.Options); err != nil {
			return nil, err
		}
	}
	// A secret "default/shop" has its PEM in shop.crt and shop.key, or shop.ca.
	for i := range c.In.Secrets {
		s := &c.In.Secrets[i]
		base := path.Base(s.Name)
		s.Cert, _ = c.File(base + ".crt")
		s.Key, _ = c.File(base + ".key")
		s.CA, _ = c.File(base + ".ca")
	}
	return c, nil
}

func decode(b []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	return d.Decode(into)
}

// File is one file of the case.
func (c *Case) File(name string) ([]byte, bool) {
	for _, f := range c.archive.Files {
		if f.Name == name {
			return f.Data, true
		}
	}
	return nil, false
}

// Set replaces or appends one file of the case; an empty one is left out.
func (c *Case) Set(name string, data []byte) {
	for i, f := range c.archive.Files {
		if f.Name != name {
			continue
		}
		if len(data) == 0 {
			c.archive.Files = append(c.archive.Files[:i], c.archive.Files[i+1:]...)
			return
		}
		c.archive.Files[i].Data = data
		return
	}
	if len(data) > 0 {
		c.archive.Files = append(c.archive.Files, txtar.File{Name: name, Data: data})
	}
}

// Format is the case as it would be written.
func (c *Case) Format() []byte { return txtar.Format(c.archive) }
