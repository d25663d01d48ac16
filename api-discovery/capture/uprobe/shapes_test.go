package uprobe

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// linked is a server in C that has libssl in itself: the program's symbols say where.
func (b *bed) linked(args ...string) (pid int, at string) {
	b.Helper()
	program := filepath.Join(b.TempDir(), "linked")
	args = append([]string{"-O1", "-pie", "-fPIE", "-o", program, filepath.Join("testdata", "linked.c"), "-l:libssl.a", "-l:libcrypto.a", "-ldl", "-pthread"}, args...)
	out, err := exec.Command("gcc", args...).CombinedOutput()
	if err != nil && os.Getenv("GABION_REQUIRE") == "" && (errors.Is(err, exec.ErrNotFound) || strings.Contains(string(out), "ssl")) {
		b.Skipf("there is no libssl.a, or no gcc (scripts/setup test): %v", err)
	}
	if err != nil {
		b.Fatalf("%v: %s", err, out)
	}
	return b.start(exec.Command(program, filepath.Join(b.dir, "cert.pem"), filepath.Join(b.dir, "key.pem")))
}

// nodeServer gives its library memory, not sockets.
const nodeServer = `
const dir = process.argv[1]
const fs = require("fs")
const server = require("http2").createSecureServer({
  allowHTTP1: true, cert: fs.readFileSync(dir + "/cert.pem"), key: fs.readFileSync(dir + "/key.pem"),
}, (request, response) => {
  let n = 0
  request.on("data", (b) => { n += b.length })
  request.on("end", () => {
    if (request.method == "POST") {
      response.writeHead(201)
      response.end(String(n))
      return
    }
    const body = request.url == "/large" ? Buffer.alloc(1 << 20) : Buffer.from('{"id":"1"}')
    response.writeHead(200, { "content-length": body.length })
    response.end(body)
  })
})
server.listen(0, "127.0.0.1", () => console.log("127.0.0.1:" + server.address().port))
`

func (b *bed) node() (pid int, at string) {
	b.Helper()
	node, err := exec.LookPath("node")
	if err != nil && os.Getenv("GABION_REQUIRE") == "" {
		b.Skip("there is no node")
	}
	if err != nil {
		b.Fatal(err)
	}
	return b.start(exec.Command(node, "-e", nodeServer, b.dir))
}

// gathering sends what was written when it is to read.
type gathering struct {
	net.Conn
	held []byte
}

func (g *gathering) Write(b []byte) (int, error) {
	g.held = append(g.held, b...)
	return len(b), nil
}

func (g *gathering) Read(b []byte) (int, error) {
	if _, err := g.Conn.Write(g.held); err != nil {
		return 0, err
	}
	g.held = nil
	return g.Conn.Read(b)
}

// askAtOnce sends a request together with the end of the handshake.
func (b *bed) askAtOnce(at, path string) {
	b.Helper()
	raw, err := net.Dial("tcp", at)
	if err != nil {
		b.Fatal(err)
	}
	c := tls.Client(&gathering{Conn: raw}, &tls.Config{InsecureSkipVerify: true})
	defer c.Close()
	if _, err := fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", path, at); err != nil {
		b.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, c); err != nil {
		b.Fatal(err)
	}
}

// Programs that have libssl linked in are seen as those that have it from a file.
func TestLinkedLibSSL(t *testing.T) {
	b := newBed(t)
	b.seesLinked()
	b.seesNode()
}

func (b *bed) seesLinked() {
	b.Helper()
	pid, at := b.linked()
	b.optIn("cart", pid, 1)
	b.curl("https://"+at+"/one", "https://"+at+"/two")
	b.want(at, "?→cart HTTP/1.1 https GET://HOST/one 0→5 200", "?→cart HTTP/1.1 https GET://HOST/two 0→5 200")
	b.sound(0)
}

// Node carries records between libssl and the sockets itself.
func (b *bed) seesNode() {
	b.Helper()
	pid, at := b.node()
	b.optIn("cart", pid, 1)
	url := "https://" + at
	b.askAtOnce(at, "/users/1")
	b.want(at, "?→cart HTTP/1.1 https GET://HOST/users/1 0→10 200")
	for _, c := range []struct{ flag, proto string }{{"--http1.1", "HTTP/1.1"}, {"--http2", "HTTP/2"}} {
		b.curl(c.flag, url+"/users/1", url+"/large", url+"/users/2")
		b.curl(c.flag, "-d", strings.Repeat("x", 1000), url+"/orders")
		b.want(at, "?→cart "+c.proto+" https GET://HOST/users/1 0→10 200", "?→cart "+c.proto+" https GET://HOST/large 0→1048576 200",
			"?→cart "+c.proto+" https GET://HOST/users/2 0→10 200", "?→cart "+c.proto+" https POST://HOST/orders 1000→4 201")
	}
	b.sound(0)
}
