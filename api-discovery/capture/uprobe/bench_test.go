package uprobe

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// cpu is what a process and its children that run have used, in the kernel's ticks.
func cpu(b *bed, pids []int) (ticks int) {
	b.Helper()
	for _, pid := range pids {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			b.Fatal(err)
		}
		fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
		for _, f := range fields[11:13] {
			n, _ := strconv.Atoi(f)
			ticks += n
		}
	}
	return ticks
}

func children(pid int) (out []int) {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	for _, f := range strings.Fields(string(text)) {
		if n, err := strconv.Atoi(f); err == nil {
			out = append(out, n)
		}
	}
	return append(out, pid)
}

// nginx answers from memory.
func (b *bed) nginx() (pid int, at string) {
	b.Helper()
	path, err := exec.LookPath("nginx")
	if err != nil {
		path = "/usr/sbin/nginx"
	}
	if _, err := os.Stat(path); err != nil {
		b.Skip("there is no nginx (scripts/setup bench)")
	}
	dir := b.TempDir()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	at = l.Addr().String()
	l.Close()
	config := fmt.Sprintf(`daemon off; worker_processes 1; pid %[1]s/pid; error_log %[1]s/log;
events {}
http {
  access_log off; keepalive_requests 1000000;
  client_body_temp_path %[1]s; proxy_temp_path %[1]s; fastcgi_temp_path %[1]s; uwsgi_temp_path %[1]s; scgi_temp_path %[1]s;
  server {
    listen %[2]s ssl; ssl_certificate %[3]s/cert.pem; ssl_certificate_key %[3]s/key.pem;
    location / { return 200 "{\"id\":\"1\"}"; }
  }
}`, dir, at, b.dir)
	file := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		b.Fatal(err)
	}
	c := exec.Command(path, "-c", file, "-p", dir)
	c.Stderr = b.log
	if err := c.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { c.Process.Signal(os.Interrupt); c.Wait() })
	return c.Process.Pid, at
}

func ask(b *bed, c *http.Client, at string, n int) {
	b.Helper()
	for range n {
		w, err := c.Get("https://" + at + "/users/1")
		if err != nil {
			b.Fatal(err)
		}
		io.Copy(io.Discard, w.Body)
		w.Body.Close()
	}
}

// What a request of a kept connection costs a server in CPU, seen and not: two servers
// in turns.
func BenchmarkRequest(b *testing.B) {
	for name, start := range map[string]func(*bed) (int, string){"nginx": (*bed).nginx, "go": (*bed).golang} {
		b.Run(name, func(b *testing.B) {
			bed := newBed(b)
			transport := &http.Transport{MaxConnsPerHost: 1, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
			defer transport.CloseIdleConnections()
			c := &http.Client{Transport: transport}
			var at [2]string
			var pids [2][]int
			for i := range at {
				var pid int
				pid, at[i] = start(bed)
				for end := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
					w, err := c.Get("https://" + at[i] + "/users/1")
					if err == nil {
						w.Body.Close()
						break
					}
					if time.Now().After(end) {
						b.Fatal(err)
					}
				}
				pids[i] = children(pid)
			}
			for _, pid := range pids[1] {
				bed.optIn("cart", pid, 1)
			}
			const requests = 1000
			var used [2]int
			for b.Loop() {
				for i := range at {
					before := cpu(bed, pids[i])
					ask(bed, c, at[i], requests)
					used[i] += cpu(bed, pids[i]) - before
				}
			}
			for i, name := range []string{"unseen", "seen"} {
				b.ReportMetric(float64(used[i])*10_000/float64(b.N*requests), name+"-cpu-µs/request")
			}
			b.ReportMetric(float64(used[1])/float64(max(used[0], 1)), "ratio")
			b.ReportMetric(0, "ns/op")
		})
	}
}
