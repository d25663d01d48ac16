// Package file reads resources from files and directories and watches them.
//
// A file that is broken, or half written, keeps the last good version of what
// it held, with a condition that says so. The composition root imports it.
package file

import (
	"context"
	"log/slog"

	"github.com/gabion-io/gabion/controlplane/source"
)

// Source watches a fixed list of files and directories.
type Source struct{}

// Open reads paths once and starts to watch them until ctx ends. It fails only
// when a path does not exist or cannot be watched; broken manifests are
// conditions of the Snapshot.
func Open(ctx context.Context, log *slog.Logger, paths ...string) (*Source, error) { panic("todo") }

// Read reads paths once.
func Read(paths ...string) (source.Set, error) { panic("todo") }

// Snapshot returns the resources as last read.
func (s *Source) Snapshot() source.Set { panic("todo") }

// Changed receives a value after the Snapshot changed; several changes may fold
// into one value.
func (s *Source) Changed() <-chan struct{} { panic("todo") }

// Close stops watching.
func (s *Source) Close() error { panic("todo") }
