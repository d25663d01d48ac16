package plane

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gabion-io/gabion/internal/netnstest"
)

// tlsShop answers in the workload cart by libssl: what passes on the wire nobody can
// read.
const tlsShop = `
import http.server, ssl, sys
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        body = b'{"id":"1","mail":"ada@example.com"}'
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *a): pass
server = http.server.ThreadingHTTPServer((sys.argv[1], int(sys.argv[2])), Handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[3])
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
`

func certificate(t *testing.T) (file string) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"cart"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(t.TempDir(), "cert.pem")
	all := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})...)
	if err := os.WriteFile(file, all, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// shopByTLS starts the server and waits until it answers.
func (b *bed) shopByTLS(at netip.AddrPort) (pid int) {
	b.Helper()
	python, err := exec.LookPath("python3")
	if err != nil && os.Getenv("GABION_REQUIRE") == "" {
		b.Skip("there is no python3")
	}
	if err != nil {
		b.Fatal(err)
	}
	// Through pyenv's and other wrappers, to the process that serves.
	c := b.cart.Command(python, "-c", tlsShop, at.Addr().String(), fmt.Sprint(at.Port()), certificate(b.T))
	c.Stderr = b.log
	if err := c.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { c.Process.Kill(); c.Wait() })
	b.until("the server answers", func() error { return b.askByTLS(at, "/") })
	return c.Process.Pid
}

func (b *bed) askByTLS(at netip.AddrPort, path string) error {
	c, err := b.web.Dial("tcp", netip.Addr{}, at, netnstest.Patience)
	if err != nil {
		return err
	}
	defer c.Close()
	inside := tls.Client(c, &tls.Config{InsecureSkipVerify: true})
	if _, err := fmt.Fprintf(inside, "GET %s HTTP/1.1\r\nHost: cart\r\nConnection: close\r\n\r\n", path); err != nil {
		return err
	}
	answer, err := io.ReadAll(inside)
	if err == nil && !bytes.HasPrefix(answer, []byte("HTTP/1.1 200")) {
		err = fmt.Errorf("it answered %.100q", answer)
	}
	return err
}

// pristine says whether the code of libssl in a process is what is in the file: no
// probe is in it.
func pristine(pid int) error {
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		return err
	}
	memory, err := os.Open(fmt.Sprintf("/proc/%d/mem", pid))
	if err != nil {
		return err
	}
	defer memory.Close()
	for line := range strings.Lines(string(maps)) {
		var from, to, offset int64
		var flags, device, file string
		var inode int
		if n, _ := fmt.Sscanf(line, "%x-%x %s %x %s %d %s", &from, &to, &flags, &offset, &device, &inode, &file); n < 7 || flags != "r-xp" || !strings.Contains(file, "libssl") {
			continue
		}
		disk, err := os.Open(file)
		if err != nil {
			return err
		}
		defer disk.Close()
		here, there := make([]byte, to-from), make([]byte, to-from)
		n, err := disk.ReadAt(here, offset)
		if err != nil && err != io.EOF {
			return err
		}
		if _, err := memory.ReadAt(there, from); err != nil {
			return err
		}
		if !bytes.Equal(here[:n], there[:n]) {
			return errors.New("its code of libssl was changed")
		}
		return nil
	}
	return errors.New("it has no libssl")
}

// Of a workload that asked for it, HTTP inside TLS makes operations too; of one that
// did not, or does not any more, nothing is seen and nothing is in its memory; nor
// when the agent was killed.
func TestOperationsInsideTLS(t *testing.T) {
	b := newBed(t)
	b.serve()
	token := strings.TrimSpace(b.run("", "token", "join", "--host", "node-1", "--ttl", "10m"))
	b.run(b.workloads(), "apply", "-f", "-")
	asking := strings.Replace(b.workloads(), "spec: {", "spec: {captureTLS: true, ", -1)
	if strings.Count(asking, "captureTLS") != 2 {
		t.Fatal(asking)
	}
	at := netip.AddrPortFrom(b.cart.Interfaces[0].V4, 8443)
	pid := b.shopByTLS(at)
	agent := b.start("capturing HTTP", []string{"GABION_JOIN=" + token}, "gabion-agent", "--server", b.server, "--host", "node-1",
		"--state", b.agent, "--bpffs", b.bpffs, "--capture-http")
	if err := b.askByTLS(at, "/secret/1"); err != nil {
		t.Fatal(err)
	}
	if err := pristine(pid); err != nil {
		t.Error(err)
	}
	b.run(asking, "apply", "-f", "-")
	b.until("the server is seen", func() error {
		if !strings.Contains(b.log.String(), "seeing TLS of a process") {
			return errors.New("it is not")
		}
		return nil
	})
	if pristine(pid) == nil {
		t.Error("a process that is seen has no probe")
	}
	for i := range 3 {
		if err := b.askByTLS(at, fmt.Sprintf("/carts/%d?full=yes", 100+i)); err != nil {
			t.Fatal(err)
		}
	}
	b.shows("the operation is there", "shop/cart", "GET", "/carts/{cartId}", "3", "email")
	if out := b.run("", "api", "callers", "GET", "/carts/{cartId}"); !strings.Contains(out, "shop/web") {
		t.Errorf("callers are\n%s", out)
	}
	t.Logf("it shows\n%s", b.run("", "api", "list"))

	b.run(b.workloads(), "apply", "-f", "-")
	b.until("nothing is in its memory", func() error { return pristine(pid) })
	if err := b.askByTLS(at, "/secret/2"); err != nil {
		t.Fatal(err)
	}
	b.run(asking, "apply", "-f", "-")
	b.until("it is seen again", func() error {
		if pristine(pid) == nil {
			return errors.New("it is not")
		}
		return nil
	})
	b.kill(agent)
	b.until("nothing is in its memory", func() error { return pristine(pid) })
	if err := b.askByTLS(at, "/secret/3"); err != nil {
		t.Fatal(err)
	}
	if out := b.run("", "api", "list"); strings.Contains(out, "secret") {
		t.Errorf("what nobody asked to see is in\n%s", out)
	}
}
