package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"

	"github.com/gabion-io/gabion/controlplane/ads"
	"github.com/gabion-io/gabion/controlplane/compile"
	"github.com/gabion-io/gabion/controlplane/ingest"
	"github.com/gabion-io/gabion/controlplane/inventory"
	"github.com/gabion-io/gabion/controlplane/proposal"
	"github.com/gabion-io/gabion/controlplane/reconcile"
	"github.com/gabion-io/gabion/controlplane/server"
	"github.com/gabion-io/gabion/controlplane/source"
	"github.com/gabion-io/gabion/controlplane/source/file"
	"github.com/gabion-io/gabion/controlplane/store"
	"github.com/gabion-io/gabion/controlplane/xds"
	"github.com/gabion-io/gabion/filters"
	"github.com/gabion-io/gabion/filters/chain"
	"github.com/gabion-io/gabion/internal/atomicfile"
	"github.com/gabion-io/gabion/internal/exchange"
	"github.com/gabion-io/gabion/internal/recording"
	"github.com/gabion-io/gabion/internal/unixsocket"
	"github.com/gabion-io/gabion/waf-rules/regression"
)

type serveOptions struct {
	admin, transport, resources string
	database                    string
	files, hosts                []string
}

// newServe is the control plane alone. `gabion up` runs it as a child; it gets
// a listener for remote proxies, and with it a place in the help, later.
func newServe(a *app) *cobra.Command {
	var o serveOptions
	c := &cobra.Command{
		Use:    "serve",
		Short:  "Run the control plane of `gabion up`",
		Hidden: true,
		Args:   args(cobra.NoArgs),
		RunE:   func(c *cobra.Command, _ []string) error { return runServe(c.Context(), a, o) },
	}
	f := c.Flags()
	f.StringVar(&o.admin, "admin", "127.0.0.1:9090", "address of the REST API")
	f.StringArrayVar(&o.hosts, "admin-host", nil, "name under which the REST API is reached, beside loopback; may be repeated")
	f.StringVar(&a.state, "state", "", "state directory")
	databaseFlag(c, a, &o.database)
	f.StringVar(&o.transport, "transport", string(xds.Module), "how the filter is reached: module or extproc")
	f.StringVar(&o.resources, "resources", "", "file of resources that stand for flags; anything else overrides them")
	f.StringArrayVarP(&o.files, "file", "f", nil, "file or directory of resources, watched; may be repeated")
	return c
}

// databaseFlag takes the address of a PostgreSQL database. The environment keeps
// a password out of the list of processes.
func databaseFlag(c *cobra.Command, a *app, to *string) {
	f := c.Flags()
	f.StringVar(to, "database", a.env("GABION_DATABASE"), "PostgreSQL for the state: postgres://USER@HOST/NAME (default $GABION_DATABASE, then SQLite in the state directory)")
	f.Lookup("database").DefValue = "" // a password is not for the help
}

// checkDatabase refuses what is no address of a PostgreSQL, without quoting it.
func checkDatabase(address string) error {
	if address == "" {
		return nil
	}
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql" {
		return usageError{errors.New("--database: want postgres://USER:PASSWORD@HOST:PORT/NAME")}
	}
	return nil
}

// runServe is the composition root of the control plane, in the order of the
// flow of data: state, resources, proxies, telemetry, proposals, REST.
func runServe(ctx context.Context, a *app, o serveOptions) error {
	if err := checkDatabase(o.database); err != nil {
		return err
	}
	log := newLog(a.err, logLevel(a.env, slog.LevelInfo))
	l, err := openLayout(stateDir(a.state, a.env))
	if err != nil {
		return err
	}
	unlock, err := l.lock("serve")
	if err != nil {
		return err
	}
	defer unlock()
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))

	// State: resources, audit, tokens, events, exchanges.
	st, err := store.Open(ctx, store.Options{Dir: l.file("db"), Postgres: o.database, Log: log})
	if err != nil {
		return err
	}
	defer st.Close()
	if err := ensureAdminToken(ctx, st, l); err != nil {
		return err
	}
	recordKey, err := recording.LoadOrCreateKey(filepath.Join(l.keys(), "recording.key"))
	if err != nil {
		return err
	}

	// Resources: flags of `up`, files, the store.
	sources, err := openSources(ctx, o, st, log)
	if err != nil {
		return err
	}

	archive := &recording.Archive{Dir: l.recordings()}

	// Proxies: what they are served, and what they refuse.
	var loop *reconcile.Loop
	discovery := ads.NewServer(ads.Options{Log: log, Metrics: registry, OnNack: func(ads.Nack) { loop.Nudge() }, OnMend: func() { loop.Nudge() }})
	loop = reconcile.New(reconcile.Options{
		Sources: sources,
		Compile: compile.Options{
			Check:     chain.NewChecker().Check,
			Spool:     &filters.Spool{Dir: l.eventSpool(), MaxBytes: eventSpoolBytes},
			RecordKey: recording.PublicKey(recordKey),
			RecordDir: l.recordSpool(),
		},
		XDS:       xds.Options{Transport: xds.Transport(o.transport), FilterSocket: l.filterSocket(), ALS: xds.ALSCluster},
		Publisher: discovery,
		Observe:   observe(recordRevisions(st, log), writeProxyLimits(l, log), limitRecordings(archive)),
		Log:       log,
		Now:       time.Now,
	})

	// Telemetry: access logs and the filter's spools, and what operations are learned
	// from them.
	clientKey, err := st.InstallationKey(ctx, "client")
	if err != nil {
		return err
	}
	operationKey, err := st.InstallationKey(ctx, "operations")
	if err != nil {
		return err
	}
	operations, err := inventory.Open(ctx, inventory.Options{Store: st, Learning: operationLearning{}, Documents: documents{}, Log: log})
	if err != nil {
		return err
	}
	door, err := ingest.New(ingest.Options{
		Sink: st, ClientKey: clientKey, Archive: archive, Operations: operations, OperationKey: exchange.Key(operationKey[:16]),
		EventSpools: []string{l.eventSpool()}, RecordingSpools: []string{l.recordSpool()},
		Log: log, Registry: registry,
	})
	if err != nil {
		return err
	}

	// Proposals: evidence and rehearsals on what was recorded.
	world := &world{loop: loop, store: st}
	desk := proposal.NewDesk(proposal.Options{
		Store: st, World: world, Engine: judgesOf(chain.NewJudging(chain.Options{})), Attacks: regression.Attacks,
		Recordings: recording.NewOpener(l.recordings(), recordKey),
		Lost:       lostRecordings(st), Log: log,
	})

	// REST: everything above for people and their tools.
	handler := server.New(ctx, server.Options{
		Store: st, Live: loop, Proxies: discovery, Proposals: desk, Efforts: door, Inventory: operations,
		Registry: registry, Log: log, Version: version(), Hosts: o.hosts,
	})

	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return st.Run(ctx) })
	g.Go(func() error { return loop.Run(ctx) })
	g.Go(func() error { return door.Run(ctx) })
	g.Go(func() error { return operations.Run(ctx) })
	g.Go(func() error { return serveGRPC(ctx, l.adsSocket(), discovery, door) })
	g.Go(func() error { return serveREST(ctx, o.admin, l, handler, log) })
	err = g.Wait()
	if lost := operations.Flush(ctx); lost != nil { // what the door wrote last
		log.Error("the last operations learned were not stored", "error", lost)
	}
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// eventSpoolBytes bounds what the filter keeps on disk while the control plane
// is away: some 20,000 events.
const eventSpoolBytes = 16 << 20

// ensureAdminToken makes the token file at first use, and again when it is gone:
// whoever may write the state directory is its administrator.
func ensureAdminToken(ctx context.Context, st *store.Store, l layout) error {
	if secret, err := readToken(l.adminToken()); err == nil {
		if _, err := st.Authenticate(ctx, secret); err == nil {
			return nil
		}
	}
	secret, _, err := st.CreateToken(ctx, store.TokenSpec{Name: "admin", Role: store.RoleAdmin, Author: "gabion serve", Replace: true})
	if err != nil {
		return fmt.Errorf("make the admin token: %w", err)
	}
	return atomicfile.Write(l.adminToken(), []byte(secret+"\n"), 0o600)
}

func openSources(ctx context.Context, o serveOptions, st *store.Store, log *slog.Logger) ([]reconcile.Source, error) {
	var sources []reconcile.Source
	if o.resources != "" {
		f, err := file.Open(ctx, log, o.resources)
		if err != nil {
			return nil, err
		}
		sources = append(sources, reconcile.Files(f, source.Flags))
	}
	if len(o.files) > 0 {
		f, err := file.Open(ctx, log, o.files...)
		if err != nil {
			return nil, err
		}
		sources = append(sources, reconcile.Files(f, ""))
	}
	return append(sources, reconcile.Stored(st)), nil
}

// serveGRPC serves discovery and takes access logs on one Unix socket, which
// only this user may open.
func serveGRPC(ctx context.Context, socket string, discovery *ads.Server, door *ingest.Ingest) error {
	ln, err := unixsocket.Listen(socket)
	if err != nil {
		return err
	}
	g := grpc.NewServer(ads.ServerOptions()...)
	discovery.Register(g)
	door.Register(g)
	defer context.AfterFunc(ctx, func() {
		discovery.Close() // streams do not end by themselves
		g.Stop()
	})()
	if err := g.Serve(ln); err != nil && ctx.Err() == nil {
		return fmt.Errorf("serve proxies on %s: %w", socket, err)
	}
	return nil
}

func serveREST(ctx context.Context, addr string, l layout, h http.Handler, log *slog.Logger) error {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return withHint(fmt.Errorf("listen on %s: %w", addr, err), "choose another address with --admin ADDRESS:PORT")
	}
	if err := atomicfile.Write(l.serverURL(), []byte("http://"+ln.Addr().String()+"\n"), 0o600); err != nil {
		return err
	}
	srv := server.NewHTTPServer(h, log)
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
