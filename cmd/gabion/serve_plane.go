package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/gabion-io/gabion/api-discovery/risk"
	"github.com/gabion-io/gabion/controlplane/access"
	"github.com/gabion-io/gabion/controlplane/ads"
	"github.com/gabion-io/gabion/controlplane/compile"
	"github.com/gabion-io/gabion/controlplane/hosts"
	"github.com/gabion-io/gabion/controlplane/identity"
	"github.com/gabion-io/gabion/controlplane/ingest"
	"github.com/gabion-io/gabion/controlplane/inventory"
	"github.com/gabion-io/gabion/controlplane/proposal"
	"github.com/gabion-io/gabion/controlplane/reconcile"
	"github.com/gabion-io/gabion/controlplane/server"
	"github.com/gabion-io/gabion/controlplane/store"
	"github.com/gabion-io/gabion/controlplane/xds"
	"github.com/gabion-io/gabion/filters"
	"github.com/gabion-io/gabion/filters/chain"
	"github.com/gabion-io/gabion/internal/recording"
	"github.com/gabion-io/gabion/waf-rules/regression"
)

// plane is the control plane put together, in the order of the flow of data.
type plane struct {
	serveOptions
	app      *app
	layout   layout
	log      *slog.Logger
	registry *prometheus.Registry

	// State: resources, audit, tokens, events, exchanges; and who agents are, and
	// who this is to them.
	store     *store.Store
	authority *identity.Authority
	keys      keys
	archive   *recording.Archive

	// What is in force, and whom it is told.
	loop      *reconcile.Loop
	discovery *ads.Server
	agentView *hosts.Server

	// What proxies and agents tell.
	operations *inventory.Inventory
	door       *ingest.Ingest
	captured   *ingest.ExchangeDoor
	flows      *ingest.FlowDoor

	// What people do with it.
	desk *proposal.Desk
	gate *access.Gate
}

// runServe is the composition root of the control plane.
func runServe(ctx context.Context, a *app, o serveOptions) error {
	if err := o.check(); err != nil {
		return err
	}
	l, err := openLayout(stateDir(a.state, a.env))
	if err != nil {
		return err
	}
	unlock, err := l.lock("serve")
	if err != nil {
		return err
	}
	defer unlock()
	p := &plane{serveOptions: o, app: a, layout: l, log: newLog(a.err, logLevel(a.env, slog.LevelInfo)), registry: prometheus.NewRegistry()}
	p.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	if p.store, err = store.Open(ctx, store.Options{Dir: l.file("db"), Postgres: o.database, Log: p.log}); err != nil {
		return err
	}
	defer p.store.Close()
	for _, step := range []func(context.Context) error{p.openState, p.openPolicy, p.openTelemetry} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	p.openProposals()
	err = p.serve(ctx)
	if lost := p.operations.Flush(ctx); lost != nil { // what the door wrote last
		p.log.Error("the last operations learned were not stored", "error", lost)
	}
	return err
}

// openState opens what is kept beside the store: tokens, keys, recordings.
func (p *plane) openState(ctx context.Context) (err error) {
	if err := ensureAdminToken(ctx, p.store, p.layout, p.adminName(p.layout)); err != nil {
		return err
	}
	if p.authority, err = identity.Open(identity.Options{Dir: p.layout.keys(), TrustDomain: p.trustDomain}); err != nil {
		return err
	}
	p.archive = &recording.Archive{Dir: p.layout.recordings(), Full: store.DiskFull(p.layout.dir)}
	p.keys, err = openKeys(ctx, p.store, p.layout)
	return err
}

// openPolicy joins the resources (flags of `up`, files, the store) with those who
// are told what follows from them: proxies, and the agents of hosts.
func (p *plane) openPolicy(ctx context.Context) error {
	sources, err := openSources(ctx, p.serveOptions, p.store, p.log)
	if err != nil {
		return err
	}
	revisions := &fileRevisions{store: p.store, path: p.layout.fileRevisions(), shared: p.database != "", note: p.replicaNote(), log: p.log}
	nudge := func() { p.loop.Nudge() } // the loop is made last
	p.discovery = ads.NewServer(ads.Options{Log: p.log, Metrics: p.registry, OnNack: func(ads.Nack) { nudge() }, OnMend: nudge})
	p.agentView = hosts.New(hosts.Options{Identify: p.authority.HostOf, This: p.thisHost, OnChange: nudge, Log: p.log, Metrics: p.registry})
	p.loop = reconcile.New(reconcile.Options{
		Sources: sources,
		Compile: compile.Options{
			Check:     chain.NewChecker().Check,
			Spool:     &filters.Spool{Dir: p.layout.eventSpool(), MaxBytes: eventSpoolBytes},
			Learn:     &filters.Learn{KeyFile: p.layout.operationKey(), First: learnFirst, Percent: learnPercent, BodyLimit: learnBytes},
			RecordKey: recording.PublicKey(p.keys.record),
			RecordDir: p.layout.recordSpool(),
		},
		XDS:       xds.Options{Transport: xds.Transport(p.transport), FilterSocket: p.layout.filterSocket(), ALS: xds.ALSCluster},
		Publisher: p.discovery,
		Hosts:     p.agentView,
		Mark:      p.store.Mark,
		Observe:   observe(revisions.observe, writeProxyLimits(p.layout, p.log), limitRecordings(p.archive)),
		Log:       p.log,
		Now:       time.Now,
	})
	return nil
}

// openTelemetry opens the doors for access logs and the filter's spools, for what
// agents see, and the inventory that learns from both.
func (p *plane) openTelemetry(ctx context.Context) error {
	given, err := readGiven(p.declare)
	if err != nil {
		return err
	}
	owners := risk.NewOwnersWithin(risk.LiveBounds())
	p.operations, err = inventory.Open(ctx, inventory.Options{
		Store: p.store, Learning: operationLearning{}, Documents: documents{owners}, Evidence: owners, Given: given, Log: p.log,
	})
	if err != nil {
		return err
	}
	twins := ingest.NewTwins(time.Now)
	p.door, err = ingest.New(ingest.Options{
		Sink: p.store, ClientKey: p.keys.client, Archive: p.archive, Operations: p.operations, OperationKey: p.keys.operation,
		EventSpools: []string{p.layout.eventSpool()}, RecordingSpools: []string{p.layout.recordSpool()}, Twins: twins,
		Log: p.log, Registry: p.registry,
	})
	if err != nil {
		return err
	}
	residents := &residents{loop: p.loop}
	p.captured = ingest.NewExchangeDoor(ingest.ExchangeOptions{
		Sink: p.store, Operations: p.operations, ClientKey: p.keys.client, OperationKey: p.keys.operation,
		Resident: residents.at, Twins: twins, Log: p.log,
	})
	p.flows = newFlowDoor(p.store, residents, callerOf(p.authority), p.captured, p.log, p.registry)
	return nil
}

// openProposals makes the desk where evidence is looked at and candidates are
// rehearsed on what was recorded.
func (p *plane) openProposals() {
	p.desk = proposal.NewDesk(proposal.Options{
		Store: p.store, World: &world{loop: p.loop, store: p.store}, Engine: judgesOf(chain.NewJudging(chain.Options{})),
		Attacks: regression.Attacks, Recordings: recording.NewOpener(p.layout.recordings(), p.keys.record),
		Network: &network{loop: p.loop, store: p.store}, APIs: apis{p.operations}, Lost: lostRecordings(p.store), Log: p.log,
	})
}

// serve opens the listeners and runs everything until the context ends.
func (p *plane) serve(ctx context.Context) error {
	p.gate = access.NewGate(p.store, time.Now, p.log)
	handler := server.New(ctx, server.Options{
		Store: p.store, Live: p.loop, Proxies: p.discovery, Agents: p.agentView, Proposals: p.desk, Efforts: p.door, Inventory: p.operations,
		Authority: p.authority, Gate: p.gate, Registry: p.registry, Log: p.log, Version: version(),
		Hosts: append(ownName(p.admin), p.hosts...), Recorded: recorded(p.archive),
	})
	rest, err := p.listenREST(p.authority, p.layout)
	if err != nil {
		return err
	}
	agents, err := p.listenAgents()
	if err != nil {
		return errors.Join(err, rest.Close())
	}
	observer, err := p.listenHubble(p.authority)
	if err != nil {
		return errors.Join(err, rest.Close())
	}
	return together(ctx, p.store.Run, p.loop.Run, p.door.Run, p.captured.Run, p.operations.Run,
		func(ctx context.Context) error {
			if !p.plain && settled(ctx, p.loop) {
				p.banner(p.app, p.layout, rest.Addr(), agents, observer)
			}
			return nil
		},
		func(ctx context.Context) error { return serveGRPC(ctx, p.layout.adsSocket(), p.discovery, p.door) },
		func(ctx context.Context) error { return serveREST(ctx, rest, handler, p.log) },
		func(ctx context.Context) error { return p.serveAgents(ctx, agents) },
		func(ctx context.Context) error {
			if observer == nil {
				return nil
			}
			return observer.serve(ctx, observer.newHubble(p.store, p.loop, p.gate))
		})
}

// serveAgents is the agents' door: they join, renew their certificates, are told,
// and tell. A nil listener: there is none.
func (p *plane) serveAgents(ctx context.Context, agents net.Listener) error {
	if agents == nil {
		return nil
	}
	enrolment := &identity.Enrolment{Authority: p.authority, Tokens: p.store, Log: p.log}
	return serveAgents(ctx, agents, p.authority, enrolment, p.agentView, p.flows)
}
