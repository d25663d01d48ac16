package main

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"os"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/gabion-io/gabion/controlplane/server/servertest"
	"github.com/gabion-io/gabion/controlplane/store"
	"github.com/gabion-io/gabion/filters"
	"github.com/gabion-io/gabion/segmentation"
)

// What is followed shows what is there, oldest first, then what arrives, each once.
func TestFollow(t *testing.T) {
	state := t.TempDir()
	p := servertest.Start(t, state)
	t.Setenv("GABION_STATE", state)
	event := func(path string) {
		p.AddEvents(t, filters.Event{ID: ulid.Make().String(), Time: time.Now(), Decision: filters.Denied, Host: "shop.example.com", Method: "GET", Path: path, Status: 403})
	}
	queue, seq := ulid.Make().String(), uint64(0)
	flow := func(dst string) {
		seq++
		f := store.Flow{Src: flowEnd("shop/web-0"), Dst: flowEnd(dst), Protocol: segmentation.TCP, Port: 80, Verdict: segmentation.Allowed,
			Flows: 1, First: time.Now().Add(-time.Second), Last: time.Now()}
		if _, err := p.Store.AddFlows(context.Background(), store.FlowReport{Host: "node-1", Queue: queue, Seq: seq, Flows: []store.Flow{f}}); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		args []string
		add  func(string)
		says func(line []byte) (string, error)
	}{
		"events": {[]string{"waf", "events"}, event, func(line []byte) (string, error) {
			var e filters.Event
			err := json.Unmarshal(line, &e)
			return e.Path, err
		}},
		"flows": {[]string{"seg", "flows"}, flow, func(line []byte) (string, error) {
			var f store.Flow
			err := json.Unmarshal(line, &f)
			return f.Dst.String(), err
		}},
	} {
		t.Run(name, func(t *testing.T) {
			names := []string{"shop/a-0", "shop/b-0", "shop/c-0", "shop/d-0"}
			c.add(names[0])
			c.add(names[1])
			ctx, cancel := context.WithCancel(t.Context())
			out, in := io.Pipe()
			ended := make(chan int, 1)
			go func() {
				ended <- execute(ctx, append(c.args, "--follow", "--since", "1h", "-o", "json"), nil, in, os.Stderr)
				in.Close()
			}()
			lines := bufio.NewScanner(out)
			for i, want := range names {
				if i > 1 {
					c.add(want) // after what was there is read: it is followed
				}
				if !lines.Scan() {
					t.Fatalf("the output ended before %s: %v", want, lines.Err())
				}
				if got, err := c.says(lines.Bytes()); err != nil || got != want {
					t.Fatalf("line %d is about %q, %v, not %s: %s", i, got, err, want, lines.Text())
				}
			}
			cancel()
			if code := <-ended; code != 0 {
				t.Errorf("Ctrl-C ends it with %d", code)
			}
		})
	}
}
