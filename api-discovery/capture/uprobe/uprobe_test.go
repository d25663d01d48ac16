package uprobe

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gabion-io/gabion/api-discovery/capture"
	"github.com/gabion-io/gabion/internal/lockedbuffer"
	"github.com/gabion-io/gabion/internal/netnstest"
	"github.com/gabion-io/gabion/workload"
)

// patience is for events; the machine may be busy.
const patience = 6 * netnstest.Patience

const helper = "GABION_TEST_TLS_SERVER"

func TestMain(m *testing.M) {
	switch dir, name := os.Getenv(helper), os.Getenv(role); {
	case dir == "":
	case name != "":
		playRole(dir, name)
		return
	default:
		serveTLS(dir)
		return
	}
	os.Exit(m.Run())
}

// serveTLS is a server of Go's library, in a process of its own.
func serveTLS(dir string) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /users/{id}", func(w http.ResponseWriter, r *http.Request) { fmt.Fprintf(w, `{"id":%q}`, r.PathValue("id")) })
	mux.HandleFunc("POST /orders", func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		w.WriteHeader(http.StatusCreated)
		fmt.Fprint(w, n)
	})
	mux.HandleFunc("GET /large", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", fmt.Sprint(1<<20))
		w.Write(make([]byte, 1<<20))
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(l.Addr())
	fmt.Println(http.ServeTLS(l, mux, filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")))
}

// pythonServer speaks HTTP/1.1 by libssl.
const pythonServer = `
import http.server, ssl, sys
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def do_GET(self):
        self.answer(200, b"x" * (1 << 20) if self.path == "/large" else b'{"id":"1"}')
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.answer(201, str(len(body)).encode())
    def log_message(self, *a): pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[1] + "/cert.pem", sys.argv[1] + "/key.pem")
server.socket = context.wrap_socket(server.socket, server_side=True)
print("127.0.0.1:%d" % server.server_address[1], flush=True)
server.serve_forever()
`

// bed is a host of which some processes are seen.
type bed struct {
	testing.TB
	w       *Watch
	dir     string // with a certificate
	log     *lockedbuffer.Buffer
	mu      sync.Mutex
	seen    []*capture.Seen
	members []Member
	find    func() []Member // more of them
}

func newBed(t testing.TB) *bed {
	netnstest.Need(t)
	b := &bed{TB: t, dir: t.TempDir(), log: &lockedbuffer.Buffer{}}
	certify(t, b.dir)
	var err error
	b.w, err = Open(Options{
		Cgroups: "/sys/fs/cgroup/unified", Log: slog.New(slog.NewTextHandler(b.log, nil)),
		Emit: func(s *capture.Seen) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.seen = append(b.seen, s)
		},
		Find: func() ([]Member, error) {
			b.mu.Lock()
			defer b.mu.Unlock()
			out := append([]Member(nil), b.members...)
			if b.find != nil {
				out = append(out, b.find()...)
			}
			return out, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	for _, run := range []func(context.Context) error{b.w.Run, b.w.Keep} {
		all.Go(func() {
			if err := run(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	t.Cleanup(func() {
		cancel()
		all.Wait()
		if err := b.w.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

func certify(t testing.TB, dir string) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{"cert.pem": {Type: "CERTIFICATE", Bytes: der}, "key.pem": {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// start runs a server and waits for the address that it prints.
func (b *bed) start(c *exec.Cmd) (pid int, at string) {
	b.Helper()
	out, err := c.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	said := &lockedbuffer.Buffer{}
	c.Stderr = said
	if err := c.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { c.Process.Kill(); c.Wait() })
	line := make([]byte, 64)
	n, err := out.Read(line)
	if err != nil {
		b.Fatalf("%v: %s", err, said)
	}
	return c.Process.Pid, strings.TrimSpace(string(line[:n]))
}

func (b *bed) python() (pid int, at string) {
	b.Helper()
	python, err := exec.LookPath("python3")
	if err != nil && os.Getenv("GABION_REQUIRE") == "" {
		b.Skip("there is no python3")
	}
	if err != nil {
		b.Fatal(err)
	}
	return b.start(exec.Command(python, "-c", pythonServer, b.dir))
}

func (b *bed) golang() (pid int, at string) {
	b.Helper()
	c := exec.Command(os.Args[0])
	c.Env = append(os.Environ(), helper+"="+b.dir)
	return b.start(c)
}

// optIn makes a process one of a workload, and waits until it has so many probed
// libraries more.
func (b *bed) optIn(name string, pid, libraries int) {
	b.Helper()
	before := b.counters().Attached
	b.mu.Lock()
	b.members = append(b.members, Member{pid, &workload.Workload{ID: workload.ID{Namespace: "shop", Name: name}}})
	b.mu.Unlock()
	b.until("the process is seen", func(n Counters) bool { return n.Attached >= before+uint64(libraries) })
}

func (b *bed) counters() Counters {
	b.Helper()
	n, err := b.w.Counters(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	return n
}

func (b *bed) until(what string, true func(Counters) bool) {
	b.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		n := b.counters()
		if true(n) {
			return
		}
		if time.Now().After(end) {
			b.Fatalf("waited in vain until %s: %+v\n%s", what, n, b.log)
		}
	}
}

// nowhere is where connections lead whose socket is not known.
const nowhere = ""

// want holds what is seen next, and to which address it went.
func (b *bed) want(at string, lines ...string) {
	b.Helper()
	var got []string
	for end := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		b.mu.Lock()
		list := slices.Clone(b.seen)
		b.mu.Unlock()
		if len(list) < len(lines) && time.Now().Before(end) {
			continue
		}
		for _, s := range list {
			from, to := "?", "?"
			if s.From != nil {
				from = s.From.ID.Name
			}
			if s.To != nil {
				to = s.To.ID.Name
			}
			got = append(got, fmt.Sprintf("%s→%s %s %s://%s%s %d→%d %d", from, to, s.Proto, s.Raw.Scheme+" "+s.Raw.Method, s.Raw.Host, s.Raw.Path,
				s.Raw.Request.Size, s.Raw.Response.Size, s.Raw.Status))
			if !s.TLS || !leads(s, at) || s.Process == nil || s.Process.Executable == "" {
				b.Errorf("%s: from %v to %v, not %q, by %+v", got[len(got)-1], s.Client, s.Server, at, s.Process)
			}
		}
		break
	}
	if g, w := strings.Join(got, "\n"), strings.ReplaceAll(strings.Join(lines, "\n"), "HOST", at); g != w {
		b.Errorf("saw\n%s\nwant\n%s\n%+v\n%s", g, w, b.counters(), b.log)
	}
	b.mu.Lock()
	b.seen = nil
	b.mu.Unlock()
}

// leads says whether an exchange went to an address, from another.
func leads(s *capture.Seen, at string) bool {
	if at == nowhere {
		return !s.Server.IsValid() && !s.Client.IsValid()
	}
	return s.Server == netip.MustParseAddrPort(at) && s.Client.IsValid() && s.Client != s.Server
}

func (b *bed) curl(args ...string) {
	b.Helper()
	if out, err := exec.Command("curl", append([]string{"-sS", "-k", "--max-time", "30"}, args...)...).CombinedOutput(); err != nil {
		b.Fatalf("curl %q: %v: %.500s", args, err, out)
	}
}

// What a server does with libssl is seen: kept alive, with bodies, also too long ones;
// of a server that nobody asked for, nothing.
func TestServerOfLibSSL(t *testing.T) {
	b := newBed(t)
	pid, at := b.python()
	_, other := b.python()
	b.optIn("cart", pid, 1)
	url := "https://" + at
	b.curl("https://" + other + "/users/1")
	b.curl(url+"/users/1?full=yes", "-d", "hello", url+"/orders")
	b.curl(url+"/large", url+"/users/2")
	b.want(at, "?→cart HTTP/1.1 https POST://HOST/users/1?full=yes 5→1 201", "?→cart HTTP/1.1 https POST://HOST/orders 5→1 201",
		"?→cart HTTP/1.1 https GET://HOST/large 0→1048576 200", "?→cart HTTP/1.1 https GET://HOST/users/2 0→10 200")
	if n := b.counters(); n.Homeless+n.Unreadable+n.Dropped+n.GivenUp+n.Lost+n.Stray+n.Garbled > 0 {
		t.Errorf("%+v", n)
	}
}

// The same with Go's library, in HTTP/1 and HTTP/2.
func TestServerOfGo(t *testing.T) {
	b := newBed(t)
	pid, at := b.golang()
	_, other := b.golang()
	b.optIn("cart", pid, 1)
	url := "https://" + at
	b.curl("https://" + other + "/users/1")
	b.curl("--http1.1", url+"/users/1?full=yes", url+"/users/2", url+"/large", url+"/missing")
	b.want(at, "?→cart HTTP/1.1 https GET://HOST/users/1?full=yes 0→10 200", "?→cart HTTP/1.1 https GET://HOST/users/2 0→10 200",
		"?→cart HTTP/1.1 https GET://HOST/large 0→1048576 200", "?→cart HTTP/1.1 https GET://HOST/missing 0→19 404")
	b.curl("--http2", url+"/users/1", url+"/large", url+"/users/2")
	b.curl("--http2", "-d", strings.Repeat("x", 100_000), url+"/orders")
	b.want(at, "?→cart HTTP/2 https GET://HOST/users/1 0→10 200", "?→cart HTTP/2 https GET://HOST/large 0→1048576 200",
		"?→cart HTTP/2 https GET://HOST/users/2 0→10 200", "?→cart HTTP/2 https POST://HOST/orders 100000→6 201")
	if n := b.counters(); n.Homeless+n.Unreadable+n.Dropped+n.GivenUp+n.Lost+n.Stray+n.Garbled > 0 {
		t.Errorf("%+v", n)
	}
}

// What is no HTTP inside TLS makes no exchange, and connections go on.
func TestGarbage(t *testing.T) {
	b := newBed(t)
	pid, at := b.python()
	b.optIn("cart", pid, 1)
	for _, text := range []string{"\x00\x01\x02\x03", "GETTING\r\n\r\n", "GET / SMTP/9\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nabcdefghijklmnopqrst"} {
		c, err := tls.Dial("tcp", at, &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(c, text)
		c.CloseWrite()
		c.SetReadDeadline(time.Now().Add(time.Second))
		io.Copy(io.Discard, c)
		c.Close()
	}
	b.until("it is counted", func(n Counters) bool { return n.Others >= 2 && n.Conns >= 2 && n.Unparsable >= 1 })
	b.want(at)
}
