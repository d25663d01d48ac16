package plane

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gabion-io/gabion/controlplane/server"
	"github.com/gabion-io/gabion/internal/exchange"
	"github.com/gabion-io/gabion/internal/netnstest"
)

// shop answers in the workload cart; there is no proxy anywhere.
func (b *bed) shop(at netip.AddrPort) {
	b.Helper()
	var l net.Listener
	var err error
	b.cart.Do(func() { l, err = net.Listen("tcp", at.String()) })
	if err != nil {
		b.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /carts/{id}", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"id":%q,"items":[{"sku":"rope-12","n":2}],"mail":"ada@example.com"}`, r.PathValue("id"))
	})
	mux.HandleFunc("POST /carts", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusCreated) })
	s := &http.Server{Handler: mux}
	go s.Serve(l)
	b.Cleanup(func() { s.Close() })
}

// ask sends one request from web over a connection of its own.
func (b *bed) ask(at netip.AddrPort, request string) error {
	c, err := b.web.Dial("tcp", netip.Addr{}, at, netnstest.Patience)
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := io.WriteString(c, request); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, c)
	return err
}

// HTTP between two workloads without a proxy, one of which is told what to do by
// policy: `gabion api list` shows the operations of the one and who calls them, also
// those of the time in which the control plane was away.
func TestOperationsWithoutAProxy(t *testing.T) {
	b := newBed(t)
	plane := b.serve()
	token := strings.TrimSpace(b.run("", "token", "join", "--host", "node-1", "--ttl", "10m"))
	b.run(b.workloads(), "apply", "-f", "-")
	at := netip.AddrPortFrom(b.cart.Interfaces[0].V4, 8080)
	b.shop(at)
	agent := b.start("capturing HTTP", []string{"GABION_JOIN=" + token}, "gabion-agent", "--server", b.server, "--host", "node-1",
		"--state", b.agent, "--bpffs", b.bpffs, "--capture-http")
	b.watched()
	for i := range 3 {
		if err := b.ask(at, fmt.Sprintf("GET /carts/%d?full=yes HTTP/1.1\r\nHost: cart\r\nConnection: close\r\n\r\n", 100+i)); err != nil {
			t.Fatal(err)
		}
	}
	b.shows("the operation is there", "shop/cart", "GET", "/carts/{cartId}", "3", "email")
	if out := b.run("", "api", "callers", "GET", "/carts/{cartId}"); !strings.Contains(out, "shop/web") {
		t.Errorf("callers are\n%s", out)
	}

	b.stored()

	b.kill(plane)
	if err := b.ask(at, "POST /carts HTTP/1.1\r\nHost: cart\r\nConnection: close\r\nContent-Length: 9\r\nContent-Type: application/json\r\n\r\n{\"n\":123}"); err != nil {
		t.Fatal(err)
	}
	b.serve()
	b.shows("what came while the control plane was away is there", "shop/cart", "POST", "/carts", "1")
	t.Logf("it shows\n%s%s", b.run("", "api", "list"), b.run("", "api", "callers", "GET", "/carts/{cartId}"))

	// What a killed agent left on the interfaces, one that is not to capture takes off.
	b.kill(agent)
	pins := filepath.Join(b.bpffs, "gabion", "capture")
	if list, err := os.ReadDir(pins); len(list) != 4 {
		t.Errorf("on two interfaces are %d attachments (%v)", len(list), err)
	}
	b.enforce("enforcing;")
	if _, err := os.Stat(pins); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an agent that does not capture leaves %s (%v)", pins, err)
	}
}

// watched waits until HTTP of both workloads is captured, and it is seen who opens
// connections.
func (b *bed) watched() {
	b.Helper()
	b.until("both workloads are watched, and who opens connections", func() error {
		said := b.log.String()
		if n, m := strings.Count(said, "capturing HTTP"), strings.Count(said, "msg=attached"); n < 2 || m < 2 {
			return fmt.Errorf("%d and %d are", n, m)
		}
		return nil
	})
}

// stored holds that each exchange is kept with the workload and the process that
// asked: us.
func (b *bed) stored() {
	b.Helper()
	self, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	list := b.exchanges()
	if len(list) != 3 {
		b.Errorf("%d exchanges are stored", len(list))
	}
	for _, x := range list {
		if x.Caller != "shop/web" || x.Process != self || x.Path != "/carts/{number}" || x.Proxy != "agent node-1" {
			b.Errorf("stored is %+v, asked by %s", x, self)
		}
	}
}

// exchanges are those that the control plane has stored.
func (b *bed) exchanges() []exchange.Exchange {
	b.Helper()
	var files [3]string
	for i, name := range []string{"server.url", "admin.token", filepath.Join("keys", "ca.pem")} {
		text, err := os.ReadFile(filepath.Join(b.state, name))
		if err != nil {
			b.Fatal(err)
		}
		files[i] = strings.TrimSpace(string(text))
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM([]byte(files[2]))
	c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: pool},
		DialContext: func(_ context.Context, network, to string) (net.Conn, error) {
			return b.home.Dial(network, netip.Addr{}, netip.MustParseAddrPort(to), netnstest.Patience)
		}}}
	r, err := http.NewRequestWithContext(b.Context(), http.MethodGet, files[0]+"/api/v1/exchanges", nil)
	if err != nil {
		b.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+files[1])
	w, err := c.Do(r)
	if err != nil {
		b.Fatal(err)
	}
	defer w.Body.Close()
	var list server.ExchangeList
	if err := json.NewDecoder(w.Body).Decode(&list); err != nil {
		b.Fatal(err)
	}
	return list.Items
}

// shows waits for a line of `gabion api list` with all of some words.
func (b *bed) shows(what string, words ...string) {
	b.Helper()
	b.until(what, func() error {
		out, _, err := b.attempt("", "api", "list")
		for line := range strings.Lines(out) {
			fields := strings.Fields(line)
			missing := 0
			for _, w := range words {
				found := false
				for _, f := range fields {
					found = found || strings.Trim(f, ",") == w
				}
				if !found {
					missing++
				}
			}
			if missing == 0 {
				return nil
			}
		}
		return fmt.Errorf("no line has %v (%v) in\n%s", words, err, out)
	})
}
