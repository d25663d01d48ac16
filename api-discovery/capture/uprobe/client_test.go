package uprobe

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gabion-io/gabion/workload"
)

const cgroups = "/sys/fs/cgroup/unified"

// group is a workload that is a cgroup.
func (b *bed) group(name string) (dir string) {
	b.Helper()
	root := cgroups
	if _, err := os.Stat(filepath.Join(root, "cgroup.procs")); err != nil {
		root = "/sys/fs/cgroup"
	}
	dir = filepath.Join(root, fmt.Sprintf("uprobes-%s-%d", name, os.Getpid()))
	if err := os.Mkdir(dir, 0o755); err != nil {
		if os.Getenv("GABION_REQUIRE") != "" {
			b.Fatal(err)
		}
		b.Skip(err)
	}
	b.Cleanup(func() {
		for end := time.Now().Add(patience); os.Remove(dir) != nil && time.Now().Before(end); {
			time.Sleep(10 * time.Millisecond)
		}
	})
	w := &workload.Workload{ID: workload.ID{Namespace: "shop", Name: name}}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.find = func() (out []Member) {
		procs, _ := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
		for line := range strings.Lines(string(procs)) {
			if pid, err := strconv.Atoi(strings.TrimSpace(line)); err == nil {
				out = append(out, Member{pid, w})
			}
		}
		return out
	}
	return dir
}

// runIn runs a command as a process of a cgroup.
func (b *bed) runIn(dir string, name string, args ...string) *exec.Cmd {
	b.Helper()
	f, err := os.Open(dir)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	c := exec.Command(name, args...)
	c.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(f.Fd())}
	c.Stderr = b.log
	if err := c.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { c.Process.Kill(); c.Wait() })
	return c
}

// gate lets nobody in before it is opened.
type gate struct {
	net.Listener
	open chan struct{}
}

func (g gate) Accept() (net.Conn, error) {
	c, err := g.Listener.Accept()
	<-g.open
	return c, err
}

// serveGated is a server in this process, which is none that is seen.
func (b *bed) serveGated() (at string, open chan struct{}) {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	open = make(chan struct{})
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "hello") })}
	go s.ServeTLS(gate{l, open}, filepath.Join(b.dir, "cert.pem"), filepath.Join(b.dir, "key.pem"))
	b.Cleanup(func() { s.Close() })
	return l.Addr().String(), open
}

// A client that begins in the cgroup of a workload is found, and what it does with
// libssl is seen, in HTTP/1 and HTTP/2; what a server also tells is told once; when it
// ends, it is let go.
func TestClientOfLibSSL(t *testing.T) {
	b := newBed(t)
	dir := b.group("web")
	for _, c := range []struct{ flag, proto string }{{"--http1.1", "HTTP/1.1"}, {"--http2", "HTTP/2"}} {
		at, open := b.serveGated()
		before := b.counters().Attached
		curl := b.runIn(dir, "curl", "-sS", "-k", "--max-time", "60", c.flag, "https://"+at+"/one", "https://"+at+"/two?a=b")
		b.until("curl is seen", func(n Counters) bool { return n.Attached > before })
		close(open)
		if err := curl.Wait(); err != nil {
			t.Fatalf("%v: %s", err, b.log)
		}
		b.want(at, "web→? "+c.proto+" https GET://HOST/one 0→5 200", "web→? "+c.proto+" https GET://HOST/two?a=b 0→5 200")
	}
	b.until("curl is let go", func(n Counters) bool { return n.Processes == 0 })
	if n := b.counters(); n.Homeless+n.Unreadable+n.Dropped+n.GivenUp+n.Lost+n.Garbled > 0 {
		t.Errorf("%+v", n)
	}

	// Both ends are seen.
	pid, at := b.python()
	b.optIn("cart", pid, 1)
	before := b.counters().Attached
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil { // its kernel takes the connection, it does not answer
		t.Fatal(err)
	}
	curl := b.runIn(dir, "curl", "-sS", "-k", "--max-time", "60", "https://"+at+"/three")
	b.until("curl is seen", func(n Counters) bool { return n.Attached > before })
	if err := syscall.Kill(pid, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if err := curl.Wait(); err != nil {
		t.Fatalf("%v: %s", err, b.log)
	}
	b.until("the other end tells", func(n Counters) bool { return n.Twice > 0 })
	b.want(at, "web→? HTTP/1.1 https GET://HOST/three 0→10 200")
}

// A library that is no library is said, not believed.
func TestForeignFiles(t *testing.T) {
	dir := t.TempDir()
	for name, content := range map[string]string{"empty": "", "text": "#!/bin/sh\n", "cut": "\x7fELF\x02\x01\x01\x00"} {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if l, err := readLibrary(file); l != nil || !errors.Is(err, errNotELF) {
			t.Errorf("%s: %v, %v", name, l, err)
		}
	}
	if l, err := readLibrary(dir); l != nil || err == nil {
		t.Errorf("a directory: %v, %v", l, err)
	}
}

// What others write into files and names of processes leads to nothing but an error.
func FuzzForeign(f *testing.F) {
	f.Add([]byte("7f44abeb2000-7f44abf10000 r-xp 0001f000 fe:00 1234 /usr/lib/x86_64-linux-gnu/libssl.so.3\n"))
	f.Add([]byte("12 (a) b) R 1 1 1 0 -1 4194304 1 0 0 0 0 0 0 0 20 0 1 0 5551 1 1\n"))
	if own, err := os.ReadFile("/proc/self/exe"); err == nil {
		f.Add(own[:4096])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, m := range parseMaps(strings.NewReader(string(b))) {
			if !strings.Contains(m.name, "libssl") || strings.Contains(m.path, "/") {
				t.Errorf("%+v", m)
			}
		}
		ticksOf(string(b))
		file := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(file, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if l, err := readLibrary(file); err == nil && l != nil && len(l.enter) == 0 {
			t.Errorf("%+v", l)
		}
	})
}
