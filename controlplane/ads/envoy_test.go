package ads_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gabion-io/gabion/controlplane/ads"
	"github.com/gabion-io/gabion/controlplane/ir"
	"github.com/gabion-io/gabion/controlplane/xds"
	"github.com/gabion-io/gabion/internal/envoybin/envoybintest"
	"github.com/gabion-io/gabion/internal/lockedbuffer"
)

// One test against the real Envoy:
//
//	GABION_ENVOY=/path/to/envoy go test ./controlplane/ads -run 'Envoy/weights' -v

// patience bounds a wait for an event. It is generous: no test asserts a time.
const patience = 60 * time.Second

func eventually(t testing.TB, what string, check func() error) {
	t.Helper()
	var last error
	for start := time.Now(); time.Since(start) < patience; time.Sleep(20 * time.Millisecond) {
		if last = check(); last == nil {
			return
		}
	}
	t.Fatalf("waited in vain until %s: %v", what, last)
}

// plane is a control plane that can be stopped and started.
type plane struct {
	t      testing.TB
	socket string
	*ads.Server
	nacks chan ads.Nack

	stop func()
}

func startPlane(t testing.TB, socket string, o ads.Options) *plane {
	t.Helper()
	p := &plane{t: t, socket: socket, nacks: make(chan ads.Nack, 64)}
	o.OnNack = func(n ads.Nack) {
		select {
		case p.nacks <- n:
		default:
		}
	}
	o.Log = slog.New(slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: slog.LevelWarn}))
	p.Server = ads.NewServer(o)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.Serve(ctx, socket) }()
	p.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	t.Cleanup(p.stop)
	return p
}

type testWriter struct{ t testing.TB }

func (w testWriter) Write(b []byte) (int, error) {
	w.t.Log(strings.TrimSpace(string(b)))
	return len(b), nil
}

// envoy is a running Envoy.
type envoy struct {
	t     testing.TB
	cmd   *exec.Cmd
	admin *http.Client
	log   *lockedbuffer.Buffer
	stop  func()
}

func startEnvoy(t testing.TB, dir string, o xds.BootstrapOptions) *envoy {
	t.Helper()
	binary := envoybintest.Need(t)
	if o.NodeID == "" {
		o.NodeID = "proxy-1"
	}
	o.AdminSocket = filepath.Join(dir, "admin.sock")
	config, err := xds.Bootstrap(o)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "bootstrap.json")
	if err := os.WriteFile(path, config, 0o600); err != nil {
		t.Fatal(err)
	}
	e := &envoy{t: t, log: &lockedbuffer.Buffer{}}
	e.cmd = exec.Command(binary, "-c", path, "--disable-hot-restart", "--concurrency", "2",
		"--log-level", "warning", "--drain-time-s", "1")
	e.cmd.Env = append(os.Environ(), "ENVOY_DYNAMIC_MODULES_SEARCH_PATH="+moduleDir())
	e.cmd.Stdout, e.cmd.Stderr = e.log, e.log
	e.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := e.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { e.cmd.Wait(); close(done) }()
	e.stop = sync.OnceFunc(func() {
		e.cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-done:
		case <-time.After(10 * time.Second):
			e.cmd.Process.Kill()
			<-done
		}
	})
	t.Cleanup(func() {
		e.stop()
		if t.Failed() {
			t.Logf("envoy said:\n%s", e.log)
		}
	})
	e.admin = &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", o.AdminSocket)
		},
	}}
	return e
}

// moduleDir is where libgabion.so would be: bin/ at the root of the tree.
func moduleDir() string {
	dir, err := filepath.Abs("../../bin")
	if err != nil {
		return ""
	}
	return dir
}

func (e *envoy) ask(path string) (string, error) {
	r, err := e.admin.Get("http://admin" + path)
	if err != nil {
		return "", err
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	return string(b), err
}

// stat reads one counter or gauge.
func (e *envoy) stat(name string) (int, error) {
	text, err := e.ask("/stats?usedonly&filter=^" + name + "$")
	if err != nil {
		return 0, err
	}
	var n int
	if _, err := fmt.Sscanf(strings.TrimPrefix(strings.TrimSpace(text), name+": "), "%d", &n); err != nil {
		return 0, nil // unused so far
	}
	return n, nil
}

func (e *envoy) mustStat(name string) int {
	e.t.Helper()
	n, err := e.stat(name)
	if err != nil {
		e.t.Fatal(err)
	}
	return n
}

// freePort finds a port that nobody has, below those that the kernel gives to
// outgoing connections, which would take it before Envoy does.
func freePort(t testing.TB) uint32 {
	t.Helper()
	for range 1000 {
		port := 20_000 + rand.IntN(12_000)
		if _, taken := ports.LoadOrStore(port, true); taken {
			continue
		}
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			continue
		}
		l.Close()
		return uint32(port)
	}
	t.Fatal("no free port")
	return 0
}

// ports that this process has given out.
var ports sync.Map

// tempDir has a short path, so that sockets in it fit sockaddr_un.
func tempDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "gab")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// world is a control plane, an Envoy and their directory.
type world struct {
	t     testing.TB
	dir   string
	plane *plane
	envoy *envoy
	opts  xds.Options
}

func newWorld(t testing.TB, mutate ...func(*xds.BootstrapOptions)) *world {
	t.Helper()
	envoybintest.Need(t)
	dir := tempDir(t)
	w := &world{t: t, dir: dir}
	w.plane = startPlane(t, filepath.Join(dir, "ads.sock"), ads.Options{Linger: 2 * time.Second})
	o := xds.BootstrapOptions{ADSSocket: w.plane.socket}
	for _, m := range mutate {
		m(&o)
	}
	w.envoy = startEnvoy(t, dir, o)
	return w
}

func (w *world) translate(in *ir.IR) *xds.Snapshot {
	w.t.Helper()
	s, err := xds.Translate(in, w.opts)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, p := range s.Problems {
		w.t.Errorf("translate: %s: %s: %s", p.Resource, p.Part, p.Message)
	}
	return s
}

// serve ships an intent and waits until Envoy has taken all of it.
func (w *world) serve(in *ir.IR) *xds.Snapshot {
	w.t.Helper()
	s := w.translate(in)
	if err := w.plane.SetSnapshot(s); err != nil {
		w.t.Fatal(err)
	}
	w.settled()
	return s
}

// settled waits until everything sent was accepted and the listeners listen.
func (w *world) settled() {
	w.t.Helper()
	eventually(w.t, "the proxy has accepted the snapshot", func() error {
		proxies := w.plane.Status()
		if len(proxies) == 0 {
			return errors.New("no proxy yet")
		}
		p := proxies[0]
		for _, typ := range p.Types {
			if typ.Error != "" {
				w.t.Fatalf("refused %s: %s", typ.TypeURL, typ.Error)
			}
		}
		if !slices.ContainsFunc(p.Types, func(s ads.TypeStatus) bool { return s.TypeURL == xds.ListenerType }) {
			return errors.New("no listeners asked for yet")
		}
		for _, typ := range p.Types {
			if typ.Want == "" || typ.Want != typ.Acked {
				return fmt.Errorf("%s is at %q, want %q", typ.TypeURL, typ.Acked, typ.Want)
			}
		}
		if ready, err := w.envoy.ask("/ready"); err != nil || !strings.Contains(ready, "LIVE") {
			return fmt.Errorf("not live: %q, %v", ready, err)
		}
		warming, err := w.envoy.stat("listener_manager.total_listeners_warming")
		if err != nil || warming > 0 {
			return fmt.Errorf("%d listeners warming (%v)", warming, err)
		}
		if n, err := w.envoy.stat("cluster_manager.warming_clusters"); err != nil || n > 0 {
			return fmt.Errorf("%d clusters warming (%v)", n, err)
		}
		return nil
	})
}
