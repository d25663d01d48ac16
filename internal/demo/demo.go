// Package demo is an application worth attacking: Harbour Bank & Goods, a
// small HTTP API with accounts and personal data, orders, reviews, search,
// uploads, a JWT login, GraphQL, server-sent events and a WebSocket, over
// deterministic data in memory. It stands behind `gabion up` when no upstream
// is given, and behind the end-to-end suites.
//
// It has what a security product must notice and what it must not break: a
// route that its OpenAPI file does not mention (GET /internal/export) and that
// gives personal data to anyone, a deprecated one (GET /v0/accounts/{id}),
// streams that never end, and honest people whose words look like attacks
// (FalsePositives).
//
// It is not vulnerable beyond that: it parses strictly, bounds every input and
// executes nothing it is sent. It is not an example of how to build a bank.
// Composition roots and tests may import it.
package demo

import (
	"context"
	"crypto/rand"
	_ "embed"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// Options shape the application; the zero value is what `gabion up` runs.
type Options struct {
	// Log takes one line per start and stop; nil means none.
	Log *slog.Logger
	// Now is the clock of tokens and events; nil means time.Now.
	Now func() time.Time
	// EventEvery is the pace of the /events stream; 1 s.
	EventEvery time.Duration
}

//go:embed openapi.yaml
var openAPI []byte

// OpenAPI is the application's own description (OpenAPI 3.1, YAML), as served
// at /openapi.yaml. It leaves GET /internal/export out on purpose.
func OpenAPI() []byte { return openAPI }

// New is the application as a handler.
func New(opts Options) http.Handler { return newApp(opts).handler() }

// Run serves the application over HTTP/1.1 and HTTP/2 without TLS on ln until
// ctx ends, then ends the streams and lets other requests finish for up to 5 s.
func Run(ctx context.Context, ln net.Listener, opts Options) error {
	a := newApp(opts)
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	server := &http.Server{
		Handler: a.handler(), Protocols: &protocols,
		ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 128 << 10,
		ErrorLog: slog.NewLogLogger(a.log.Handler(), slog.LevelDebug),
	}
	a.log.Info("demo application started", "address", ln.Addr().String())
	served := make(chan error, 1)
	go func() { served <- server.Serve(ln) }()
	select {
	case err := <-served:
		return fmt.Errorf("serve the demo application: %w", err)
	case <-ctx.Done():
	}
	close(a.closing)
	limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := server.Shutdown(limit); err != nil {
		_ = server.Close()
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("stop the demo application: %w", err)
	}
	a.log.Info("demo application stopped")
	return nil
}

// app is one running application.
type app struct {
	log        *slog.Logger
	now        func() time.Time
	eventEvery time.Duration
	closing    chan struct{} // closed: streams end
	key        []byte        // signs tokens; fresh in each process
	shop       *shop
}

func newApp(o Options) *app {
	a := &app{log: o.Log, now: o.Now, eventEvery: o.EventEvery, closing: make(chan struct{}), key: make([]byte, 32), shop: newShop()}
	if a.log == nil {
		a.log = slog.New(slog.DiscardHandler)
	}
	if a.now == nil {
		a.now = time.Now
	}
	if a.eventEvery <= 0 {
		a.eventEvery = time.Second
	}
	_, _ = rand.Read(a.key) // never fails, by its documentation
	return a
}

// route is one operation, and whether its description says so.
type route struct {
	method, path string
	handle       http.HandlerFunc
}

func (a *app) routes() []route {
	return []route{
		{"GET", "/{$}", a.index},
		{"GET", "/healthz", a.health},
		{"GET", "/openapi.yaml", a.description},
		{"POST", "/login", a.login},
		{"GET", "/me", a.signedIn(a.me)},
		{"GET", "/accounts", a.signedIn(a.listAccounts)},
		{"GET", "/accounts/{id}", a.signedIn(a.getAccount)},
		{"PATCH", "/accounts/{id}", a.signedIn(a.patchAccount)},
		{"GET", "/v0/accounts/{id}", a.oldAccount},
		{"GET", "/internal/export", a.export},
		{"GET", "/orders", a.listOrders},
		{"POST", "/orders", a.createOrder},
		{"GET", "/orders/{id}", a.getOrder},
		{"PUT", "/orders/{id}", a.signedIn(a.replaceOrder)},
		{"DELETE", "/orders/{id}", a.signedIn(a.deleteOrder)},
		{"GET", "/products", a.listProducts},
		{"GET", "/search", a.search},
		{"GET", "/reviews", a.listReviews},
		{"POST", "/reviews", a.createReview},
		{"POST", "/upload", a.upload},
		{"GET", "/graphql", a.graphQL()},
		{"POST", "/graphql", a.graphQL()},
		{"GET", "/events", a.events},
		{"GET", "/ws", a.echoSocket},
		{"GET", "/echo", a.echo},
		{"POST", "/echo", a.echo},
	}
}

func (a *app) handler() http.Handler {
	mux := http.NewServeMux()
	for _, r := range a.routes() {
		mux.HandleFunc(r.method+" "+r.path, r.handle)
	}
	return mux
}
