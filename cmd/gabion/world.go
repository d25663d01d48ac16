package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/gabion-io/gabion/controlplane/api/v1alpha1"
	"github.com/gabion-io/gabion/controlplane/compile"
	"github.com/gabion-io/gabion/controlplane/proposal"
	"github.com/gabion-io/gabion/controlplane/reconcile"
	"github.com/gabion-io/gabion/controlplane/server"
	"github.com/gabion-io/gabion/controlplane/source"
	"github.com/gabion-io/gabion/controlplane/store"
	"github.com/gabion-io/gabion/filters"
	"github.com/gabion-io/gabion/internal/recording"
)

// world shows the reconciler to proposals, in their words (proposal.World).
type world struct {
	loop  *reconcile.Loop
	store *store.Store
}

// Judged makes a change while the others answer with what it is written into.
func (w *world) Judged(ctx context.Context, change func(store.Mark) error) error {
	return w.loop.Judged(ctx, func(_ *reconcile.State, mark store.Mark) error { return change(mark) })
}

// Resource returns a resource as it stands, whoever owns it. One that stands for
// flags of `gabion up` has no revision; a proposal leaves it alone and makes a
// resource of its own.
func (w *world) Resource(_ context.Context, k store.Key) (proposal.Resource, error) {
	s := w.loop.State()
	if s == nil {
		return proposal.Resource{}, store.ErrNotFound
	}
	item, ok := s.Set.Get(v1alpha1.Key{Kind: k.Kind, Namespace: k.Namespace, Name: k.Name})
	if !ok {
		return proposal.Resource{}, fmt.Errorf("%s: %w", k, store.ErrNotFound)
	}
	r := proposal.Resource{Resource: store.Resource{Key: k, Manifest: item.Manifest, Time: item.Updated}}
	switch item.Origin {
	case source.File:
		r.Origin, r.File = store.OriginFile, item.File
	case source.Store:
		r.Origin, r.Revision = store.OriginStore, item.Revision
	default:
		r.Origin = store.Origin(item.Origin)
	}
	return r, nil
}

// Effective compiles the resources, with a candidate in place of the one it
// names, into the filter's tables.
func (w *world) Effective(_ context.Context, candidate []byte) (map[string]filters.Table, error) {
	s := w.loop.State()
	if s == nil {
		return nil, errors.New("no configuration has been compiled yet")
	}
	compiled := s.Compiled
	if candidate != nil {
		o := w.loop.CompileOptions()
		set, key, err := withCandidate(s.Set, candidate, o.Now)
		if err != nil {
			return nil, err
		}
		compiled = compile.Compile(set, o)
		if err := refused(compiled.Conditions, key); err != nil {
			return nil, err
		}
	}
	return compiled.Tables()
}

// withCandidate is the set as it would be with one manifest written now.
func withCandidate(set source.Set, manifest []byte, now time.Time) (source.Set, v1alpha1.Key, error) {
	objects, problems := v1alpha1.Decode("candidate", manifest)
	if len(problems) > 0 {
		return source.Set{}, v1alpha1.Key{}, problems[0]
	}
	if len(objects) != 1 {
		return source.Set{}, v1alpha1.Key{}, fmt.Errorf("a candidate is one resource, this has %d", len(objects))
	}
	set = source.NewSet(set.Items(), nil) // what was wrong before is not the candidate's fault
	with, err := set.Written(now, objects[0])
	return with, v1alpha1.KeyOf(objects[0]), err
}

// refused is an error when a resource has a condition that keeps it from acting:
// it is not accepted, or the filter does not take what it became.
func refused(conditions []v1alpha1.Condition, key v1alpha1.Key) error {
	for _, c := range conditions {
		keeps := c.Type == v1alpha1.Accepted || c.Type == v1alpha1.Programmed && (c.Reason == compile.ReasonInvalid || c.Reason == compile.ReasonLastGoodKept)
		if c.Key() == key && c.Bad() && keeps {
			return fmt.Errorf("%s: %s", strings.TrimSpace(key.String()+" "+c.Path), c.Message)
		}
	}
	return nil
}

// observe tells each of several observers of a new state, in order.
func observe(revisions func(context.Context, *reconcile.State), others ...func(*reconcile.State)) func(context.Context, *reconcile.State) {
	return func(ctx context.Context, s *reconcile.State) {
		revisions(ctx, s)
		for _, o := range others {
			o(s)
		}
	}
}

// limitRecordings bounds the archive as the Recordings in force allow together.
func limitRecordings(archive *recording.Archive) func(*reconcile.State) {
	return func(s *reconcile.State) {
		var bytes int64
		var age time.Duration
		for _, r := range s.Compiled.IR.Recording {
			bytes += r.MaxBytes
			age = max(age, r.MaxAge)
		}
		archive.SetLimits(bytes, age)
	}
}

// recorded is the archive as status shows what is stored.
func recorded(archive *recording.Archive) server.Recorded {
	return func() (store.Class, error) {
		u, err := archive.Usage()
		return store.Class{Name: "recordings", Rows: u.Exchanges, Bytes: u.Bytes, Oldest: u.Oldest,
			MaxAge: u.MaxAge, MaxBytes: u.MaxBytes, Pruned: u.Pruned}, err
	}
}

// lostRecordings counts exchanges that were to be recorded and are known to be
// lost.
func lostRecordings(st *store.Store) func(context.Context) (uint64, error) {
	return func(ctx context.Context) (lost uint64, err error) {
		all, err := st.Coverage(ctx)
		if err != nil {
			return 0, err
		}
		for _, c := range all {
			if strings.HasPrefix(c.Source, "recording") {
				lost += c.Lost
			}
		}
		return lost, nil
	}
}

// readToken reads a token file.
func readToken(path string) (string, error) {
	b, err := os.ReadFile(path)
	return strings.TrimSpace(string(b)), err
}
