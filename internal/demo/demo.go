// Package demo is an application worth attacking: Harbour Bank & Goods, a
// small HTTP API with accounts and personal data, orders, search, uploads, a
// JWT login, GraphQL, server-sent events and a WebSocket, over deterministic
// data in memory. It stands behind `gabion up` when no upstream is given, and
// behind the end-to-end suites.
//
// It is vulnerable in nothing but its honesty: it parses strictly, bounds
// every input and never executes what it is sent. It is not an example of how
// to build a bank. Composition roots and tests may import it.
package demo

import (
	"context"
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

// New is the application as a handler.
func New(Options) http.Handler { panic("todo") }

// Run serves the application over HTTP/1.1 and HTTP/2 without TLS on ln until
// ctx ends, then lets open requests finish for up to 5 s.
func Run(ctx context.Context, ln net.Listener, opts Options) error { panic("todo") }

// OpenAPI is the application's own description (OpenAPI 3.1, YAML), as served
// at /openapi.yaml. It leaves one operation out on purpose.
func OpenAPI() []byte { panic("todo") }
