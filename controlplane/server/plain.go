package server

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/gabion-io/gabion/controlplane/store"
)

// readyTimeout bounds one /readyz.
const readyTimeout = 5 * time.Second

// plainRoutes are what monitoring calls; they are no part of the document.
// Health and readiness tell nothing an outsider could use and need no token;
// /metrics names routes and proxies and needs a viewer's.
func (a *api) plainRoutes(mux *http.ServeMux) {
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, map[string]string{"status": "ok"})
	})
	mux.HandleFunc("GET /readyz", a.readyz)
	metrics := promhttp.HandlerFor(a.Registry, promhttp.HandlerOpts{})
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, r *http.Request) {
		if _, ok := a.authenticate(w, r, store.RoleViewer); ok {
			metrics.ServeHTTP(w, r)
		}
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		writeProblem(w, http.StatusNotFound, "there is nothing here; /openapi.json lists what there is")
	})
}

// Readiness is the answer of /readyz.
type Readiness struct {
	Ready  bool              `json:"ready"`
	Checks map[string]string `json:"checks"` // "ok", or "waiting"
}

func (a *api) readyz(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), readyTimeout)
	defer cancel()
	checks := append([]Check{
		{"store", func(ctx context.Context) error { _, _, err := a.Store.EventsSince(ctx, -1, 0); return err }},
		{"snapshot", a.snapshotBuilt},
	}, a.Ready...)
	out, status := Readiness{Ready: true, Checks: map[string]string{}}, http.StatusOK
	for _, c := range checks {
		out.Checks[c.Name] = "ok"
		if err := guarded(a.Log, func() error { return c.Ok(ctx) }); err != nil {
			out.Ready, out.Checks[c.Name], status = false, "waiting", http.StatusServiceUnavailable
		}
	}
	writeJSON(w, status, out)
}

// guarded turns a panic into an error and logs where it came from.
func guarded(log *slog.Logger, run func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			log.Error("background work panicked", "panic", p, "stack", string(debug.Stack()))
			err = fmt.Errorf("internal error: %v", p)
		}
	}()
	return run()
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}
