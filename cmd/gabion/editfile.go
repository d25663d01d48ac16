package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/gabion-io/gabion/controlplane/api/v1alpha1"
	"github.com/gabion-io/gabion/internal/atomicfile"
)

// editFile puts text in place of one resource's document in a file, or takes the
// document out when text is nil. Everything else in the file stays as it is. The
// file is replaced whole, so that a watcher never reads half of it.
func editFile(file string, key v1alpha1.Key, text []byte) error {
	before, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return withHint(fmt.Errorf("edit %s: it does not exist here", file),
			"the name is the control plane's: run this on its machine, in the directory it was started in,\nor make the change printed above by hand")
	}
	if err != nil {
		return fmt.Errorf("edit %s: %w", file, err)
	}
	after, err := replaceDocument(file, before, key, text)
	if err != nil {
		return fmt.Errorf("edit %s: %w", file, err)
	}
	return rewriteFile(file, after)
}

// replaceDocument is editFile on bytes.
func replaceDocument(file string, whole []byte, key v1alpha1.Key, text []byte) ([]byte, error) {
	pieces := documentPieces(whole)
	at := -1
	for i, p := range pieces {
		objects, problems := v1alpha1.Decode(file, p.body)
		for _, o := range objects {
			if v1alpha1.KeyOf(o) != key {
				continue
			}
			if len(objects) > 1 || len(problems) > 0 || at >= 0 {
				return nil, fmt.Errorf("%s shares its document with others or is there twice; edit the file by hand", key)
			}
			at = i
		}
	}
	if at < 0 {
		return nil, fmt.Errorf("%s is not in it any more", key)
	}
	if text == nil {
		pieces = append(pieces[:at], pieces[at+1:]...)
	} else {
		pieces[at].body = append(bytes.TrimRight(text, "\n"), '\n')
	}
	var out []byte
	for i, p := range pieces {
		if i > 0 && p.separator == nil {
			p.separator = []byte("---\n")
		}
		out = append(append(out, p.separator...), p.body...)
	}
	return out, nil
}

// piece is one document of a YAML stream with the separator line before it.
type piece struct{ separator, body []byte }

func documentPieces(whole []byte) []piece {
	pieces := []piece{{}}
	for line := range bytes.Lines(whole) {
		rest, ok := bytes.CutPrefix(line, []byte("---"))
		rest = bytes.TrimSpace(rest)
		if ok && (len(rest) == 0 || rest[0] == '#') {
			pieces = append(pieces, piece{separator: bytes.Clone(line)})
			continue
		}
		last := &pieces[len(pieces)-1]
		last.body = append(last.body, line...)
	}
	if len(pieces) > 1 && len(bytes.TrimSpace(pieces[0].body)) == 0 { // begins with ---
		pieces = pieces[1:]
	}
	return pieces
}

// rewriteFile replaces the file and keeps its mode.
func rewriteFile(file string, text []byte) error {
	info, err := os.Stat(file)
	if err != nil {
		return err
	}
	return atomicfile.Write(file, text, info.Mode().Perm())
}
