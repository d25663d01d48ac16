package server

import (
	"context"
	"fmt"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/gabion-io/gabion/controlplane/compile"
	"github.com/gabion-io/gabion/controlplane/reconcile"
	"github.com/gabion-io/gabion/controlplane/source"
	"github.com/gabion-io/gabion/controlplane/xds"
)

// Live is the resource set in force, whatever its origin; *reconcile.Loop is one.
type Live interface {
	// State is what the last reconcile made; nil before the first.
	State() *reconcile.State
	// Preview derives what a candidate set would become; nothing is published.
	Preview(candidate source.Set) (*reconcile.State, error)
	// Settle waits until everything stored before the call is served.
	Settle(ctx context.Context) (*reconcile.State, error)
	// CompileOptions are what State was compiled with.
	CompileOptions() compile.Options
}

// state is the current state, or 503 while there is none yet.
func (a *api) state() (*reconcile.State, error) {
	s := a.Live.State()
	if s == nil {
		return nil, huma.NewError(http.StatusServiceUnavailable, "the control plane is still starting; try again in a moment")
	}
	return s, nil
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
