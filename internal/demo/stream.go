package demo

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/coder/websocket"
)

// events is a stream of server-sent events that ends with the client, with
// the server, or after ?count events.
func (a *app) events(w http.ResponseWriter, r *http.Request) {
	count := -1
	if text := r.URL.Query().Get("count"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 {
			refuse(w, http.StatusBadRequest, fmt.Sprintf("count is not a count: %q", text))
			return
		}
		count = n
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	flush := http.NewResponseController(w)
	tick := time.NewTicker(a.eventEvery)
	defer tick.Stop()
	for i := 1; count < 0 || i <= count; i++ {
		// The first comes at once: a client knows that the stream lives.
		_, err := fmt.Fprintf(w, "id: %d\nevent: tide\ndata: {\"sequence\":%d,\"at\":%q}\n\n", i, i, a.now().UTC().Format(time.RFC3339))
		if err != nil || flush.Flush() != nil || i == count {
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-a.closing:
			return
		case <-tick.C:
		}
	}
}

// echoSocket sends every message back, up to 64 KiB each.
func (a *app) echoSocket(w http.ResponseWriter, r *http.Request) {
	c, err := websocket.Accept(w, r, nil)
	if err != nil {
		return // Accept has answered
	}
	defer c.CloseNow()
	c.SetReadLimit(64 << 10)
	ctx, cancel := context.WithCancel(context.WithoutCancel(r.Context()))
	defer cancel()
	go func() {
		select {
		case <-a.closing:
			_ = c.Close(websocket.StatusGoingAway, "the harbour closes")
			cancel()
		case <-ctx.Done():
		}
	}()
	for {
		kind, message, err := c.Read(ctx)
		if err != nil {
			return
		}
		if err := c.Write(ctx, kind, message); err != nil {
			return
		}
	}
}
