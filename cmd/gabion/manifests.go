package main

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gabion-io/gabion/controlplane/api/v1alpha1"
)

// manifestFlag adds -f.
func manifestFlag(c *cobra.Command, into *[]string, what string) *cobra.Command {
	c.Flags().StringArrayVarP(into, "filename", "f", nil, what+": a file, a directory, or - for standard input (repeatable)")
	_ = c.MarkFlagRequired("filename")
	return c
}

// readManifests reads what -f names and checks it here, where file names and
// line numbers are known. What is returned is one YAML stream.
func (a *app) readManifests(paths []string) ([]byte, error) {
	files, err := manifestFiles(paths)
	if err != nil {
		return nil, err
	}
	var stream [][]byte
	var problems []string
	found := 0
	for _, f := range files {
		text, err := a.readFile(f)
		if err != nil {
			return nil, err
		}
		objects, wrong := v1alpha1.Decode(f, text)
		for _, p := range wrong {
			problems = append(problems, p.Error())
		}
		found += len(objects)
		stream = append(stream, text)
	}
	if len(problems) > 0 {
		return nil, withHint(fmt.Errorf("nothing was sent: the manifests have mistakes\n  - %s", strings.Join(problems, "\n  - ")), "mend them and try again")
	}
	if found == 0 {
		return nil, fmt.Errorf("there is no resource in %s", strings.Join(paths, ", "))
	}
	return bytes.Join(stream, []byte("\n---\n")), nil
}

func (a *app) readFile(name string) ([]byte, error) {
	if name == "-" {
		text, err := io.ReadAll(a.in)
		if err != nil {
			return nil, fmt.Errorf("read standard input: %w", err)
		}
		return text, nil
	}
	return os.ReadFile(name)
}

// manifestFiles lists the files that -f names: a directory stands for its .yaml,
// .yml and .json files, at any depth, in order of name.
func manifestFiles(paths []string) ([]string, error) {
	var files []string
	for _, p := range paths {
		if p == "-" {
			files = append(files, p)
			continue
		}
		info, err := os.Stat(p)
		if err != nil {
			return nil, fmt.Errorf("read the manifests: %w", err)
		}
		if !info.IsDir() {
			files = append(files, p)
			continue
		}
		inside, err := manifestsBelow(p)
		if err != nil {
			return nil, err
		}
		if len(inside) == 0 {
			return nil, fmt.Errorf("no .yaml, .yml or .json file in %s", p)
		}
		files = append(files, inside...)
	}
	return files, nil
}

func manifestsBelow(dir string) (files []string, err error) {
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && path != dir && strings.HasPrefix(d.Name(), ".") {
			return filepath.SkipDir
		}
		if !d.IsDir() && slices.Contains([]string{".yaml", ".yml", ".json"}, filepath.Ext(path)) && !strings.HasPrefix(d.Name(), ".") {
			files = append(files, path)
		}
		return nil
	})
	return files, err
}
