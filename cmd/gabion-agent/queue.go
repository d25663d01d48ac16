package main

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"

	"google.golang.org/grpc"

	"github.com/gabion-io/gabion/controlplane/identity/enrol"
	"github.com/gabion-io/gabion/segmentation/agent"
	"github.com/gabion-io/gabion/segmentation/uplink"
)

// flowQueue opens the queue of flows for the control plane; without one there is none.
func (o *options) flowQueue(holder *enrol.Holder, log *slog.Logger) (*uplink.Uplink, error) {
	if holder == nil {
		return nil, nil
	}
	return uplink.Open(uplink.Options{
		Dir: filepath.Join(o.state, "flows"), Conn: &lasting{server: o.server, holder: holder}, Log: log,
	})
}

// tell hands a window to everybody who wants it.
func tell(report *report, queue *uplink.Uplink) func(agent.Window) {
	return func(w agent.Window) {
		report.write(w)
		if queue != nil {
			queue.Add(w)
		}
	}
}

// lasting is a connection that is made anew when the host's certificate is: one
// stays as long as the certificate that it began with, and no longer.
type lasting struct {
	server string
	holder *enrol.Holder

	mu      sync.Mutex
	conn    *grpc.ClientConn
	renewed <-chan struct{}
}

func (l *lasting) get() (*grpc.ClientConn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-l.renewed:
		if l.conn != nil {
			l.conn.Close()
			l.conn = nil
		}
	default:
	}
	if l.conn != nil {
		return l.conn, nil
	}
	l.renewed = l.holder.Renewed()
	config, err := l.holder.TLS()
	if err != nil {
		return nil, err
	}
	if l.conn, err = enrol.Dial(l.server, config); err != nil {
		return nil, fmt.Errorf("connect to %s: %w", l.server, err)
	}
	return l.conn, nil
}

// Invoke is a call over the connection of the moment.
func (l *lasting) Invoke(ctx context.Context, method string, in, out any, options ...grpc.CallOption) error {
	conn, err := l.get()
	if err != nil {
		return err
	}
	return conn.Invoke(ctx, method, in, out, options...)
}

// NewStream is a stream over the connection of the moment.
func (l *lasting) NewStream(ctx context.Context, desc *grpc.StreamDesc, method string, options ...grpc.CallOption) (grpc.ClientStream, error) {
	conn, err := l.get()
	if err != nil {
		return nil, err
	}
	return conn.NewStream(ctx, desc, method, options...)
}

// ResetConnectBackoff lets the next call try to connect at once.
func (l *lasting) ResetConnectBackoff() {
	if conn, err := l.get(); err == nil {
		conn.ResetConnectBackoff()
	}
}
