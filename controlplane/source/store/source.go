// Package store turns the resources held by the control plane's store into a
// source.Set. It knows the store by a small interface only.
package store

import (
	"context"
	"time"

	"github.com/gabion-io/gabion/controlplane/source"
)

// Record is one stored resource: its canonical manifest and its revision.
type Record struct {
	Manifest []byte
	Revision int64
	Created  time.Time
	Updated  time.Time
}

// Lister is what the store offers.
type Lister interface {
	// Resources lists all resources in force with origin store.
	Resources(ctx context.Context) ([]Record, error)
}

// Read lists the store's resources. A manifest that no longer decodes (written
// by another version) is a condition, not an error.
func Read(ctx context.Context, l Lister) (source.Set, error) { panic("todo") }
