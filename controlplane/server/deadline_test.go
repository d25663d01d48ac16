package server_test

import (
	"bufio"
	"net/http"
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
	defer srv.Close()
	req, err := http.NewRequestWithContext(t.Context(), "GET", srv.URL+"/api/v1/events/stream", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+c.token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	time.AfterFunc(time.Second, func() {
		_, _ = p.Store.AddEvents(t.Context(), []filters.Event{event(1, nil)})
	})
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		if strings.Contains(lines.Text(), event(1, nil).ID) {
			return
		}
	}
	t.Fatalf("the stream ended early: %v", lines.Err())
}
