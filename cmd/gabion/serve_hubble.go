package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/gabion-io/gabion/controlplane/access"
	"github.com/gabion-io/gabion/controlplane/hubble"
	"github.com/gabion-io/gabion/controlplane/identity"
	"github.com/gabion-io/gabion/controlplane/reconcile"
	"github.com/gabion-io/gabion/controlplane/server"
	"github.com/gabion-io/gabion/controlplane/store"
	"github.com/gabion-io/gabion/internal/unixsocket"
	"github.com/gabion-io/gabion/workload"
)

const hubbleUsage = "address for Hubble's command line, which lists flows: ADDRESS:PORT (TLS, and a token as password) or unix:PATH; empty: none"

// hubbleDoor is where Hubble's command line asks for flows.
type hubbleDoor struct {
	net.Listener
	tls *tls.Config // nil: a Unix socket, which only its owner reaches
}

// listenHubble opens it; nil when there is to be none. `hubble` sends a token only
// over TLS, and so a port has no other way.
func (o serveOptions) listenHubble(authority *identity.Authority) (*hubbleDoor, error) {
	if o.hubble == "" {
		return nil, nil
	}
	if path, ok := strings.CutPrefix(o.hubble, "unix:"); ok {
		ln, err := unixsocket.Listen(path)
		return &hubbleDoor{Listener: ln}, err
	}
	config, err := o.serverTLS(authority, o.hubble)
	if err != nil {
		return nil, err
	}
	ln, err := net.Listen("tcp", o.hubble)
	if err != nil {
		return nil, withHint(fmt.Errorf("listen for Hubble on %s: %w", o.hubble, err), "choose another address with --hubble ADDRESS:PORT or --hubble unix:PATH")
	}
	return &hubbleDoor{Listener: ln, tls: config}, nil
}

// newHubble is the observer behind it.
func (d *hubbleDoor) newHubble(st *store.Store, loop *reconcile.Loop, gate *access.Gate) *hubble.Server {
	residents := &residents{loop: loop}
	o := hubble.Options{
		Store: st, Version: version(), Encrypted: d.tls != nil, Now: time.Now,
		Addresses: func(id workload.ID) []netip.Addr {
			if w, ok := residents.workload(id); ok {
				return w.Addresses
			}
			return nil
		},
		Nodes: func(ctx context.Context) ([]hubble.Node, error) { return nodesOf(ctx, st, loop) },
	}
	if d.tls != nil {
		o.Admit = func(ctx context.Context, address, secret string) error {
			_, err := gate.Admit(ctx, address, secret, store.RoleViewer)
			return err
		}
	}
	return hubble.New(o)
}

// nodesOf are the hosts that the coverage of flows knows.
func nodesOf(ctx context.Context, st *store.Store, loop *reconcile.Loop) (out []hubble.Node, err error) {
	c, err := server.CoverageOfFlows(ctx, st, workloadsOf(loop.State()), time.Now())
	if err != nil {
		return nil, err
	}
	for _, a := range c.Agents {
		out = append(out, hubble.Node{Name: a.Host, Since: a.Since, Here: !a.Quiet, Rows: a.Rows})
	}
	for _, h := range c.Silent {
		if h.Host != "" { // else: workloads that name no node
			out = append(out, hubble.Node{Name: h.Host})
		}
	}
	return out, nil
}

// serve answers until the context ends.
func (d *hubbleDoor) serve(ctx context.Context, s *hubble.Server) error {
	options := s.ServerOptions()
	if d.tls != nil {
		options = append(options, grpc.Creds(credentials.NewTLS(d.tls)))
	}
	g := grpc.NewServer(options...)
	s.Register(g)
	defer context.AfterFunc(ctx, g.Stop)() // streams do not end by themselves
	if err := g.Serve(d.Listener); err != nil && ctx.Err() == nil {
		return fmt.Errorf("serve Hubble on %s: %w", d.Addr(), err)
	}
	return nil
}

// address is where it can be asked, as --hubble would say it.
func (d *hubbleDoor) address() string {
	switch {
	case d == nil:
		return ""
	case d.tls == nil:
		return "unix:" + d.Addr().String()
	}
	return reachable(d.Addr().String())
}

// hubbleLine is the line of a banner that says how to ask; empty for none.
func hubbleLine(address string, l layout) string {
	path, socket := strings.CutPrefix(address, "unix:")
	switch {
	case address == "":
		return ""
	case socket:
		return fmt.Sprintf("  hubble   hubble observe --server unix:%s\n", path)
	}
	return fmt.Sprintf("  hubble   hubble observe --server tls://%s --tls-ca-cert-files %s --basic-auth-username gabion --basic-auth-password \"$(cat %s)\"\n",
		address, l.authority(), l.adminToken())
}
