package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/gabion-io/gabion/controlplane/compile"
	"github.com/gabion-io/gabion/controlplane/reconcile"
	"github.com/gabion-io/gabion/controlplane/source"
	"github.com/gabion-io/gabion/controlplane/store"
	"github.com/gabion-io/gabion/controlplane/xds"
)

// Live is the resource set in force, whatever its origin; *reconcile.Loop is one.
type Live interface {
	// State is what the last reconcile made; nil before the first.
	State() *reconcile.State
	// Fresh is a state with all that was stored before the call, by other replicas, too.
	Fresh(ctx context.Context) (*reconcile.State, error)
	// Judged makes a change that is judged by all the resources, and written with the
	// mark; again when they changed meanwhile (store.ErrMoved), but not for ever.
	Judged(ctx context.Context, change func(*reconcile.State, store.Mark) error) error
	// Preview derives what a candidate set would become; nothing is published.
	Preview(candidate source.Set) (*reconcile.State, error)
	// Settle waits until everything stored before the call is served.
	Settle(ctx context.Context) (*reconcile.State, error)
	// CompileOptions are what State was compiled with.
	CompileOptions() compile.Options
}

// state is the current state, or 503 while there is none yet. It has what was
// acknowledged before, by whichever replica.
func (a *api) state(ctx context.Context) (*reconcile.State, error) {
	if err := a.started(); err != nil {
		return nil, err
	}
	return a.Live.Fresh(ctx)
}

func (a *api) started() error {
	if a.Live.State() == nil {
		return huma.NewError(http.StatusServiceUnavailable, "the control plane is still starting; try again in a moment")
	}
	return nil
}

// judged makes a change that is written into what it was judged by.
func (a *api) judged(ctx context.Context, change func(*reconcile.State, store.Mark) error) error {
	if err := a.started(); err != nil {
		return err
	}
	err := a.Live.Judged(ctx, change)
	if errors.Is(err, store.ErrMoved) {
		return huma.Error409Conflict("nothing was changed: others change resources all the time, and each change has to be checked against theirs; try again")
	}
	return err
}

// ready: a snapshot was built.
func (a *api) snapshotBuilt(context.Context) error {
	if s := a.Live.State(); s == nil || s.Snapshot == nil {
		return fmt.Errorf("no snapshot was built yet")
	}
	return nil
}

// snapshotVersion names the whole of a snapshot by its content.
func snapshotVersion(s *xds.Snapshot) string {
	if s == nil {
		return ""
	}
	return s.ID()
}
