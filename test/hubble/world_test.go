package hubble

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cilium/cilium/hubble/cmd"
)

// patience is how long a test waits for something that should come at once.
const patience = 2 * time.Minute

// TestMain lets the test's binary be started again in another namespace: as a
// server, as a client, and as `hubble`, whose main function is what stands here.
func TestMain(m *testing.M) {
	var err error
	switch os.Getenv("GABION_TEST_ROLE") {
	case "":
		os.Exit(m.Run())
	case "hubble":
		err = cmd.Execute()
	case "listen":
		err = listen(os.Args[1:])
	case "dial":
		err = dial(os.Args[1])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// listen takes connections, answers each with a byte, and says when it is ready.
func listen(addresses []string) error {
	for _, address := range addresses {
		ln, err := net.Listen("tcp", address)
		if err != nil {
			return err
		}
		go func() {
			for {
				c, err := ln.Accept()
				if err != nil {
					return
				}
				_, _ = c.Write([]byte("x"))
				c.Close()
			}
		}()
	}
	fmt.Println("listening")
	select {}
}

func dial(address string) error {
	c, err := net.DialTimeout("tcp", address, 500*time.Millisecond)
	if err != nil {
		return err
	}
	defer c.Close()
	_, err = c.Read(make([]byte, 1))
	return err
}

// lines is what a process said so far.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// world is a host with two workloads in namespaces, on which gabion runs.
type world struct {
	*testing.T
	host, web, cart string // namespaces
	state           string
	said            *lines
}

func newWorld(t *testing.T) *world {
	t.Helper()
	if os.Geteuid() != 0 {
		if os.Getenv("GABION_REQUIRE") != "" {
			t.Fatal("network namespaces and eBPF need root")
		}
		t.Skip("network namespaces and eBPF need root")
	}
	id := fmt.Sprintf("hubble-%08x-", rand.Uint32())
	w := &world{T: t, host: id + "host", web: id + "web", cart: id + "cart", state: t.TempDir(), said: &lines{}}
	for _, space := range []string{w.host, w.web, w.cart} {
		w.sh("ip", "netns", "add", space)
		t.Cleanup(func() { w.sh("ip", "netns", "del", space) })
		w.sh("ip", "-n", space, "link", "set", "lo", "up")
	}
	w.sh("nsenter", "--net=/run/netns/"+w.host, "sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward")
	for i, space := range []string{w.web, w.cart} {
		name, net := fmt.Sprintf("w%d", i+1), fmt.Sprintf("10.9.%d", i+1)
		w.sh("ip", "-n", w.host, "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", space)
		w.sh("ip", "-n", w.host, "addr", "add", net+".1/24", "dev", name)
		w.sh("ip", "-n", w.host, "link", "set", name, "up")
		w.sh("ip", "-n", space, "addr", "add", net+".2/24", "dev", "eth0")
		w.sh("ip", "-n", space, "link", "set", "eth0", "up")
		w.sh("ip", "-n", space, "route", "add", "default", "via", net+".1")
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("they said:\n%s", w.said)
		}
	})
	return w
}

func (w *world) sh(name string, args ...string) {
	w.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		w.Fatalf("%s %s: %v: %s", name, strings.Join(args, " "), err, out)
	}
}

// command is a program in a namespace, with nothing of ours in its environment.
func (w *world) command(space, program string, args ...string) *exec.Cmd {
	c := exec.Command("nsenter", append([]string{"--net=/run/netns/" + space, program}, args...)...)
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, "GABION_") && !strings.HasPrefix(e, "HUBBLE_") {
			c.Env = append(c.Env, e)
		}
	}
	c.Env = append(c.Env, "GABION_STATE="+w.state, "HOME="+w.state)
	return c
}

// gabion is one of its programs, in the host's namespace.
func (w *world) gabion(name string, args ...string) *exec.Cmd {
	w.Helper()
	dir := os.Getenv("GABION_BIN")
	if dir == "" {
		dir = filepath.Join("..", "..", "bin")
	}
	path, err := filepath.Abs(filepath.Join(dir, name))
	if err == nil {
		_, err = os.Stat(path)
	}
	if err != nil && os.Getenv("GABION_REQUIRE") == "" {
		w.Skipf("%s is not built: run `make build`", path)
	}
	if err != nil {
		w.Fatal(err)
	}
	return w.command(w.host, path, args...)
}

// as starts the test's own binary in a role.
func (w *world) as(role, space string, args ...string) *exec.Cmd {
	w.Helper()
	self, err := os.Executable()
	if err != nil {
		w.Fatal(err)
	}
	c := w.command(space, self, args...)
	c.Env = append(c.Env, "GABION_TEST_ROLE="+role)
	return c
}

// start runs a program in the background until it says something.
func (w *world) start(c *exec.Cmd, says string) {
	w.Helper()
	said := &lines{}
	c.Stdout, c.Stderr = said, said
	if err := c.Start(); err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() {
		c.Process.Kill()
		c.Wait()
		fmt.Fprintln(w.said, said)
	})
	w.until(says, func() error {
		if !strings.Contains(said.String(), says) {
			return fmt.Errorf("it says:\n%s", said)
		}
		return nil
	})
}

// run is a command that must succeed; its output.
func (w *world) run(c *exec.Cmd, in string) string {
	w.Helper()
	c.Stdin = strings.NewReader(in)
	var out, errs bytes.Buffer
	c.Stdout, c.Stderr = &out, &errs
	if err := c.Run(); err != nil {
		w.Fatalf("%s: %v\n%s%s", strings.Join(c.Args[2:], " "), err, &out, &errs)
	}
	return out.String()
}

func (w *world) until(what string, try func() error) {
	w.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		err := try()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			w.Fatalf("waited in vain for %s: %v", what, err)
		}
	}
}
