package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/gabion-io/gabion/internal/supervise"
)

// envoyAdmin talks to Envoy's admin interface, which is a Unix socket.
type envoyAdmin struct{ client *http.Client }

func newEnvoyAdmin(socket string) envoyAdmin {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}
	return envoyAdmin{&http.Client{Transport: &http.Transport{DialContext: dial}, Timeout: 5 * time.Second}}
}

func (e envoyAdmin) call(ctx context.Context, method, path string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://envoy"+path, nil)
	if err != nil {
		return "", err
	}
	resp, err := e.client.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("envoy admin %s: status %d: %s", path, resp.StatusCode, strings.TrimSpace(string(body)))
	}
	return string(body), err
}

// ready is nil once Envoy has its configuration and listens.
func (e envoyAdmin) ready(ctx context.Context) error {
	_, err := e.call(ctx, http.MethodGet, "/ready")
	return err
}

// drain asks Envoy to close its listeners and waits until no request is in
// flight, or the context ends.
func (e envoyAdmin) drain(ctx context.Context) error {
	if _, err := e.call(ctx, http.MethodPost, "/drain_listeners?graceful&skip_exit"); err != nil {
		return fmt.Errorf("drain Envoy: %w", err)
	}
	for {
		text, err := e.call(ctx, http.MethodGet, "/stats?filter=http\\..*\\.downstream_rq_active$")
		if err != nil {
			return fmt.Errorf("drain Envoy: %w", err)
		}
		if sumStats(text) == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// sumStats adds the values of "name: value" lines, those of the admin interface
// excepted: its one request in flight is the one that asks.
func sumStats(text string) (sum int) {
	for lines := bufio.NewScanner(strings.NewReader(text)); lines.Scan(); {
		if name, value, ok := strings.Cut(lines.Text(), ": "); ok && !strings.HasPrefix(name, "http.admin.") {
			n, _ := strconv.Atoi(strings.TrimSpace(value))
			sum += n
		}
	}
	return sum
}

// findModule is the directory that holds libgabion.so: beside the executable,
// or GABION_MODULE_DIR.
func findModule(env func(string) string) (string, error) {
	var dirs []string
	if d := env("GABION_MODULE_DIR"); d != "" {
		dirs = append(dirs, d)
	}
	if exe, err := os.Executable(); err == nil {
		dirs = append(dirs, filepath.Dir(exe))
	}
	for _, d := range dirs {
		if _, err := os.Stat(filepath.Join(d, "libgabion.so")); err == nil {
			return filepath.Abs(d)
		}
	}
	return "", withHint(fmt.Errorf("find libgabion.so: it is not in %s", strings.Join(dirs, " nor ")),
		"run `make build`, set GABION_MODULE_DIR, or use --transport extproc")
}

// envoySpec is the managed Envoy as a supervised child.
func envoySpec(o upOptions, l layout, path, moduleDir string) supervise.Spec {
	admin := newEnvoyAdmin(l.envoySocket())
	return supervise.Spec{
		Name:    envoyProcess,
		Command: path,
		Args: []string{
			"--config-path", l.bootstrap(),
			"--concurrency", strconv.Itoa(o.concurrency),
			"--disable-hot-restart",
			"--drain-time-s", "5",
			"--drain-strategy", "immediate",
			"--log-level", "warning",
			"--log-format", "%L %n %v",
		},
		Env:         []string{"ENVOY_DYNAMIC_MODULES_SEARCH_PATH=" + moduleDir},
		Ready:       admin.ready,
		ReadyWithin: 30 * time.Second,
		Drain:       admin.drain,
		DrainWithin: 5 * time.Second,
	}
}
