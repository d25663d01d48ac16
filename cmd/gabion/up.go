package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/gabion-io/gabion/controlplane/source/flags"
	"github.com/gabion-io/gabion/controlplane/xds"
	"github.com/gabion-io/gabion/internal/atomicfile"
	"github.com/gabion-io/gabion/internal/demo"
	"github.com/gabion-io/gabion/internal/envoybin"
	"github.com/gabion-io/gabion/internal/supervise"
)

type upOptions struct {
	listen, upstream, admin, transport, envoy string
	database, hubble                          string
	tlsCert, tlsKey                           string
	files, hosts                              []string
	concurrency                               int
	print, verbose, agent                     bool
}

func newUp(a *app) *cobra.Command {
	var o upOptions
	c := &cobra.Command{
		Use:   "up",
		Short: "Run everything on this machine: control plane, Envoy, WAF, and a demo application",
		Long: `up runs the control plane, a managed real Envoy and the filter in one process
tree, and prints the addresses and three requests to try. Nothing is blocked
until you say so: the WAF begins in detect mode.

Without --upstream it starts a demo application worth attacking. Ctrl-C drains
Envoy and ends every process.`,
		Example: `  gabion up                                       # in front of the demo application
  gabion up --upstream http://127.0.0.1:3000      # in front of your own
  gabion up -f policies/ --listen 0.0.0.0:443 --tls-cert cert.pem --tls-key key.pem
  gabion up --transport extproc                   # the filter as a process beside Envoy
  gabion up --print                               # the resources these flags stand for`,
		Args: args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error { return runUp(c.Context(), a, o) },
	}
	f := c.Flags()
	f.StringVar(&o.listen, "listen", "127.0.0.1:8080", "address Envoy listens on")
	f.StringVar(&o.upstream, "upstream", "", "URL of the application behind Envoy (default: the demo application)")
	f.StringVar(&o.admin, "admin", "127.0.0.1:9090", "address of the control plane's REST API, which has no TLS here (gabion serve has)")
	f.StringArrayVar(&o.hosts, "admin-host", nil, "name under which the REST API is reached, beside loopback; may be repeated")
	f.StringVar(&o.hubble, "hubble", "", hubbleUsage)
	f.StringVar(&a.state, "state", "", "state directory (default $GABION_STATE, then ~/.local/state/gabion)")
	databaseFlag(c, a, &o.database)
	f.StringArrayVarP(&o.files, "file", "f", nil, "file or directory of resources, watched; may be repeated")
	f.StringVar(&o.transport, "transport", string(xds.Module), "how the filter is reached: module (inside Envoy) or extproc (a process beside it)")
	f.IntVar(&o.concurrency, "concurrency", runtime.NumCPU(), "worker threads of Envoy")
	f.StringVar(&o.tlsCert, "tls-cert", "", "PEM certificate: listen with TLS")
	f.StringVar(&o.tlsKey, "tls-key", "", "PEM key of --tls-cert")
	f.StringVar(&o.envoy, "envoy", "", "Envoy binary, 1.40.x (default: found)")
	f.BoolVar(&o.agent, "agent", true, "as root: also run the agent, which enforces on the interfaces that Workload resources name")
	f.BoolVar(&o.verbose, "verbose", false, "log every change of state, not only what somebody should look at ($GABION_LOG: debug, info, warn, error)")
	f.BoolVar(&o.print, "print", false, "print the resources these flags stand for, and exit")
	return c
}

// runUp is the composition root of one machine, in the order of the flow of
// data: demo application, control plane, filter, Envoy.
func runUp(ctx context.Context, a *app, o upOptions) error {
	began := a.now()
	if err := o.check(); err != nil {
		return err
	}
	if o.print {
		return printFlagResources(a.out, o)
	}
	envoy, err := envoybin.Find(ctx, o.envoy)
	if err != nil {
		return err
	}
	moduleDir := ""
	if o.transport == string(xds.Module) {
		if moduleDir, err = findModule(a.env); err != nil {
			return err
		}
	}
	l, err := openLayout(stateDir(a.state, a.env))
	if err != nil {
		return err
	}
	unlock, err := l.lock("up")
	if err != nil {
		return err
	}
	defer unlock()
	if err := o.portsFree(); err != nil {
		return err
	}
	// A terminal is for what somebody should look at; the banner says the rest.
	level := logLevel(a.env, slog.LevelWarn)
	if o.verbose {
		level = min(level, slog.LevelInfo)
	}
	log := newLog(a.err, level)

	// The application behind Envoy, when none is given.
	upstream, stopDemo, err := startUpstream(ctx, o, log)
	if err != nil {
		return err
	}
	defer stopDemo()

	// What the flags say, as resources.
	if err := writeUpFiles(l, o, upstream); err != nil {
		return err
	}

	// The processes, and an event of each end of one that judges requests.
	outages, err := openOutages(l, log)
	if err != nil {
		return err
	}
	defer outages.spool.Close()
	group := supervise.NewGroup(supervise.Options{Log: log, Output: a.err, Outage: outages.tell})
	agent := o.findAgent(ctx, l)
	defer agent.detach(log) // when it has ended
	defer stopGroup(group, a.err)
	if err := startStages(ctx, group, o, l, envoy.Path, moduleDir, level, agent); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	go followMemory(ctx, group, l, log)
	go o.followCertificate(ctx, l, upstream, log)
	events := a.self + " waf events"
	if l.dir != stateDir("", a.env) { // the other commands would look elsewhere
		events += " --state " + l.dir
	}
	if agent.path != "" {
		if err := agent.start(ctx, a, group, o, l, level); err != nil {
			agent.missing = err.Error()
		}
	}
	o.banner(a.out, l, envoy.Version, upstream, events, agent.line()+hubbleLine(o.hubble, l), a.now().Sub(began))
	select {
	case <-ctx.Done():
		fmt.Fprintln(a.out, "\nstopping: draining Envoy …")
		return nil
	case <-group.Ended():
		return errors.New("a part of gabion ended and is not restarted; see the lines above")
	}
}

// startStages starts the children in the order of the flow of configuration;
// they are stopped in reverse.
func startStages(ctx context.Context, g *supervise.Group, o upOptions, l layout, envoyPath, moduleDir string, level slog.Level, agent *upAgent) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find the gabion executable: %w", err)
	}
	serve := []string{"serve", "--plain", "--agents", agent.server, "--this-host", agent.host, "--state", l.dir, "--admin", o.admin, "--hubble", o.hubble, "--transport", o.transport, "--resources", l.flagResources()}
	for _, f := range o.files {
		// Absolute, because other commands print and edit it from where they are.
		abs, err := filepath.Abs(f)
		if err != nil {
			return fmt.Errorf("find %s: %w", f, err)
		}
		serve = append(serve, "-f", abs)
	}
	for _, h := range o.hosts {
		serve = append(serve, "--admin-host", h)
	}
	if o.upstream == "" {
		serve = append(serve, "--declare", flags.UpstreamService+"="+l.demoAPI())
	}
	err = g.Start(ctx, supervise.Spec{
		Name: "serve", Command: self, Args: serve, Env: []string{"GABION_LOG=" + level.String(), "GABION_DATABASE=" + o.database},
		Ready: readyURL("http://" + reachable(o.admin) + "/readyz"), ReadyWithin: 60 * time.Second,
	})
	if err != nil {
		return err
	}
	if o.transport == string(xds.ExtProc) {
		err := g.Start(ctx, supervise.Spec{
			Name: filterProcess, Command: self, Args: []string{"filter", "--state", l.dir}, Env: []string{"GABION_LOG=" + level.String()},
			Ready: readySocket(l.filterSocket()),
		})
		if err != nil {
			return err
		}
	}
	if err := writeBootstrap(l); err != nil {
		return err
	}
	return g.Start(ctx, envoySpec(o, l, envoyPath, moduleDir))
}

func stopGroup(g *supervise.Group, errOut io.Writer) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := g.Stop(ctx); err != nil {
		fmt.Fprintln(errOut, "gabion: stop:", err)
	}
}

// startUpstream gives the URL of the application behind Envoy; without one in
// the flags it runs the demo application in this process.
func startUpstream(ctx context.Context, o upOptions, log *slog.Logger) (string, func(), error) {
	if o.upstream != "" {
		return o.upstream, func() {}, nil
	}
	ln, err := net.Listen("tcp", demoAddress)
	if err != nil { // taken: any other will do, nobody types it
		if ln, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			return "", nil, fmt.Errorf("start the demo application: %w", err)
		}
	}
	// It outlives ctx until Envoy has drained.
	demoCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := demo.Run(demoCtx, ln, demo.Options{Log: log}); err != nil {
			log.Error("the demo application ended", "error", err)
		}
	}()
	return "http://" + ln.Addr().String(), func() { cancel(); <-done }, nil
}

// demoAddress is preferred, so that --print and repeated runs agree.
const demoAddress = "127.0.0.1:8081"

// resources are what the flags stand for, as text.
func (o upOptions) resources(upstream string) ([]byte, error) {
	up := flags.Up{Listen: o.listen, Upstream: upstream, Record: true}
	for _, f := range []struct {
		flag, path string
		to         *[]byte
	}{{"--tls-cert", o.tlsCert, &up.TLSCert}, {"--tls-key", o.tlsKey, &up.TLSKey}} {
		if f.path == "" {
			continue
		}
		pem, err := os.ReadFile(f.path)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", f.flag, err)
		}
		*f.to = pem
	}
	text, err := flags.Text(up)
	return []byte(text), err
}

func printFlagResources(w io.Writer, o upOptions) error {
	upstream := o.upstream
	if upstream == "" {
		upstream = "http://" + demoAddress
	}
	text, err := o.resources(upstream)
	if err != nil {
		return err
	}
	_, err = w.Write(text)
	return err
}

func writeUpFiles(l layout, o upOptions, upstream string) error {
	text, err := o.resources(upstream)
	if err != nil {
		return err
	}
	if err := atomicfile.Write(l.flagResources(), text, 0o600); err != nil {
		return err
	}
	if o.upstream == "" { // what the demo application says of itself
		if err := atomicfile.Write(l.demoAPI(), demo.OpenAPI(), 0o600); err != nil {
			return err
		}
	}
	return atomicfile.Write(l.memoryPressure(), []byte("0"), 0o600)
}

// writeBootstrap writes what Envoy must know before it can ask. The control
// plane runs by now and has said what the resources want of the process.
func writeBootstrap(l layout) error {
	limits, err := readProxyLimits(l)
	if err != nil {
		return err
	}
	bootstrap, err := xds.Bootstrap(xds.BootstrapOptions{
		NodeID: envoyNode(), Cluster: "gabion",
		ADSSocket: l.adsSocket(), ALSSocket: l.adsSocket(), AdminSocket: l.envoySocket(),
		Connections: limits.MaxConnections, MemoryPressureFile: l.memoryPressure(),
	})
	if err != nil {
		return err
	}
	return atomicfile.Write(l.bootstrap(), bootstrap, 0o600)
}

// followCertificate rewrites the flags' resources when the certificate files
// change, so that a renewal needs no restart. Files caught half renewed are
// tried again at the next look.
func (o upOptions) followCertificate(ctx context.Context, l layout, upstream string, log *slog.Logger) {
	if o.tlsCert == "" {
		return
	}
	last, _ := o.resources(upstream)
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Second):
		}
		text, err := o.resources(upstream)
		if err != nil || bytes.Equal(text, last) {
			continue
		}
		if err := atomicfile.Write(l.flagResources(), text, 0o600); err != nil {
			log.Error("the renewed certificate could not be taken over", "error", err)
			continue
		}
		last = text
		log.Info("certificate renewed", "file", o.tlsCert)
	}
}

// envoyNode is the name under which the control plane knows the managed Envoy.
func envoyNode() string { return "up-" + hostname() }

func hostname() string {
	host, err := os.Hostname()
	if err != nil || host == "" {
		return "localhost"
	}
	return host
}

func (o upOptions) check() error {
	for name, addr := range map[string]string{"--listen": o.listen, "--admin": o.admin} {
		if _, _, err := net.SplitHostPort(addr); err != nil {
			return usageError{fmt.Errorf("%s %q: want ADDRESS:PORT, for example 127.0.0.1:8080", name, addr)}
		}
	}
	if o.transport != string(xds.Module) && o.transport != string(xds.ExtProc) {
		return usageError{fmt.Errorf("--transport %q: want module or extproc", o.transport)}
	}
	if err := errors.Join(checkListener("--hubble", o.hubble), checkDatabase(o.database)); err != nil {
		return err
	}
	if o.concurrency < 1 {
		return usageError{fmt.Errorf("--concurrency %d: want at least 1", o.concurrency)}
	}
	if (o.tlsCert == "") != (o.tlsKey == "") {
		return usageError{errors.New("--tls-cert and --tls-key go together")}
	}
	if o.upstream == "" {
		return nil
	}
	u, err := url.Parse(o.upstream)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || strings.Trim(u.Path, "/") != "" {
		return usageError{fmt.Errorf("--upstream %q: want http://HOST[:PORT] or https://HOST[:PORT], without a path", o.upstream)}
	}
	return nil
}

// portsFree tells about a taken port before anything is started: Envoy and the
// control plane would only say so in their logs.
func (o upOptions) portsFree() error {
	for _, p := range []struct{ flag, addr string }{{"--listen", o.listen}, {"--admin", o.admin}} {
		ln, err := net.Listen("tcp", p.addr)
		if err != nil {
			return withHint(fmt.Errorf("listen on %s: %w", p.addr, err), "choose another address with %s ADDRESS:PORT", p.flag)
		}
		ln.Close()
	}
	return nil
}

func (o upOptions) banner(w io.Writer, l layout, version, upstream, events, agent string, took time.Duration) {
	scheme, insecure := "http", ""
	if o.tlsCert != "" {
		scheme, insecure = "https", "-k "
	}
	base := scheme + "://" + o.listen
	try := base
	if host, port, err := net.SplitHostPort(o.listen); err == nil && (host == "127.0.0.1" || host == "0.0.0.0" || host == "") {
		// A numeric Host is suspicious to the rules by itself; a name is not.
		try = scheme + "://" + net.JoinHostPort("localhost", port)
	}
	behind := upstream
	if o.upstream == "" {
		behind = "the demo application at " + upstream
		try += "/search"
	} else {
		try += "/"
	}
	fmt.Fprintf(w, `
gabion is up after %.1f s: Envoy %s, filter transport %s
  traffic  %s → %s
  admin    http://%s
  state    %s
%[11]s  mode     detect unless a WAFPolicy says otherwise: nothing is blocked

Try, in another terminal:
  curl -i %[8]s'%[9]s?q=tea'
  curl -i %[8]s'%[9]s?q=1%%27%%20OR%%20%%271%%27=%%271'
  curl -i %[8]s'%[9]s?q=What+listens+on+http%%3A%%2F%%2Flocalhost%%3A3000+by+default%%3F'
The first is harmless, the second is an attack, the third only looks like one. See what
they left behind:
  %[10]s
Ctrl-C stops everything.
`, took.Seconds(), version, o.transport, base, behind, o.admin+" (token in "+l.adminToken()+")", l.dir, insecure, try, events, agent)
}
