// Package store turns the resources held by the control plane's store into a
// source.Set. It knows the store by a small interface only. The composition root
// imports it.
package store

import (
	"context"
	"fmt"
	"time"

	"github.com/gabion-io/gabion/controlplane/api/v1alpha1"
	"github.com/gabion-io/gabion/controlplane/source"
)

// Record is one stored resource: its manifest and its revision.
type Record struct {
	Manifest []byte
	Revision int64
	Created  time.Time
	Updated  time.Time
}

// Lister is what the store offers.
type Lister interface {
	// Resources lists all resources in force with origin store, and their mark.
	Resources(ctx context.Context) (records []Record, mark int64, err error)
}

// Read lists the store's resources. A manifest that no longer decodes (written
// by another version) is a condition, not an error.
func Read(ctx context.Context, l Lister) (source.Set, error) {
	records, mark, err := l.Resources(ctx)
	if err != nil {
		return source.Set{}, fmt.Errorf("list stored resources: %w", err)
	}
	var items []source.Item
	var conditions []v1alpha1.Condition
	for _, r := range records {
		docs, problems := v1alpha1.DecodeDocuments("stored", r.Manifest)
		for _, d := range docs {
			items = append(items, source.Item{
				Object: d.Object, Origin: source.Store, Line: d.Line, Manifest: r.Manifest,
				Revision: r.Revision, Created: r.Created, Updated: r.Updated,
			})
		}
		for _, p := range problems {
			conditions = append(conditions, v1alpha1.Condition{
				Kind: p.Key.Kind, Namespace: p.Key.Namespace, Name: p.Key.Name,
				Type: v1alpha1.Accepted, Status: "False", Reason: "Invalid", Path: p.Path,
				Message: fmt.Sprintf("the stored revision %d cannot be read: %s; apply it anew", r.Revision, p.Message),
			})
		}
	}
	return source.NewSet(items, conditions).Marked(mark), nil
}
