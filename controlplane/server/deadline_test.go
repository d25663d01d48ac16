package server_test

import (
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gabion-io/gabion/filters"
)

// A stream outlives the server's read and write deadlines.
func TestStreamsOutliveDeadlines(t *testing.T) {
	p, c := start(t)
	srv := httptest.NewUnstartedServer(p.Handler)
	srv.Config.ReadTimeout = 200 * time.Millisecond
	srv.Config.WriteTimeout = 200 * time.Millisecond
	srv.Start()
	t.Cleanup(srv.Close) // after the stream
	lines := caller{t, srv.URL, c.token}.open(t.Context(), "/api/v1/events/stream")
	time.AfterFunc(time.Second, func() {
		_, _ = p.Store.AddEvents(t.Context(), []filters.Event{event(1, nil)})
	})
	for lines.Scan() {
		if strings.Contains(lines.Text(), event(1, nil).ID) {
			return
		}
	}
	t.Fatalf("the stream ended early: %v", lines.Err())
}
