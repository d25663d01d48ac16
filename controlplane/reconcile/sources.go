package reconcile

import (
	"context"

	"github.com/gabion-io/gabion/controlplane/source"
	sourcestore "github.com/gabion-io/gabion/controlplane/source/store"
	"github.com/gabion-io/gabion/controlplane/store"
)

// Watched is a source that watches by itself; *file.Source is one.
type Watched interface {
	Snapshot() source.Set
	Changed() <-chan struct{}
}

// Files makes a Source of a watched one. With origin not empty every item is
// given that origin: the flags of gabion up come as a file.
func Files(w Watched, origin source.Origin) Source { return watchedSource{w, origin} }

type watchedSource struct {
	Watched
	origin source.Origin
}

func (w watchedSource) Read(context.Context) (source.Set, error) {
	set := w.Snapshot()
	if w.origin == "" {
		return set, nil
	}
	items := make([]source.Item, 0, len(set.Items()))
	for _, i := range set.Items() {
		i.Origin = w.origin
		items = append(items, i)
	}
	return source.NewSet(items, set.Conditions()), nil
}

// Stored makes a Source of the store.
func Stored(s *store.Store) Source { return storedSource{s} }

type storedSource struct{ *store.Store }

func (s storedSource) Read(ctx context.Context) (source.Set, error) {
	return sourcestore.Read(ctx, storeLister(s))
}

type storeLister storedSource

func (s storeLister) Resources(ctx context.Context) ([]sourcestore.Record, int64, error) {
	resources, mark, err := s.Held(ctx)
	if err != nil {
		return nil, 0, err
	}
	records := make([]sourcestore.Record, len(resources))
	for i, r := range resources {
		records[i] = sourcestore.Record{Manifest: r.Manifest, Revision: r.Revision, Created: r.Time, Updated: r.Time}
	}
	return records, int64(mark), nil
}
