// Package server is the control plane's REST API: resources, events, proposals,
// rehearsals, tokens and the audit log over HTTP, with its OpenAPI 3.1 document
// generated from the Go types. The command line and the console are its clients.
//
// It holds no state of its own but running rehearsals and login attempts. It
// does not decide what a resource means (controlplane/compile), what is in force
// (controlplane/reconcile) or what is kept (controlplane/store). Only cmd
// imports it.
//
// Every operation but /healthz and /readyz wants a bearer token, /metrics too.
// Every change names its author, the token, in the audit log.
package server

import (
	"cmp"
	"context"
	"log/slog"
	"net/http"
	"path"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/gabion-io/gabion/controlplane/access"
	"github.com/gabion-io/gabion/controlplane/ads"
	"github.com/gabion-io/gabion/controlplane/hosts"
	"github.com/gabion-io/gabion/controlplane/ingest"
	"github.com/gabion-io/gabion/controlplane/inventory"
	"github.com/gabion-io/gabion/controlplane/store"
)

// Options are the parts the API speaks for. Store, Live and Log are required;
// an operation whose part is nil answers 501 and says so.
type Options struct {
	Store     *store.Store
	Live      Live
	Proxies   Proxies              // *ads.Server
	Agents    Agents               // *hosts.Server; nil: none
	Proposals Proposals            // *proposal.Desk
	Efforts   Efforts              // *ingest.Ingest; nil: none are known
	Authority Authority            // *identity.Authority
	Inventory *inventory.Inventory // of operations; nil: none are learned
	Recorded  Recorded             // nil: nothing is
	Gate      *access.Gate         // shared with other doors; nil: one of its own
	Registry  *prometheus.Registry // /metrics; nil: a new one
	Log       *slog.Logger

	Hosts   []string // names allowed in the Host header beside the loopback ones
	Origins []string // origins of pages allowed to call: "https://console.example.com"
	Version string
	Now     func() time.Time // nil: time.Now
	Beat    time.Duration    // of streams, each with a look at the token; 0: 15 s
	Ready   []Check          // beside the store and the first snapshot
}

// Check is one thing /readyz waits for.
type Check struct {
	Name string // "snapshot"
	Ok   func(context.Context) error
}

// Efforts reports what filters said their engines saved.
type Efforts interface{ Efforts() []ingest.Effort }

// Recorded measures what is recorded, beside the store.
type Recorded func() (store.Class, error)

// Proxies reports what the discovery server knows of its clients.
type Proxies interface {
	Status() []ads.ProxyStatus
	Nacks() []ads.Nack
}

// Agents reports what hosts' agents were told and said.
type Agents interface{ Status() []hosts.Status }

// api is the handlers' receiver.
type api struct {
	Options
	jobs *jobs
	huma huma.API
}

// New builds the handler. It starts nothing; rehearsals run in the requests'
// server and end with ctx.
func New(ctx context.Context, o Options) http.Handler {
	if o.Now == nil {
		o.Now = time.Now
	}
	o.Beat = cmp.Or(o.Beat, streamBeat)
	if o.Registry == nil {
		o.Registry = prometheus.NewRegistry()
	}
	if o.Gate == nil {
		o.Gate = access.NewGate(o.Store, o.Now, o.Log)
	}
	a := &api{Options: o, jobs: newJobs(ctx, o.Now, o.Log)}
	mux := http.NewServeMux()
	a.huma = humago.New(mux, apiConfig(o.Version))
	a.operations()
	a.plainRoutes(mux)

	hosts := append(loopbackNames(), o.Hosts...)
	for i := range hosts {
		hosts[i] = strings.ToLower(hosts[i])
	}
	origins := slices.Clone(o.Origins)
	for i := range origins {
		origins[i] = strings.ToLower(strings.TrimSuffix(origins[i], "/"))
	}
	return &guard{hosts: hosts, origins: origins, log: o.Log, next: newMetrics(o.Registry).wrap(mux)}
}

// operations registers everything the API can do, in the order of the document.
func (a *api) operations() {
	a.resourceOperations()
	a.revisionOperations()
	a.previewOperations()
	a.statusOperations()
	a.eventOperations()
	a.flowOperations()
	a.inventoryOperations()
	a.declaredOperations()
	a.proposalOperations()
	a.rehearsalOperations()
	a.ruleOperations()
	a.tokenOperations()
	a.joinOperations()
	a.auditOperations()
}

func apiConfig(version string) huma.Config {
	if version == "" {
		version = "devel"
	}
	c := huma.DefaultConfig("gabion", version)
	c.Info.Description = "The control plane of gabion: resources, security events, proposals, rehearsals, tokens and the audit log."
	c.DocsPath = ""    // its page loads scripts from elsewhere
	c.SchemasPath = "" // the document holds them all
	c.CreateHooks = nil
	c.RejectUnknownQueryParameters = true
	c.Components.Schemas = huma.NewMapRegistry("#/components/schemas/", schemaName)
	c.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		"token": {Type: "http", Scheme: "bearer", Description: "a token made by `gabion token create`, or <state>/admin.token"},
	}
	return c
}

// NewHTTPServer gives an http.Server whose limits fit the API: slow clients are
// cut off, streams set their own deadlines.
func NewHTTPServer(h http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       60 * time.Second,
		WriteTimeout:      120 * time.Second,
		IdleTimeout:       120 * time.Second,
		MaxHeaderBytes:    32 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
}

// schemaName names a type in the document: with its package, when it is not the
// API's own, because several packages have a Coverage.
func schemaName(t reflect.Type, hint string) string {
	name := huma.DefaultSchemaNamer(t, hint)
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	pkg := path.Base(t.PkgPath())
	if t.Name() == "" || pkg == "server" || pkg == "v1alpha1" || pkg == "." {
		return name
	}
	if pkg == "api-discovery" {
		return "API" + name
	}
	return strings.ToUpper(pkg[:1]) + pkg[1:] + name
}
