package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/gabion-io/gabion/internal/envoybin"
)

// blockPolicy is what both transports are measured with: the whole rule set,
// untouched as nginx has it, at paranoia 1, blocking, nothing recorded (nginx
// records nothing either).
const blockPolicy = `apiVersion: gabion.io/v1alpha1
kind: WAFPolicy
metadata: {name: default}
spec: {mode: block, profile: crs}
---
apiVersion: gabion.io/v1alpha1
kind: Recording
metadata: {name: default}
spec: {percent: 0}
`

// startAll starts the contenders. Those already started are returned with an error.
func startAll(ctx context.Context, upstream, only string) ([]contender, error) {
	envoy, err := envoybin.Find(ctx, "")
	if err != nil {
		return nil, err
	}
	var all []contender
	starters := []struct {
		word  string
		start func() (contender, error)
	}{
		{"plain", func() (contender, error) { return startPlain(envoy.Path, upstream) }},
		{"module", func() (contender, error) { return startGabion("module", upstream) }},
		{"extproc", func() (contender, error) { return startGabion("extproc", upstream) }},
		{"nginx", func() (contender, error) { return startNginx(ctx, upstream) }},
	}
	for _, s := range starters {
		if only != "" && !strings.Contains(","+only+",", ","+s.word+",") {
			continue
		}
		c, err := s.start()
		if err != nil {
			return all, err
		}
		all = append(all, c)
		if err := c.awaitReady(ctx); err != nil {
			return all, fmt.Errorf("start %s: %w", c.name, err)
		}
		fmt.Fprintf(os.Stderr, "bench: %s serves on %s\n", c.name, c.base)
	}
	return all, nil
}

func (c contender) awaitReady(ctx context.Context) error {
	deadline := time.Now().Add(time.Minute)
	for {
		resp, err := http.Get(c.base + "/search?q=tea")
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
			err = fmt.Errorf("status %d", resp.StatusCode)
		}
		if time.Now().After(deadline) || ctx.Err() != nil {
			return err
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// startPlain runs Envoy as a mere proxy, with the same access log stream absent.
func startPlain(envoy, upstream string) (contender, error) {
	dir, err := os.MkdirTemp("", "gabion-bench-")
	if err != nil {
		return contender{}, err
	}
	port, err := freePort()
	if err != nil {
		return contender{}, err
	}
	_, upstreamPort, _ := net.SplitHostPort(strings.TrimPrefix(upstream, "http://"))
	config := filepath.Join(dir, "envoy.yaml")
	if err := os.WriteFile(config, []byte(fmt.Sprintf(plainEnvoy, port, upstreamPort)), 0o600); err != nil {
		return contender{}, err
	}
	cmd := exec.Command(envoy, "-c", config, "--concurrency", "2", "--disable-hot-restart", "--log-level", "error")
	return spawn("Envoy plain", "http://127.0.0.1:"+port, dir, cmd, func(pid int) []int { return []int{pid} })
}

const plainEnvoy = `
static_resources:
  listeners:
  - address: {socket_address: {address: 127.0.0.1, port_value: %s}}
    filter_chains:
    - filters:
      - name: hcm
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: plain
          route_config: {virtual_hosts: [{name: all, domains: ["*"], routes: [{match: {prefix: /}, route: {cluster: up}}]}]}
          http_filters: [{name: router, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}]
  clusters:
  - name: up
    load_assignment: {cluster_name: up, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: %s}}}}]}]}
`

// startGabion runs `gabion up`; what counts is Envoy and, with ext_proc, the filter.
func startGabion(transport, upstream string) (contender, error) {
	dir, err := os.MkdirTemp("", "gabion-bench-")
	if err != nil {
		return contender{}, err
	}
	policy := filepath.Join(dir, "policy.yaml")
	if err := os.WriteFile(policy, []byte(blockPolicy), 0o600); err != nil {
		return contender{}, err
	}
	port, err := freePort()
	if err != nil {
		return contender{}, err
	}
	admin, err := freePort()
	if err != nil {
		return contender{}, err
	}
	cmd := exec.Command(filepath.Join("bin", "gabion"), "up", "--agent=false", "--state", filepath.Join(dir, "state"), "--transport", transport,
		"--listen", "127.0.0.1:"+port, "--admin", "127.0.0.1:"+admin, "--upstream", upstream, "--concurrency", "2", "-f", policy)
	c, err := spawn("Envoy + "+transport, "http://127.0.0.1:"+port, dir, cmd, func(pid int) (pids []int) {
		for _, p := range descendants(pid) {
			line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", p))
			words := strings.Split(string(line), "\x00")
			if len(words) > 1 && (strings.HasSuffix(words[0], "envoy") || words[1] == "filter") {
				pids = append(pids, p)
			}
		}
		return pids
	})
	_, c.upstream, _ = net.SplitHostPort(strings.TrimPrefix(upstream, "http://"))
	return c, err
}

// spawn starts a process that ends with this one, and with close.
func spawn(name, base, dir string, cmd *exec.Cmd, pids func(int) []int) (contender, error) {
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return contender{}, err
	}
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	if err := cmd.Start(); err != nil {
		return contender{}, fmt.Errorf("start %s: %w", name, err)
	}
	return contender{
		name: name, base: base,
		pids: func() []int { return pids(cmd.Process.Pid) },
		close: func() {
			cmd.Process.Signal(syscall.SIGTERM)
			cmd.Wait()
			os.RemoveAll(dir)
		},
	}, nil
}

func freePort() (string, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer ln.Close()
	_, port, err := net.SplitHostPort(ln.Addr().String())
	return port, err
}

// timeApplies times `gabion apply` of a rule until a request meets it.
func timeApplies(ctx context.Context, contenders []contender, n int) error {
	for _, c := range contenders {
		if !strings.HasPrefix(c.name, "Envoy + ") {
			continue
		}
		var total, worst time.Duration
		for i := range n {
			took, err := timeApply(ctx, c, i)
			if err != nil {
				return fmt.Errorf("time an apply to %s: %w", c.name, err)
			}
			total, worst = total+took, max(worst, took)
		}
		if n > 0 {
			fmt.Printf("\n%s: apply to in force: mean %d ms, worst %d ms of %d\n", c.name, (total / time.Duration(n)).Milliseconds(), worst.Milliseconds(), n)
		}
	}
	return nil
}

// timeApply puts a new rule on the route and asks until it denies. The policy of
// the run is a file's, so the change is another policy on the route.
func timeApply(ctx context.Context, c contender, i int) (time.Duration, error) {
	word := fmt.Sprintf("applied%d", i)
	manifest := fmt.Sprintf(`apiVersion: gabion.io/v1alpha1
kind: WAFPolicy
metadata: {name: timed}
spec:
  targetRefs: [{group: gateway.networking.k8s.io, kind: HTTPRoute, name: default}]
  rules: ['SecRule ARGS:probe "@streq %s" "id:1000,phase:1,deny,status:403"']
`, word)
	state, err := c.state()
	if err != nil {
		return 0, err
	}
	cmd := exec.CommandContext(ctx, filepath.Join("bin", "gabion"), "apply", "--state", state, "-f", "-")
	cmd.Stdin = strings.NewReader(manifest)
	began := time.Now()
	if out, err := cmd.CombinedOutput(); err != nil {
		return 0, fmt.Errorf("%w: %s", err, out)
	}
	if err := awaitDenial(ctx, c.base+"/search?probe="+word); err != nil {
		return 0, err
	}
	return time.Since(began), nil
}

// awaitDenial asks until the rule that denies is in force.
func awaitDenial(ctx context.Context, url string) error {
	for began := time.Now(); time.Since(began) < 5*time.Minute && ctx.Err() == nil; time.Sleep(2 * time.Millisecond) {
		resp, err := client.Get(url)
		if err != nil {
			return err
		}
		resp.Body.Close()
		if resp.StatusCode == http.StatusForbidden {
			return nil
		}
	}
	return errors.New("the rule never came into force")
}

// state is the contender's state directory, from its command line.
func (c contender) state() (string, error) {
	for _, pid := range c.pids() {
		line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		for _, w := range strings.Split(string(line), "\x00") {
			if strings.HasSuffix(w, "/run/envoy.json") {
				return strings.TrimSuffix(w, "/run/envoy.json"), nil
			}
		}
	}
	return "", errors.New("find the state directory: no Envoy runs")
}
