package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"time"
)

// feed is something the control plane lists, and tells of as it arrives.
type feed[T any] struct {
	path string // of the list; that of the stream is below it
	name string // of one of its events: "flow"
	show func(*T) error
}

// follow prints what arrives, one line each; with past also what is there already,
// oldest first. When the control plane restarts it goes on where it stopped.
func (f feed[T]) follow(ctx context.Context, a *app, cl *client, q url.Values, past bool) error {
	if past {
		if err := f.soFar(ctx, cl, q); err != nil {
			return err
		}
	}
	if a.output != "json" {
		fmt.Fprintf(a.err, "waiting for %ss; Ctrl-C ends\n", f.name)
	}
	connected := false
	for {
		err := cl.follow(ctx, request{method: http.MethodGet, path: f.path + "/stream", query: q}, func(id, name string, data []byte) error {
			connected = true
			if id != "" {
				q.Set("cursor", id)
			}
			if name != f.name {
				return nil
			}
			v := new(T)
			if err := json.Unmarshal(data, v); err != nil {
				return fmt.Errorf("read one of the %ss: %w", f.name, err)
			}
			return f.show(v)
		})
		var remote *remoteError
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.As(err, &remote), !connected:
			return err
		}
		fmt.Fprintln(a.err, "the stream ended; trying again")
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(time.Second):
		}
	}
}

// soFar prints the newest that are stored and notes in q where to follow on.
func (f feed[T]) soFar(ctx context.Context, cl *client, q url.Values) error {
	first := maps.Clone(q)
	first.Set("limit", "1000")
	var page struct {
		Items []T
		Now   string
	}
	if err := cl.call(ctx, request{method: http.MethodGet, path: f.path, query: first}, &page); err != nil {
		return err
	}
	q.Set("cursor", page.Now)
	for i := range slices.Backward(page.Items) {
		if err := f.show(&page.Items[i]); err != nil {
			return err
		}
	}
	return nil
}
