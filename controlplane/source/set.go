// Package source is the vocabulary of where resources come from: an immutable
// Set of Items, each with its one Origin. Its parts fill sets from files
// (source/file), the store (source/store) and the flags of gabion up
// (source/flags).
//
// It does not judge what resources mean (controlplane/compile). The control
// plane's parts and the command line may import it.
package source

import (
	"slices"
	"time"

	"github.com/gabion-io/gabion/controlplane/api/v1alpha1"
)

// Origin is where a resource is written; it can be changed only there.
type Origin string

const (
	File  Origin = "file"  // a manifest on disk, owned by whoever edits it
	Store Origin = "store" // written through the API
	Flags Origin = "flags" // generated from the flags of gabion up
)

// rank orders origins by who owns a name that several claim.
func (o Origin) rank() int { return slices.Index([]Origin{File, Store, Flags}, o) }

// Item is one resource with where it came from. It is shared and never changed.
type Item struct {
	Object   v1alpha1.Object
	Origin   Origin
	File     string // with origin file
	Line     int    // where its document begins
	Manifest []byte // the text as written (file) or stored (canonical)
	Revision int64  // of the store; 0 elsewhere
	Created  time.Time
	Updated  time.Time
}

// Key returns the resource's name.
func (i Item) Key() v1alpha1.Key { return v1alpha1.KeyOf(i.Object) }

// Set is an immutable collection of resources with distinct names, sorted by
// key, and the conditions met while collecting them.
type Set struct {
	items      []Item
	conditions []v1alpha1.Condition
	mark       int64
}

// Items returns the resources sorted by key. The slice is shared: read only.
func (s Set) Items() []Item { return s.items }

// Conditions returns what was wrong while collecting: broken files, names that
// two origins claim.
func (s Set) Conditions() []v1alpha1.Condition { return s.conditions }

// Mark is what the store's resources were marked with when they were read; 0 for a
// set without the store.
func (s Set) Mark() int64 { return s.mark }

// Marked is the set with a mark.
func (s Set) Marked(mark int64) Set {
	s.mark = mark
	return s
}

// Get finds a resource by name.
func (s Set) Get(k v1alpha1.Key) (Item, bool) {
	n, ok := slices.BinarySearchFunc(s.items, k, func(i Item, k v1alpha1.Key) int { return i.Key().Compare(k) })
	if !ok {
		return Item{}, false
	}
	return s.items[n], true
}
