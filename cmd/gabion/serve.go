package main

import (
	"context"
	"crypto/hpke"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"

	"github.com/gabion-io/gabion/controlplane/ads"
	"github.com/gabion-io/gabion/controlplane/identity"
	"github.com/gabion-io/gabion/controlplane/ingest"
	"github.com/gabion-io/gabion/controlplane/reconcile"
	"github.com/gabion-io/gabion/controlplane/source"
	"github.com/gabion-io/gabion/controlplane/source/file"
	"github.com/gabion-io/gabion/controlplane/store"
	"github.com/gabion-io/gabion/controlplane/xds"
	"github.com/gabion-io/gabion/internal/atomicfile"
	"github.com/gabion-io/gabion/internal/exchange"
	"github.com/gabion-io/gabion/internal/recording"
	"github.com/gabion-io/gabion/internal/unixsocket"
)

type serveOptions struct {
	admin, agents        string
	hubble               string
	tlsCert, tlsKey      string
	trustDomain          string
	database             string
	files, hosts         []string
	transport, resources string   // of `gabion up`
	thisHost             string   // of `gabion up`
	plain                bool     // of `gabion up`: REST without TLS
	declare              []string // SERVICE=FILE, of `gabion up`
}

// newServe is the control plane alone. `gabion up` runs it as a child, with flags
// that are not for people.
func newServe(a *app) *cobra.Command {
	var o serveOptions
	c := &cobra.Command{
		Use:   "serve",
		Short: "Run the control plane alone, for agents on other machines",
		Long: `serve runs the control plane without a proxy: the REST API over TLS, and a
listener for agents, which know it and are known by certificates. It is its own
certificate authority: agents join with 'gabion token join', and the command line
finds the authority's certificate in the state directory.

Ctrl-C stops it. Agents keep what they enforce and come back by themselves.`,
		Example: `  gabion serve                                    # on this machine only
  gabion serve --admin 0.0.0.0:9090 --agents 0.0.0.0:9443 --admin-host plane.example.com
  gabion serve -f policies/ --tls-cert cert.pem --tls-key key.pem
  gabion serve --hubble 127.0.0.1:4245            # flows for Hubble's command line, too
  gabion token join --host node-1                 # and then, on node-1, what it prints`,
		Args: args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error { return runServe(c.Context(), a, o) },
	}
	f := c.Flags()
	f.StringVar(&o.admin, "admin", "127.0.0.1:9090", "address of the REST API")
	f.StringArrayVar(&o.hosts, "admin-host", nil, "name or address under which the REST API is reached, beside loopback; may be repeated")
	f.StringVar(&o.agents, "agents", "127.0.0.1:9443", "address for agents, or unix:PATH; empty: none")
	f.StringVar(&o.hubble, "hubble", "", hubbleUsage)
	f.StringVar(&o.tlsCert, "tls-cert", "", "PEM certificate of the REST API (default: made by the control plane's own authority)")
	f.StringVar(&o.tlsKey, "tls-key", "", "PEM key of --tls-cert")
	f.StringVar(&o.trustDomain, "trust-domain", "", "SPIFFE trust domain of a new certificate authority (default "+identity.DefaultTrustDomain+")")
	f.StringVar(&a.state, "state", "", "state directory (default $GABION_STATE, then ~/.local/state/gabion)")
	databaseFlag(c, a, &o.database)
	f.StringArrayVarP(&o.files, "file", "f", nil, "file or directory of resources, watched; may be repeated")
	f.StringVar(&o.transport, "transport", string(xds.Module), "how the filter is reached: module or extproc")
	f.StringVar(&o.resources, "resources", "", "file of resources that stand for flags; anything else overrides them")
	f.StringArrayVar(&o.declare, "declare", nil, "SERVICE=FILE: the API of a service, unless another one is imported; may be repeated")
	f.BoolVar(&o.plain, "plain", false, "serve the REST API without TLS")
	f.StringVar(&o.thisHost, "this-host", "", "host of workloads that name an interface and no host")
	for _, name := range []string{"transport", "resources", "declare", "plain", "this-host"} {
		_ = f.MarkHidden(name)
	}
	return c
}

func (o serveOptions) check() error {
	for name, addr := range map[string]string{"--admin": o.admin, "--agents": o.agents, "--hubble": o.hubble} {
		if err := checkListener(name, addr); err != nil {
			return err
		}
	}
	if o.admin == "" || strings.HasPrefix(o.admin, "unix:") {
		return usageError{errors.New("--admin: an address is needed")}
	}
	if (o.tlsCert == "") != (o.tlsKey == "") {
		return usageError{errors.New("--tls-cert and --tls-key go together")}
	}
	return checkDatabase(o.database)
}

// checkListener refuses what nobody can listen on; an empty address is for others
// to judge.
func checkListener(name, addr string) error {
	if _, _, err := net.SplitHostPort(addr); err != nil && addr != "" && !strings.HasPrefix(addr, "unix:") {
		return usageError{fmt.Errorf("%s %q: want ADDRESS:PORT, for example 127.0.0.1:9090", name, addr)}
	}
	return nil
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

// together runs parts until the context ends or one of them fails.
func together(ctx context.Context, parts ...func(context.Context) error) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, part := range parts {
		g.Go(func() error { return part(ctx) })
	}
	if err := g.Wait(); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// keys are what this installation hashes and opens with.
type keys struct {
	record    hpke.PrivateKey
	client    []byte       // of clients' addresses
	operation exchange.Key // of what is told of operations; the filter has it, too
}

func openKeys(ctx context.Context, st *store.Store, l layout) (k keys, err error) {
	if k.record, err = recording.LoadOrCreateKey(filepath.Join(l.keys(), "recording.key")); err != nil {
		return k, err
	}
	if k.client, err = st.InstallationKey(ctx, "client"); err != nil {
		return k, err
	}
	operation, err := st.InstallationKey(ctx, "operations")
	if err != nil {
		return k, err
	}
	k.operation = exchange.Key(operation[:len(exchange.Key{})])
	return k, atomicfile.Write(l.operationKey(), k.operation[:], 0o600) // for the filter
}

// eventSpoolBytes bounds what the filter keeps on disk while the control plane
// is away: some 20,000 events.
const eventSpoolBytes = 16 << 20

// readGiven reads what --declare names.
func readGiven(list []string) (given []store.DeclaredAPI, err error) {
	for _, text := range list {
		service, name, ok := strings.Cut(text, "=")
		if !ok {
			return nil, usageError{fmt.Errorf("--declare %q: want SERVICE=FILE", text)}
		}
		body, err := os.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("read declared API: %w", err)
		}
		given = append(given, store.DeclaredAPI{Service: service, Name: filepath.Base(name), Body: body})
	}
	return given, nil
}

// What the filter looks into for the inventory: the bodies of the first exchanges
// of a kind each hour, which find what is new, and a few of the others.
const (
	learnFirst   = 20
	learnPercent = 1
	learnBytes   = 64 << 10 // of each body
)

// adminName names the admin token of a state directory. Replicas that share a
// database have one each: who makes a new one takes the one of its name back.
func (o serveOptions) adminName(l layout) string {
	if o.database == "" {
		return "admin"
	}
	sum := sha256.Sum256([]byte(l.dir))
	return fmt.Sprintf("admin@%.40s-%x", hostname(), sum[:4])
}

// replicaNote says in an audit log that several write whose files are meant.
func (o serveOptions) replicaNote() string {
	if o.database == "" {
		return ""
	}
	return "on " + hostname()
}

// ensureAdminToken makes the token file at first use, and again when it is gone:
// whoever may write the state directory is its administrator.
func ensureAdminToken(ctx context.Context, st *store.Store, l layout, name string) error {
	if secret, err := readToken(l.adminToken()); err == nil {
		if _, err := st.Authenticate(ctx, secret); err == nil {
			return nil
		}
	}
	secret, _, err := st.CreateToken(ctx, store.TokenSpec{Name: name, Role: store.RoleAdmin, Author: "gabion serve", Replace: true})
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
