package crs

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/gabion-io/gabion/filters"
)

// Envoy is a real Envoy with the filter, a listener for each policy, and the
// suite's upstream behind it.
type Envoy struct {
	cmd     *exec.Cmd
	gone    chan struct{}
	said    *os.File
	backend net.Listener
	log     *accessLog
	ports   map[string]string // listener name → host:port
}

// EnvoyOptions say what to run and where.
type EnvoyOptions struct {
	Binary    string                    // of Envoy
	ModuleDir string                    // holds libgabion.so
	ExtProc   string                    // Unix socket of a filter with the table; "": the module
	Dir       string                    // for its files, empty
	Policies  map[string]filters.Policy // by listener name
}

// StartEnvoy runs Envoy until Close.
func StartEnvoy(o EnvoyOptions) (_ *Envoy, err error) {
	e := &Envoy{gone: make(chan struct{})}
	defer func() {
		if err != nil {
			e.Close()
		}
	}()
	if e.backend, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return nil, fmt.Errorf("listen for the upstream: %w", err)
	}
	go serveUpstream(e.backend)
	config, err := bootstrap(o, e.backend.Addr().String())
	if err != nil {
		return nil, err
	}
	file := filepath.Join(o.Dir, "envoy.json")
	if err = os.WriteFile(file, config, 0o600); err != nil {
		return nil, fmt.Errorf("write bootstrap: %w", err)
	}
	if e.log, err = followAccessLog(accessLogPath(o.Dir)); err != nil {
		return nil, err
	}
	if e.said, err = os.Create(filepath.Join(o.Dir, "envoy.log")); err != nil {
		return nil, fmt.Errorf("create log: %w", err)
	}
	e.cmd = exec.Command(o.Binary, "-c", file, "--disable-hot-restart", "--file-flush-interval-msec", "10",
		"--concurrency", "2", "-l", "warning")
	e.cmd.Env = append(os.Environ(), "ENVOY_DYNAMIC_MODULES_SEARCH_PATH="+o.ModuleDir)
	e.cmd.Stdout, e.cmd.Stderr = e.said, e.said
	e.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err = e.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start Envoy: %w", err)
	}
	go func() { _ = e.cmd.Wait(); close(e.gone) }()
	return e, e.await(o)
}

// await returns when all listeners accept.
func (e *Envoy) await(o EnvoyOptions) error {
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if !e.Alive() {
			said, _ := os.ReadFile(e.said.Name())
			return fmt.Errorf("Envoy ended:\n%s", said)
		}
		if ports, err := listeners(filepath.Join(o.Dir, "admin.sock")); err == nil && len(ports) == len(o.Policies) {
			e.ports = ports
			return nil
		}
	}
	return fmt.Errorf("Envoy did not listen within a minute")
}

// Alive says that Envoy has not ended.
func (e *Envoy) Alive() bool {
	select {
	case <-e.gone:
		return false
	default:
		return true
	}
}

// Said is what Envoy wrote to its own log.
func (e *Envoy) Said() string {
	b, _ := os.ReadFile(e.said.Name())
	return string(b)
}

// Close ends Envoy and the upstream.
func (e *Envoy) Close() {
	if e.cmd != nil && e.cmd.Process != nil {
		_ = e.cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-e.gone:
		case <-time.After(10 * time.Second):
			_ = e.cmd.Process.Kill()
			<-e.gone
		}
	}
	if e.log != nil {
		e.log.close()
	}
	if e.backend != nil {
		_ = e.backend.Close()
	}
	if e.said != nil {
		_ = e.said.Close()
	}
}

// listeners asks Envoy's admin interface for the ports the kernel chose; none
// before Envoy is live.
func listeners(admin string) (map[string]string, error) {
	c := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", admin)
		}}}
	get := func(path string) ([]byte, error) {
		res, err := c.Get("http://admin" + path)
		if err != nil {
			return nil, err
		}
		defer res.Body.Close()
		return io.ReadAll(res.Body)
	}
	if ready, err := get("/ready"); err != nil || !bytes.HasPrefix(ready, []byte("LIVE")) {
		return nil, fmt.Errorf("not ready: %w", err)
	}
	body, err := get("/listeners?format=json")
	if err != nil {
		return nil, err
	}
	var v struct {
		Listeners []struct {
			Name  string `json:"name"`
			Local struct {
				Socket struct {
					Address string `json:"address"`
					Port    int    `json:"port_value"`
				} `json:"socket_address"`
			} `json:"local_address"`
		} `json:"listener_statuses"`
	}
	if err := json.Unmarshal(body, &v); err != nil {
		return nil, fmt.Errorf("decode listeners: %w", err)
	}
	ports := map[string]string{}
	for _, l := range v.Listeners {
		if s := l.Local.Socket; s.Port != 0 {
			ports[l.Name] = net.JoinHostPort(s.Address, fmt.Sprint(s.Port))
		}
	}
	return ports, nil
}
