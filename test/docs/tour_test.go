package docs

import (
	"bytes"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gabion-io/gabion/internal/envoybin"
)

// patience is how long the test waits for what should come at once.
const patience = 60 * time.Second

// step is a block of commands and what the page shows as their output.
type step struct {
	commands, shown string
}

var block = regexp.MustCompile("(?ms)^```(sh|text)\n(.*?)^```$")

// steps are the commands of the section, in order.
func steps(page, section string) (out []step) {
	_, page, _ = strings.Cut(page, "\n## "+section+"\n")
	page, _, _ = strings.Cut(page, "\n## ")
	for _, m := range block.FindAllStringSubmatch(page, -1) {
		switch {
		case m[1] == "sh":
			out = append(out, step{commands: m[2]})
		case len(out) > 0:
			out[len(out)-1].shown = m[2]
		}
	}
	return out
}

// The tour of the README, typed as it stands there, but for the addresses.
func TestTour(t *testing.T) {
	tour := steps(read(t, root+"/README.md"), "Five minutes")
	if len(tour) < 10 {
		t.Fatalf("the README's tour has %d blocks of commands: does the test still read it?", len(tour))
	}
	r := startUp(t)
	for _, s := range tour {
		var out string
		var err error
		lost := []string{s.shown}
		// Again only while nothing but telemetry is late: it comes after the answer.
		late := strings.HasPrefix(s.commands, "gabion waf event")
		for deadline := time.Now().Add(patience); ; time.Sleep(100 * time.Millisecond) {
			out, err = r.shell(t, s.commands)
			if err == nil {
				lost = missingLines(s.shown, out)
			}
			if err == nil && len(lost) == 0 || !late || time.Now().After(deadline) {
				break
			}
		}
		if err != nil {
			t.Fatalf("%s\n%v\n%s", s.commands, err, out)
		}
		for _, line := range lost {
			t.Errorf("%s\nshows no line like %q any more; it shows\n%s", s.commands, line, out)
		}
		r.awaitRecordings(t, s.commands)
	}
}

// missingLines are the lines that a page shows and the output does not, taken
// without what differs from run to run. An … stands for anything.
func missingLines(shown, out string) (lost []string) {
	got := "\n" + normal(out) + "\n"
	for _, line := range strings.Split(strings.TrimSpace(shown), "\n") {
		pattern := strings.ReplaceAll(regexp.QuoteMeta(normal(line)), "…", ".*")
		if !regexp.MustCompile("\n *" + pattern + " *\n").MatchString(got) {
			lost = append(lost, line)
		}
	}
	return lost
}

var varying = []struct {
	re   *regexp.Regexp
	with string
}{
	{regexp.MustCompile(`\b01[0-9A-HJKMNP-TV-Z]{24}\b`), "ULID"},
	{regexp.MustCompile(`\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b`), "UUID"},
	{regexp.MustCompile(`\b[0-9a-f]{11,64}\b`), "HEX"},
	{regexp.MustCompile(`\bup-\S+`), "PROXY"},
	{regexp.MustCompile(`(?m)^(date:).*`), "$1"},
	{regexp.MustCompile(`\b[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d\b`), "TIME"},
	{regexp.MustCompile(`\b\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\b`), "TIME"},
	{regexp.MustCompile(`\b(now|\d+[a-z]+ ago)\b`), "AGO"},
	// How much of the suite is tried in the time there is depends on the machine.
	{regexp.MustCompile(`(?m)^( *opens ).*`), "$1"},
	{regexp.MustCompile(`(?m)^\d+ +TIME`), "SEQ TIME"}, // waiting leaves entries in the audit log
	{regexp.MustCompile(`\d+ entries`), "N entries"},
	// Beyond the first twenty it is left to chance which bodies are looked into.
	{regexp.MustCompile(`(POST /orders +151 +|application/json /\w+ +)2\d\b`), "${1}20"},
	{regexp.MustCompile(`localhost:\d+`), "localhost:PORT"},
	{regexp.MustCompile(`[ \t\r]+`), " "},
}

// normal takes out of a text what differs from run to run.
func normal(text string) string {
	for _, v := range varying {
		text = v.re.ReplaceAllString(text, v.with)
	}
	return text
}

// reader is somebody who follows the tour.
type reader struct {
	home, bin, listen string
}

// shell types commands as the README has them.
func (r *reader) shell(t *testing.T, commands string) (string, error) {
	t.Helper()
	commands = strings.ReplaceAll(commands, "localhost:8080", "localhost:"+r.listen)
	c := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", commands)
	c.Env = r.env()
	out, err := c.CombinedOutput()
	return string(out), err
}

// awaitRecordings waits, after requests, until what they left behind can be
// worked with: a person types slower than this test.
func (r *reader) awaitRecordings(t *testing.T, commands string) {
	t.Helper()
	if !strings.Contains(commands, "q=tea") {
		return
	}
	const look = "echo '{apiVersion: gabion.io/v1alpha1, kind: WAFPolicy, metadata: {name: default}, spec: {mode: block}}' | gabion waf rehearse -f -"
	var out string
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		if out, _ = r.shell(t, look); strings.Contains(out, "3 of 3 recorded exchanges judged") {
			return
		}
	}
	t.Fatalf("the three requests were not recorded:\n%s", out)
}

func (r *reader) env() []string {
	var env []string
	for _, e := range os.Environ() {
		if name, _, _ := strings.Cut(e, "="); !strings.HasPrefix(name, "GABION_") && name != "XDG_STATE_HOME" && name != "HOME" && name != "PATH" {
			env = append(env, e)
		}
	}
	return append(env, "HOME="+r.home, "PATH="+r.bin+":"+os.Getenv("PATH"))
}

// startUp runs `gabion up` as `make up` does, on free ports and with a home of
// its own.
func startUp(t *testing.T) *reader {
	t.Helper()
	envoy, err := envoybin.Find(t.Context(), "")
	if err != nil {
		missing(t, err.Error())
	}
	r := &reader{home: t.TempDir(), bin: binDir(t), listen: freePort(t)}
	c := exec.Command(filepath.Join(r.bin, "gabion"), "up", "--envoy", envoy.Path,
		"--listen", "127.0.0.1:"+r.listen, "--admin", "127.0.0.1:"+freePort(t), "--concurrency", "2")
	c.Env = r.env()
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	log := &output{}
	c.Stdout, c.Stderr = log, log
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan error, 1)
	go func() { exited <- c.Wait() }()
	t.Cleanup(func() {
		if err := c.Process.Signal(os.Interrupt); errors.Is(err, os.ErrProcessDone) {
			return
		}
		select {
		case <-exited:
		case <-time.After(patience):
			t.Error("gabion up does not end when interrupted")
			c.Process.Kill()
		}
	})
	for deadline := time.Now().Add(patience); !strings.Contains(log.String(), "gabion is up"); {
		select {
		case err := <-exited:
			t.Fatalf("gabion up ended: %v\n%s", err, log)
		case <-time.After(50 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			t.Fatalf("gabion up is not up after %s\n%s", patience, log)
		}
	}
	return r
}

// binDir holds the built program with libgabion.so beside it.
func binDir(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("GABION_BIN")
	if dir == "" {
		dir = root + "/bin"
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range []string{"gabion", "libgabion.so"} {
		if _, err := os.Stat(filepath.Join(abs, f)); err != nil {
			missing(t, filepath.Join(abs, f)+" is not built: run `make build`")
		}
	}
	return abs
}

// missing skips, or fails where everything must run.
func missing(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("GABION_REQUIRE") == "1" {
		t.Fatal(what)
	}
	t.Skip(what)
}

func freePort(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	_, port, _ := net.SplitHostPort(ln.Addr().String())
	return port
}

// output is what a process wrote so far.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}
