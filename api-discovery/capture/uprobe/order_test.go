package uprobe

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
)

// role is what a process that the tests start is, beside the usual server.
const role = "GABION_TEST_TLS_ROLE"

// playRole plays one; what comes after the colon of its name is for it.
func playRole(dir, name string) {
	switch name, rest, _ := strings.Cut(name, ":"); name {
	case "slow-server":
		serveEach(dir, answerSlowly)
	case "slow-client":
		askSlowly(rest)
	case "deep-server":
		serveEach(dir, answerDeeply)
	case "dead-server":
		place := new(tls.Conn)
		serveEach(dir, func(raw net.Conn, config *tls.Config) { answerTwice(place, raw, config) })
	}
}

// held is a connection whose Write, once it is to hold, returns only when it may: what
// it sent is long there then.
type held struct {
	net.Conn
	holds atomic.Bool
	may   chan struct{}
}

func (h *held) Write(b []byte) (int, error) {
	n, err := h.Conn.Write(b)
	if h.holds.Load() {
		<-h.may
	}
	return n, err
}

// serveEach serves connections one after the other.
func serveEach(dir string, serve func(net.Conn, *tls.Config)) {
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"))
	if err != nil {
		fmt.Println(err)
		return
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(l.Addr())
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		serve(c, &tls.Config{Certificates: []tls.Certificate{pair}})
		c.Close()
	}
}

// answerSlowly closes the connection before Write of the answer, which the client has,
// has returned.
func answerSlowly(raw net.Conn, config *tls.Config) {
	h := &held{Conn: raw, may: make(chan struct{})}
	c := tls.Server(h, config)
	if _, err := http.ReadRequest(bufio.NewReader(c)); err != nil {
		return
	}
	h.holds.Store(true)
	wrote := make(chan struct{})
	go func() {
		io.WriteString(c, noContent)
		close(wrote)
	}()
	io.Copy(io.Discard, c) // until the client has gone
	c.Close()
	close(h.may)
	<-wrote
}

const noContent = "HTTP/1.1 204 No Content\r\n\r\n"

// answerTwice writes to a connection again that is closed, and has each connection in
// the same place of memory.
func answerTwice(place *tls.Conn, raw net.Conn, config *tls.Config) {
	c := tls.Server(raw, config)
	if c.Handshake() != nil {
		return
	}
	reflect.ValueOf(place).Elem().Set(reflect.ValueOf(c).Elem())
	if _, err := http.ReadRequest(bufio.NewReader(place)); err != nil {
		return
	}
	io.WriteString(place, noContent)
	place.Close()
	io.WriteString(place, "GET /never HTTP/1.1\r\n\r\n")
}

// askSlowly has the answer before Write of the request has returned.
func askSlowly(at string) {
	fmt.Println("here")
	raw, err := net.Dial("tcp", at)
	if err != nil {
		fmt.Println(err)
		return
	}
	h := &held{Conn: raw, may: make(chan struct{})}
	c := tls.Client(h, &tls.Config{InsecureSkipVerify: true})
	if err := c.Handshake(); err != nil {
		fmt.Println(err)
		return
	}
	h.holds.Store(true)
	wrote := make(chan struct{})
	go func() {
		fmt.Fprintf(c, "GET /early HTTP/1.1\r\nHost: %s\r\n\r\n", at)
		close(wrote)
	}()
	if r, err := http.ReadResponse(bufio.NewReader(c), nil); err == nil {
		io.Copy(io.Discard, r.Body)
	}
	close(h.may)
	<-wrote
	c.Close()
}

// depths are more than the stack of a new goroutine has room for.
const depths = 1000

// answerDeeply writes each byte of an answer with a little more of a new stack in use:
// somewhere it is Write that finds it too small.
func answerDeeply(raw net.Conn, config *tls.Config) {
	c := tls.Server(raw, config)
	for in := bufio.NewReader(c); ; {
		if _, err := http.ReadRequest(in); err != nil {
			return
		}
		fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", depths)
		one := []byte("x")
		for n := range depths {
			wrote := make(chan struct{})
			go func() {
				deep(n, func() { c.Write(one) })
				close(wrote)
			}()
			<-wrote
		}
	}
}

//go:noinline
func deep(n int, do func()) {
	if n > 0 {
		deep(n-1, do)
		return
	}
	do()
}

// play starts this program in a role.
func (b *bed) play(name string) (pid int, says string) {
	b.Helper()
	c := exec.Command(os.Args[0])
	c.Env = append(os.Environ(), helper+"="+b.dir, role+"="+name)
	return b.start(c)
}

// What a Go program writes is seen in the order in which it has effects, whole and once.
func TestOrderOfGo(t *testing.T) {
	b := newBed(t)
	b.answerBeforeTheEnd()
	b.requestBeforeTheAnswer()
	b.stackThatGrows()
	b.writeAfterClose()
}

// An answer is seen though the connection ends before Write returns.
func (b *bed) answerBeforeTheEnd() {
	b.Helper()
	pid, at := b.play("slow-server")
	b.optIn("cart", pid, 1)
	b.curl("https://" + at + "/one")
	b.curl("https://" + at + "/two")
	b.want(nowhere, "?→cart HTTP/1.1 https GET://"+at+"/one 0→0 204", "?→cart HTTP/1.1 https GET://"+at+"/two 0→0 204")
	b.sound(2)
}

// A request is seen before the answer, though that comes before Write returns.
func (b *bed) requestBeforeTheAnswer() {
	b.Helper()
	at, open := b.serveGated()
	pid, _ := b.play("slow-client:" + at)
	b.optIn("web", pid, 1)
	close(open)
	b.want(nowhere, "web→? HTTP/1.1 https GET://"+at+"/early 0→5 200")
	b.sound(3)
}

// A function that begins twice, because its stack was too small, is told once.
func (b *bed) stackThatGrows() {
	b.Helper()
	pid, at := b.play("deep-server")
	b.optIn("cart", pid, 1)
	url := "https://" + at
	b.curl("--http1.1", url+"/one", url+"/two")
	b.want(at, fmt.Sprintf("?→cart HTTP/1.1 https GET://HOST/one 0→%d 200", depths), fmt.Sprintf("?→cart HTTP/1.1 https GET://HOST/two 0→%d 200", depths))
	b.sound(3)
}

// A write to a connection that was closed before leaves nothing for the next that has
// its place in memory.
func (b *bed) writeAfterClose() {
	b.Helper()
	pid, at := b.play("dead-server")
	b.optIn("cart", pid, 1)
	for range 3 {
		b.curl("https://" + at + "/one")
	}
	line := "?→cart HTTP/1.1 https GET://HOST/one 0→0 204"
	b.want(at, line, line, line)
}

// sound holds that nothing was lost, and of how many exchanges the socket is not known.
func (b *bed) sound(homeless uint64) {
	b.Helper()
	if n := b.counters(); n.Homeless != homeless || n.Unreadable+n.Dropped+n.GivenUp+n.Lost+n.Stray+n.Garbled+n.Others+n.Unpaired+n.Unanswered+n.Late > 0 {
		b.Errorf("%+v", n)
	}
}
