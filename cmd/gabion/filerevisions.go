package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"

	"github.com/gabion-io/gabion/controlplane/api/v1alpha1"
	"github.com/gabion-io/gabion/controlplane/reconcile"
	"github.com/gabion-io/gabion/controlplane/source"
	"github.com/gabion-io/gabion/controlplane/store"
	"github.com/gabion-io/gabion/internal/atomicfile"
)

// fileRevisions keeps every revision of resources that files own, so that they can
// be looked up and rolled back to like any other.
//
// What it recorded last lies in the state directory, which is this control plane's
// alone, and not in the store, which others may share: only who had a resource in
// its files can say that it left them.
type fileRevisions struct {
	store  *store.Store
	path   string
	shared bool   // others may write to the store, too
	note   string // for the audit log, where they do
	log    *slog.Logger

	held map[store.Key]heldByFile // nil: not read yet
	kept bool                     // path says so
}

// heldByFile is a resource as it was last recorded.
type heldByFile struct {
	File   string `json:"file"`
	SHA256 string `json:"sha256"` // of its text
}

// observe records what differs from the state before, and at first what changed
// while nobody looked.
func (f *fileRevisions) observe(ctx context.Context, s *reconcile.State) {
	if f.held == nil {
		f.read(ctx)
	}
	seen := map[store.Key]bool{}
	for _, i := range s.Set.Items() {
		// Secrets stay where their owner put them: no copy of a key in the history.
		if i.Origin != source.File || i.Key().Kind == v1alpha1.KindSecret {
			continue
		}
		k := store.Key(i.Key())
		seen[k] = true
		now := heldByFile{i.File, digestOf(i.Manifest)}
		if f.held[k].SHA256 == now.SHA256 {
			continue
		}
		if f.record(ctx, k, now.File, i.Manifest, false) {
			f.held[k], f.kept = now, false
		}
	}
	for k, was := range f.held {
		if !seen[k] && f.record(ctx, k, was.File, nil, true) {
			delete(f.held, k)
			f.kept = false
		}
	}
	f.keep()
}

func (f *fileRevisions) record(ctx context.Context, k store.Key, file string, manifest []byte, deleted bool) bool {
	r := store.Resource{Key: k, Origin: store.OriginFile, Manifest: manifest, Author: file}
	if _, err := f.store.RecordRevision(ctx, r, deleted, f.note); err != nil {
		f.log.Error("a revision was not recorded", "resource", k.String(), "error", err)
		return false
	}
	return true
}

// read takes in what was recorded last. Where path does not say it, a store that
// nobody shares does; else what left the files since is not recorded.
func (f *fileRevisions) read(ctx context.Context) {
	f.held, f.kept = map[store.Key]heldByFile{}, true
	var rows []fileRow
	b, err := os.ReadFile(f.path)
	if err == nil {
		err = json.Unmarshal(b, &rows)
	}
	if err == nil {
		for _, r := range rows {
			f.held[r.Key] = r.heldByFile
		}
		return
	}
	if !errors.Is(err, fs.ErrNotExist) {
		f.log.Warn("what files held before cannot be read", "file", f.path, "error", err)
	}
	if f.shared {
		return
	}
	recorded, err := f.store.LastOwned(ctx, store.OriginFile)
	if err != nil {
		f.log.Warn("what left the files since the last start is not recorded", "error", err)
	}
	for _, r := range recorded {
		f.held[r.Key], f.kept = heldByFile{r.Author, digestOf(r.Manifest)}, false
	}
}

func digestOf(manifest []byte) string {
	sum := sha256.Sum256(manifest)
	return hex.EncodeToString(sum[:])
}

// fileRow is one resource as it lies in path.
type fileRow struct {
	store.Key
	heldByFile
}

// keep writes what is held; what cannot be written now is with the next state.
func (f *fileRevisions) keep() {
	if f.kept {
		return
	}
	rows := make([]fileRow, 0, len(f.held))
	for k, h := range f.held {
		rows = append(rows, fileRow{k, h})
	}
	b, err := json.Marshal(rows)
	if err == nil {
		err = atomicfile.Write(f.path, b, 0o600)
	}
	if err != nil {
		f.log.Error("what files hold was not written down", "error", fmt.Errorf("write %s: %w", f.path, err))
		return
	}
	f.kept = true
}
