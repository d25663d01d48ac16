// Package servertest starts a whole control plane without proxies for tests: a
// real store in a temporary directory, the real reconciler over it and over
// files, the real review desk, and the REST API on a loopback port.
//
// Tests of controlplane/server and cmd/gabion import it; nothing else does.
package servertest

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/gabion-io/gabion/controlplane/ads"
	"github.com/gabion-io/gabion/controlplane/compile"
	"github.com/gabion-io/gabion/controlplane/identity"
	"github.com/gabion-io/gabion/controlplane/proposal"
	"github.com/gabion-io/gabion/controlplane/reconcile"
	"github.com/gabion-io/gabion/controlplane/server"
	"github.com/gabion-io/gabion/controlplane/source/file"
	"github.com/gabion-io/gabion/controlplane/store"
	"github.com/gabion-io/gabion/controlplane/xds"
	"github.com/gabion-io/gabion/filters"
	wafrules "github.com/gabion-io/gabion/waf-rules"
)

// Plane is a running control plane.
type Plane struct {
	URL     string
	Dir     string // state directory, with admin.token and server.url
	Store   *store.Store
	Loop    *reconcile.Loop
	Handler http.Handler // what answers at URL
}

// TB is what of testing.TB is needed; testscript's environments have it too.
type TB interface {
	Helper()
	Fatal(args ...any)
	Cleanup(func())
	Context() context.Context
}

var _ TB = (testing.TB)(nil)

// Start runs a control plane over manifest files (none: only the store) with its
// state in dir. It ends with the test.
func Start(t TB, dir string, files ...string) *Plane {
	t.Helper()
	return StartWith(t, dir, Changes{}, files...)
}

// Changes are what a test wants otherwise; nil fields change nothing.
type Changes struct {
	Database string                                                                   // of PostgreSQL; empty: SQLite in dir
	Check    func(filters.Policy) []wafrules.Problem                                  // of every policy; nil: the rules' own lint, without compiling
	Options  func(*server.Options)                                                    // of the API
	Observe  func(*store.Store, *slog.Logger) func(context.Context, *reconcile.State) // told every state
}

// StartWith is Start with changes.
func StartWith(t TB, dir string, ch Changes, files ...string) *Plane {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	log := slog.New(slog.DiscardHandler)
	st, err := store.Open(ctx, store.Options{Dir: filepath.Join(dir, "db"), Postgres: ch.Database, Log: log})
	must(t, err)
	sources := []reconcile.Source{reconcile.Stored(st)}
	if len(files) > 0 {
		watched, err := file.Open(ctx, log, files...)
		must(t, err)
		sources = append(sources, reconcile.Files(watched, ""))
	}
	discovery := ads.NewServer(ads.Options{Log: log})
	check := ch.Check
	if check == nil {
		check = lint
	}
	ro := reconcile.Options{
		Sources: sources, Compile: compile.Options{Check: check}, XDS: xds.Options{},
		Publisher: discovery, Mark: st.Mark, Log: log, Now: time.Now,
	}
	if ch.Observe != nil {
		ro.Observe = ch.Observe(st, log)
	}
	loop := reconcile.New(ro)
	must(t, loop.Round(ctx))
	done := make(chan struct{})
	go func() { defer close(done); _ = loop.Run(ctx) }()

	desk := proposal.NewDesk(proposal.Options{Store: st, World: noWorld{}, Log: log})
	authority, err := identity.Open(identity.Options{Dir: dir})
	must(t, err)
	o := server.Options{Store: st, Live: loop, Proxies: discovery, Proposals: desk, Authority: authority, Log: log, Version: "test"}
	if ch.Options != nil {
		ch.Options(&o)
	}
	handler := server.New(ctx, o)
	h := httptest.NewServer(handler)
	t.Cleanup(func() {
		h.Close()
		cancel()
		<-done
		_ = st.Close()
	})
	p := &Plane{URL: h.URL, Dir: dir, Store: st, Loop: loop, Handler: handler}
	must(t, os.WriteFile(filepath.Join(dir, "admin.token"), []byte(p.Token(t, "admin", store.RoleAdmin)+"\n"), 0o600))
	must(t, os.WriteFile(filepath.Join(dir, "server.url"), []byte(h.URL+"\n"), 0o600))
	return p
}

// Token makes a token and returns its secret.
func (p *Plane) Token(t TB, name string, role store.Role) string {
	t.Helper()
	secret, _, err := p.Store.CreateToken(context.Background(), store.TokenSpec{Name: name, Role: role, Author: "test", Replace: true})
	must(t, err)
	return secret
}

// AddEvents stores events as if proxies had sent them.
func (p *Plane) AddEvents(t TB, events ...filters.Event) {
	t.Helper()
	_, err := p.Store.AddEvents(context.Background(), events)
	must(t, err)
}

func must(t TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// lint checks custom rules and exclusions. The filter's own compile belongs to
// filters/chain, which only compositions may join with the control plane.
func lint(p filters.Policy) []wafrules.Problem {
	if len(p.WAF) == 0 {
		return nil
	}
	var s wafrules.Settings
	if err := json.Unmarshal(p.WAF, &s); err != nil {
		return []wafrules.Problem{{Message: err.Error(), Fatal: true}}
	}
	return wafrules.Lint(s, wafrules.Context{RequestBody: p.RequestBody.Inspect, ResponseBody: p.ResponseBody.Inspect})
}

// noWorld knows no resource: proposals are tested where they live.
type noWorld struct{}

func (noWorld) Judged(_ context.Context, change func(store.Mark) error) error { return change(0) }

func (noWorld) Resource(context.Context, store.Key) (proposal.Resource, error) {
	return proposal.Resource{}, store.ErrNotFound
}

func (noWorld) Effective(context.Context, []byte) (map[string]filters.Table, error) {
	return map[string]filters.Table{}, nil
}

// Shop is traffic to govern: a gateway with one route to one backend.
const Shop = `apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata:
  name: web
spec:
  gatewayClassName: gabion
  listeners:
  - name: http
    protocol: HTTP
    port: 8080
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata:
  name: shop
spec:
  parentRefs:
  - name: web
  hostnames:
  - shop.example.com
  rules:
  - matches:
    - path: {type: PathPrefix, value: /}
    backendRefs:
    - name: shop
      port: 80
---
apiVersion: v1
kind: Service
metadata:
  name: shop
spec:
  ports:
  - port: 80
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  name: shop-1
  labels:
    kubernetes.io/service-name: shop
addressType: IPv4
endpoints:
- addresses: [127.0.0.1]
ports:
- port: 8081
`

// Policy is a WAFPolicy for the shop.
const Policy = `apiVersion: gabion.io/v1alpha1
kind: WAFPolicy
metadata:
  name: shop
spec:
  targetRefs:
  - kind: HTTPRoute
    name: shop
  mode: detect
`
