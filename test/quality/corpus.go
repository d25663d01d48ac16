package main

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
)

// sample is one raw request with what it is.
type sample struct {
	name   string // "1c/c8/….black"
	attack bool
	raw    []byte
}

// corpusEnv names a directory of unpacked requests, or an archive of them.
const corpusEnv = "GABION_WAF_CORPUS"

// findCorpus looks where the corpus may be: it is under another licence and no
// part of the repository.
func findCorpus() string {
	if p := os.Getenv(corpusEnv); p != "" {
		return p
	}
	found, _ := filepath.Glob("../shared/waf-corpus/*.tar.xz")
	if len(found) == 0 {
		return ""
	}
	return found[0]
}

// readCorpus reads requests whose names end in .black (attacks) and .white, in
// order of name.
func readCorpus(from string) ([]sample, error) {
	var out []sample
	add := func(name string, read func() ([]byte, error)) error {
		ext := path.Ext(name)
		if ext != ".black" && ext != ".white" {
			return nil
		}
		raw, err := read()
		if err != nil {
			return fmt.Errorf("read %s: %w", name, err)
		}
		out = append(out, sample{strings.TrimPrefix(path.Clean(filepath.ToSlash(name)), "./"), ext == ".black", raw})
		return nil
	}
	info, err := os.Stat(from)
	switch {
	case err != nil:
		return nil, fmt.Errorf("find the corpus: %w", err)
	case info.IsDir():
		err = filepath.WalkDir(from, func(name string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			rel, err := filepath.Rel(from, name)
			if err != nil {
				return err
			}
			return add(rel, func() ([]byte, error) { return os.ReadFile(name) })
		})
	default:
		err = readArchive(from, add)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].name < out[j].name })
	return out, err
}

// readArchive unpacks in memory; nothing is written.
func readArchive(file string, add func(string, func() ([]byte, error)) error) error {
	if _, err := exec.LookPath("xz"); err != nil {
		return errors.New("read the corpus: xz is missing: run scripts/setup quality")
	}
	cmd := exec.Command("xz", "-dc", file)
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("unpack the corpus: %w", err)
	}
	t := tar.NewReader(pipe)
	for {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil && h.Typeflag == tar.TypeReg {
			err = add(h.Name, func() ([]byte, error) { return io.ReadAll(t) })
		}
		if err != nil {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
			return fmt.Errorf("unpack the corpus: %w", err)
		}
	}
	_, _ = io.Copy(io.Discard, pipe)
	return cmd.Wait()
}

// folder is the number in a sample's first folder, written in hexadecimal.
func (s sample) folder() int {
	first, _, _ := strings.Cut(s.name, "/")
	n, err := strconv.ParseInt(first, 16, 32)
	if err != nil {
		return -1
	}
	return int(n)
}
