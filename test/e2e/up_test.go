// Package e2e drives the built product as its users do: `gabion up` with a real
// Envoy, requests over the wire, the command line for everything else. Nothing
// is mocked. Tests wait for what they expect with a generous deadline and never
// assert how long it took.
package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gabion-io/gabion/internal/envoybin"
	"github.com/gabion-io/gabion/internal/lockedbuffer"
)

// patience is how long a test waits for something that should come at once, however loaded the machine.
const patience = 2 * time.Minute

// up is one running `gabion up`.
type up struct {
	t       testing.TB
	cmd     *exec.Cmd
	state   string
	listen  string // host:port
	admin   string
	scheme  string
	log     *lockedbuffer.Buffer
	exited  chan struct{}
	exitErr error
	client  *http.Client
}

// transports are how the filter is reached; suites that promise equality run on both.
var transports = []string{"module", "extproc"}

// startUp runs `gabion up` with args on free ports and waits until it serves.
func startUp(t testing.TB, args ...string) *up {
	t.Helper()
	u := launch(t, args...)
	u.eventually("gabion up says it is up", func() error {
		if !strings.Contains(u.log.String(), "gabion is up") {
			return errors.New("not yet")
		}
		return nil
	})
	return u
}

// launch runs `gabion up` and does not wait.
func launch(t testing.TB, args ...string) *up {
	t.Helper()
	requireEnvoy(t)
	u := &up{
		t: t, state: t.TempDir(), listen: freePort(t), admin: freePort(t), scheme: "http",
		log: &lockedbuffer.Buffer{}, exited: make(chan struct{}),
		client: &http.Client{Timeout: patience, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
	}
	for i, a := range args {
		if a == "--state" {
			u.state = args[i+1]
		}
	}
	// The agent is for test/plane.
	all := append([]string{"up", "--agent=false", "--listen", u.listen, "--admin", u.admin, "--concurrency", "2"}, args...)
	if !strings.Contains(strings.Join(args, " "), "--state") {
		all = append(all, "--state", u.state)
	}
	u.cmd = exec.Command(gabion(t), all...)
	u.cmd.Env = cleanEnv()
	u.cmd.Stdout, u.cmd.Stderr = u.log, u.log
	u.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := u.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { u.exitErr = u.cmd.Wait(); close(u.exited) }()
	t.Cleanup(func() {
		u.stop()
		if t.Failed() {
			t.Logf("gabion up printed:\n%s", tail(u.log.String(), 6000))
		}
	})
	return u
}

// upstream is the URL of the demo application, as the banner says.
func (u *up) upstream() string {
	u.t.Helper()
	_, after, ok := strings.Cut(u.log.String(), "the demo application at ")
	if !ok {
		u.t.Fatalf("the banner names no demo application:\n%s", u.log.String())
	}
	return strings.Fields(after)[0]
}

// stop interrupts `gabion up`, as Ctrl-C does, and waits for its end.
func (u *up) stop() {
	select {
	case <-u.exited:
		return
	default:
	}
	u.cmd.Process.Signal(os.Interrupt)
	select {
	case <-u.exited:
	case <-time.After(patience):
		u.t.Errorf("gabion up did not end within %s of an interrupt", patience)
		u.cmd.Process.Kill()
		<-u.exited
	}
}

// run is a gabion command against this control plane; it must succeed.
func (u *up) run(args ...string) string {
	u.t.Helper()
	out, errOut, err := u.try("", args...)
	if err != nil {
		u.t.Fatalf("gabion %s: %v\n%s%s", strings.Join(args, " "), err, out, errOut)
	}
	return out
}

// apply writes manifests.
func (u *up) apply(manifest string) string {
	u.t.Helper()
	out, errOut, err := u.try(manifest, "apply", "-f", "-")
	if err != nil {
		u.t.Fatalf("gabion apply: %v\n%s%s", err, out, errOut)
	}
	return out
}

// try runs a gabion command that may fail.
func (u *up) try(stdin string, args ...string) (out, errOut string, err error) {
	u.t.Helper()
	ctx, cancel := context.WithTimeout(u.t.Context(), 2*time.Minute)
	defer cancel()
	c := exec.CommandContext(ctx, gabion(u.t), args...)
	c.Env = append(cleanEnv(), "GABION_STATE="+u.state)
	c.Stdin = strings.NewReader(stdin)
	var o, e bytes.Buffer
	c.Stdout, c.Stderr = &o, &e
	err = c.Run()
	return o.String(), e.String(), err
}

// runJSON decodes the output of a command with -o json.
func (u *up) runJSON(into any, args ...string) {
	u.t.Helper()
	out := u.run(append(args, "-o", "json")...)
	if err := json.Unmarshal([]byte(out), into); err != nil {
		u.t.Fatalf("gabion %s -o json: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// answer is a response read whole.
type answer struct {
	status int
	header http.Header
	body   string
}

// get requests path through Envoy; the request must be answered.
func (u *up) get(path string, header ...string) answer {
	u.t.Helper()
	return u.do(http.MethodGet, path, "", header...)
}

func (u *up) do(method, path, body string, header ...string) answer {
	u.t.Helper()
	a, err := u.request(method, path, body, header...)
	if err != nil {
		u.t.Fatalf("%s %s: %v", method, path, err)
	}
	return a
}

func (u *up) request(method, path, body string, header ...string) (answer, error) {
	req, err := http.NewRequestWithContext(u.t.Context(), method, u.scheme+"://"+u.listen+path, strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	req.Header.Set("User-Agent", "Mozilla/5.0 (e2e)")
	req.Header.Set("Accept", "*/*")
	for i := 0; i+1 < len(header); i += 2 {
		if header[i] == "Host" {
			req.Host = header[i+1]
			continue
		}
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := u.client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, resp.Header, string(b)}, err
}

// eventually tries until f is content or patience ends.
func (u *up) eventually(what string, f func() error) {
	u.t.Helper()
	deadline := time.Now().Add(patience)
	for {
		err := f()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			u.t.Fatalf("%s: waited %s: %v", what, patience, err)
		}
		select {
		case <-u.exited:
			u.t.Fatalf("%s: gabion up ended: %v\n%s", what, u.exitErr, tail(u.log.String(), 4000))
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// children are the pids of the child processes whose command line holds word.
func (u *up) children(word string) (pids []int) {
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		stat, err := os.ReadFile(filepath.Join("/proc", e.Name(), "stat"))
		if err != nil {
			continue
		}
		fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
		if len(fields) < 2 || fields[1] != strconv.Itoa(u.cmd.Process.Pid) {
			continue
		}
		line, _ := os.ReadFile(filepath.Join("/proc", e.Name(), "cmdline"))
		if strings.Contains(strings.ReplaceAll(string(line), "\x00", " "), word) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// requireEnvoy skips a test where there is no Envoy, unless it is required.
func requireEnvoy(t testing.TB) envoybin.Binary {
	t.Helper()
	b, err := envoybin.Find(t.Context(), "")
	if err != nil {
		missing(t, err.Error())
	}
	return b
}

// missing skips, or fails where everything must run.
func missing(t testing.TB, what string) {
	t.Helper()
	if os.Getenv("GABION_REQUIRE") == "1" {
		t.Fatal(what)
	}
	t.Skip(what)
}

// gabion is the built binary, with libgabion.so beside it.
func gabion(t testing.TB) string {
	t.Helper()
	dir := os.Getenv("GABION_BIN")
	if dir == "" {
		dir = filepath.Join("..", "..", "bin")
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range []string{"gabion", "libgabion.so"} {
		if _, err := os.Stat(filepath.Join(abs, f)); err != nil {
			missing(t, fmt.Sprintf("%s is not built: run `make build`", filepath.Join(abs, f)))
		}
	}
	return filepath.Join(abs, "gabion")
}

// cleanEnv is the environment without what would change gabion's defaults.
func cleanEnv() (env []string) {
	for _, e := range os.Environ() {
		name, _, _ := strings.Cut(e, "=")
		switch name {
		case "GABION_STATE", "GABION_SERVER", "GABION_TOKEN_FILE":
		default:
			env = append(env, e)
		}
	}
	return env
}

func freePort(t testing.TB) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}

func tail(s string, n int) string {
	if len(s) > n {
		return "…" + s[len(s)-n:]
	}
	return s
}

// envoyStats is what Envoy counts under names that match a pattern, zeroes left
// out.
func (u *up) envoyStats(pattern string) string {
	client := &http.Client{Timeout: patience, Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(u.state, "run", "envoy.sock"))
	}}}
	res, err := client.Get("http://envoy/stats?usedonly&filter=" + url.QueryEscape(pattern))
	if err != nil {
		return err.Error()
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		return err.Error()
	}
	return string(b)
}
