package module

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gabion-io/gabion/filters"
	"github.com/gabion-io/gabion/internal/envoybin/envoybintest"
	"github.com/gabion-io/gabion/internal/lockedbuffer"
)

// patience is how long a test waits for something that will happen, however loaded the machine.
const patience = 2 * time.Minute

// buildModule gives the directory of libgabion.so built with tag. Built once
// per run of the tests; GABION_MODULE_DIR names one that is built already.
func buildModule(t testing.TB, tag string) (dir string) {
	t.Helper()
	if dir := os.Getenv("GABION_MODULE_DIR"); dir != "" && tag == "" {
		return dir
	}
	build := builds[tag]
	dir, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

var builds = map[string]func() (string, error){
	"":            sync.OnceValues(func() (string, error) { return build("") }),
	"gabionfault": sync.OnceValues(func() (string, error) { return build("gabionfault") }),
}

func build(tag string) (string, error) {
	dir := filepath.Join(scratch, "module-"+tag)
	// As scripts/build does it: then little is left to compile.
	cmd := exec.Command("go", "build", "-trimpath", "-buildmode=c-shared", "-tags", shipped+","+tag,
		"-o", filepath.Join(dir, "libgabion.so"), "github.com/gabion-io/gabion/filters/module")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the module: %w\n%s", err, out)
	}
	return dir, nil
}

// shipped are the tags of scripts/tags.sh.
const shipped = "no_fs_access,coraza.disabled_operators.inspectFile,coraza.disabled_operators.rbl,coraza.disabled_operators.validateSchema"

// scratch outlives a single test.
var scratch string

func TestMain(m *testing.M) {
	var err error
	if scratch, err = os.MkdirTemp("", "gabion-module-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	_ = os.RemoveAll(scratch)
	os.Exit(code)
}

// proxy is a running Envoy with the filter in front of an upstream.
type proxy struct {
	t     testing.TB
	addr  string // host:port of its listener
	admin string // Unix socket
	log   string // access log file, a JSON line per request
	out   *lockedbuffer.Buffer
	cmd   *exec.Cmd
	gone  chan struct{}
}

// setup says how to run Envoy.
type setup struct {
	config string   // bootstrap, JSON
	env    []string // added to the environment
}

// startEnvoy runs Envoy until the test ends and waits for its listener.
func startEnvoy(t testing.TB, dir string, s setup) *proxy {
	t.Helper()
	p := &proxy{t: t, admin: filepath.Join(dir, "admin.sock"), log: filepath.Join(dir, "access.log"), out: &lockedbuffer.Buffer{}, gone: make(chan struct{})}
	p.cmd = envoyCommand(t, dir, s)
	p.cmd.Stdout, p.cmd.Stderr = p.out, p.out
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { _ = p.cmd.Wait(); close(p.gone) }()
	t.Cleanup(p.stop)
	eventually(t, "Envoy to listen", func() bool { p.addr = p.listener(); return p.addr != "" || !p.alive() })
	if !p.alive() {
		t.Fatalf("Envoy ended:\n%s", p.out.String())
	}
	return p
}

func envoyCommand(t testing.TB, dir string, s setup, more ...string) *exec.Cmd {
	file := filepath.Join(dir, "envoy.json")
	if err := os.WriteFile(file, []byte(s.config), 0o600); err != nil {
		t.Fatal(err)
	}
	args := append([]string{"-c", file, "--disable-hot-restart", "--file-flush-interval-msec", "50", "--concurrency", "2", "-l", "warning", "--component-log-level", "dynamic_modules:info"}, more...)
	cmd := exec.Command(envoybintest.Need(t), args...)
	cmd.Env = append(os.Environ(), s.env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

func (p *proxy) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.gone:
	case <-time.After(patience):
		_ = p.cmd.Process.Kill()
		<-p.gone
	}
	if p.t.Failed() {
		p.t.Logf("Envoy said:\n%s", p.out.String())
	}
}

func (p *proxy) alive() bool {
	select {
	case <-p.gone:
		return false
	default:
		return true
	}
}

func (p *proxy) listener() string {
	body, err := p.get("/listeners?format=json")
	if err != nil {
		return ""
	}
	var v struct {
		Listeners []struct {
			Local struct {
				Socket struct {
					Address string `json:"address"`
					Port    int    `json:"port_value"`
				} `json:"socket_address"`
			} `json:"local_address"`
		} `json:"listener_statuses"`
	}
	if json.Unmarshal(body, &v) != nil || len(v.Listeners) == 0 || v.Listeners[0].Local.Socket.Port == 0 {
		return ""
	}
	if ready, err := p.get("/ready"); err != nil || !strings.HasPrefix(string(ready), "LIVE") {
		return ""
	}
	s := v.Listeners[0].Local.Socket
	return net.JoinHostPort(s.Address, fmt.Sprint(s.Port))
}

// get asks Envoy's admin interface.
func (p *proxy) get(path string) ([]byte, error) {
	c := http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", p.admin)
	}}}
	res, err := c.Get("http://admin" + path)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	return io.ReadAll(res.Body)
}

// entry is one line of the access log.
type entry struct {
	Case   string `json:"case"`
	Status int    `json:"status"`
	Raw    string `json:"event"`
	Flags  string `json:"flags"`
	Detail string `json:"detail"`
}

func (e entry) event(t testing.TB) *filters.Event {
	if e.Raw == "" || e.Raw == "-" {
		return nil
	}
	var ev filters.Event
	if err := json.Unmarshal([]byte(e.Raw), &ev); err != nil {
		t.Fatalf("event in dynamic metadata: %v: %q", err, e.Raw)
	}
	return &ev
}

// logged waits for the access log entry of a case.
func (p *proxy) logged(t testing.TB, id string) entry {
	t.Helper()
	var found entry
	eventually(t, "the access log entry of "+id, func() bool {
		f, err := os.Open(p.log)
		if err != nil {
			return false
		}
		defer f.Close()
		lines := bufio.NewScanner(f)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			var e entry
			if bytes.Contains(lines.Bytes(), []byte(id)) && json.Unmarshal(lines.Bytes(), &e) == nil && e.Case == id {
				found = e
				return true
			}
		}
		return false
	})
	return found
}

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		if ok() {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

func validate(t testing.TB, dir string, s setup) (string, error) {
	cmd := envoyCommand(t, dir, s, "--mode", "validate")
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return string(out), err
}
