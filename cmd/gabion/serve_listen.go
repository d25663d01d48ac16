package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/gabion-io/gabion/controlplane/ads"
	"github.com/gabion-io/gabion/controlplane/identity"
	"github.com/gabion-io/gabion/controlplane/reconcile"
	"github.com/gabion-io/gabion/controlplane/server"
	"github.com/gabion-io/gabion/internal/atomicfile"
	"github.com/gabion-io/gabion/internal/unixsocket"
)

// listenREST opens the REST API's listener and writes down where it is.
func (o serveOptions) listenREST(authority *identity.Authority, l layout) (net.Listener, error) {
	var config *tls.Config
	if !o.plain {
		var err error
		if config, err = o.serverTLS(authority, o.admin); err != nil {
			return nil, err
		}
	}
	ln, err := net.Listen("tcp", o.admin)
	if err != nil {
		return nil, withHint(fmt.Errorf("listen on %s: %w", o.admin, err), "choose another address with --admin ADDRESS:PORT")
	}
	url := "http://" + reachable(ln.Addr().String())
	if config != nil {
		url = "https://" + reachable(ln.Addr().String())
		ln = tls.NewListener(ln, config)
	}
	if err := atomicfile.Write(l.serverURL(), []byte(url+"\n"), 0o600); err != nil {
		return nil, errors.Join(err, ln.Close())
	}
	return ln, nil
}

// serverTLS is the certificate of a listener for people: the files given, else one
// of our own.
func (o serveOptions) serverTLS(authority *identity.Authority, address string) (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}}
	if o.tlsCert != "" {
		files := &certificateFiles{cert: o.tlsCert, key: o.tlsKey}
		if _, err := files.get(nil); err != nil {
			return nil, err
		}
		config.GetCertificate = files.get
		return config, nil
	}
	names := slices.Concat([]string{"localhost", "127.0.0.1", "::1"}, o.hosts, ownName(address))
	config.GetCertificate = authority.ServerCertificate(names)
	return config, nil
}

// ownName is the name or address that a listener is reached by because it listens
// there; none for one that listens everywhere.
func ownName(address string) []string {
	host, _, err := net.SplitHostPort(address)
	if err != nil || everywhere(host) {
		return nil
	}
	return []string{host}
}

// reachable is an address that a listener on this machine can be called by.
func reachable(address string) string {
	host, port, err := net.SplitHostPort(address)
	if err != nil || !everywhere(host) {
		return address
	}
	return net.JoinHostPort("127.0.0.1", port)
}

// everywhere: who listens there listens on all addresses of the machine.
func everywhere(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "" || err == nil && ip.IsUnspecified()
}

// certificateFiles reads a certificate again when its file has changed, so that a
// renewal needs no restart. Files caught half renewed leave the one before.
type certificateFiles struct {
	cert, key string

	lock sync.Mutex
	now  *tls.Certificate
	read time.Time // the files' time when now was read
}

func (f *certificateFiles) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	f.lock.Lock()
	defer f.lock.Unlock()
	changed := f.changed()
	if f.now != nil && changed.Equal(f.read) {
		return f.now, nil
	}
	pair, err := tls.LoadX509KeyPair(f.cert, f.key)
	switch {
	case err == nil:
		f.now, f.read = &pair, changed
	case f.now == nil:
		return nil, fmt.Errorf("read --tls-cert and --tls-key: %w", err)
	}
	return f.now, nil
}

// changed is the later of the files' times.
func (f *certificateFiles) changed() (at time.Time) {
	for _, name := range []string{f.cert, f.key} {
		if info, err := os.Stat(name); err == nil && info.ModTime().After(at) {
			at = info.ModTime()
		}
	}
	return at
}

func serveREST(ctx context.Context, ln net.Listener, h http.Handler, log *slog.Logger) error {
	srv := server.NewHTTPServer(h, log)
	srv.ErrorLog = slog.NewLogLogger(log.Handler(), slog.LevelDebug) // handshakes that fail are the Internet's noise
	srv.BaseContext = func(net.Listener) context.Context { return ctx }
	done := make(chan struct{})
	go func() {
		defer close(done)
		<-ctx.Done()
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second)
		defer cancel()
		srv.Shutdown(grace)
	}()
	log.Info("the control plane listens", "address", ln.Addr().String())
	if err := srv.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve the REST API: %w", err)
	}
	<-done
	return nil
}

// listenAgents opens the agents' listener; nil when there is to be none.
func (o serveOptions) listenAgents() (net.Listener, error) {
	if o.agents == "" {
		return nil, nil
	}
	if path, ok := strings.CutPrefix(o.agents, "unix:"); ok {
		return unixsocket.Listen(path)
	}
	ln, err := net.Listen("tcp", o.agents)
	if err != nil {
		return nil, withHint(fmt.Errorf("listen for agents on %s: %w", o.agents, err), "choose another address with --agents ADDRESS:PORT")
	}
	return ln, nil
}

// service is something that agents call.
type service interface{ Register(*grpc.Server) }

// Limits of what an agent may send, also before it is known: what one connection
// can make us hold is their product.
const (
	agentMessage   = 4 << 20
	agentStreams   = 16
	agentHandshake = 20 * time.Second
)

// serveAgents serves agents over TLS until the context ends. Each service asks the
// authority who calls.
func serveAgents(ctx context.Context, ln net.Listener, authority *identity.Authority, services ...service) error {
	g := grpc.NewServer(append(ads.ServerOptions(),
		grpc.Creds(credentials.NewTLS(authority.ServerTLS())),
		grpc.MaxRecvMsgSize(agentMessage), grpc.MaxConcurrentStreams(agentStreams), grpc.ConnectionTimeout(agentHandshake))...)
	for _, s := range services {
		s.Register(g)
	}
	defer context.AfterFunc(ctx, g.Stop)() // streams do not end by themselves; agents come back
	if err := g.Serve(ln); err != nil && ctx.Err() == nil {
		return fmt.Errorf("serve agents on %s: %w", ln.Addr(), err)
	}
	return nil
}

// settled waits until resources were read and compiled for the first time: before
// that the control plane has no answers. False: ctx ended first.
func settled(ctx context.Context, loop *reconcile.Loop) bool {
	for {
		if s, _ := loop.Settle(ctx); s != nil { // the loop logs why a round fails
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(time.Second):
		}
	}
}

// banner says where everything is, and what comes next.
func (o serveOptions) banner(a *app, l layout, rest net.Addr, agents net.Listener, observer *hubbleDoor) {
	certificate := "certificate of the authority in " + l.authority()
	if o.tlsCert != "" {
		certificate = "certificate in " + o.tlsCert
	}
	fmt.Fprintf(a.out, "gabion serve is up\n  admin    https://%s (token in %s, %s)\n  state    %s\n%s", rest, l.adminToken(), certificate, l.dir, hubbleLine(observer.address(), l))
	if agents == nil {
		fmt.Fprintln(a.out, "  agents   none: --agents is empty")
		return
	}
	state := ""
	if l.dir != stateDir("", a.env) {
		state = " --state " + l.dir
	}
	fmt.Fprintf(a.out, "  agents   %s\n\nLet a host join:\n  %s token join --host NAME%s\nCtrl-C stops it; agents keep what they enforce.\n", agents.Addr(), a.self, state)
}
