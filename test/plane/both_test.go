package plane

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/gabion-io/gabion/controlplane/server"
	"github.com/gabion-io/gabion/internal/exchange"
	"github.com/gabion-io/gabion/internal/netnstest"
)

// askAll sends requests from somewhere, one after the other over one connection.
func (b *bed) askAll(from netnstest.Space, at netip.AddrPort, method string, paths ...string) {
	b.Helper()
	transport := &http.Transport{MaxConnsPerHost: 1, DialContext: func(context.Context, string, string) (net.Conn, error) {
		return from.Dial("tcp", netip.Addr{}, at, netnstest.Patience)
	}}
	defer transport.CloseIdleConnections()
	c := &http.Client{Transport: transport, Timeout: patience}
	for _, path := range paths {
		r, err := http.NewRequestWithContext(b.Context(), method, "http://"+at.String()+path, nil)
		if err != nil {
			b.Fatal(err)
		}
		w, err := c.Do(r)
		if err != nil {
			b.Fatal(err)
		}
		if io.Copy(io.Discard, w.Body); w.StatusCode >= 300 {
			b.Errorf("%s %s: %s", method, path, w.Status)
		}
		w.Body.Close()
	}
}

func carts(from, n int) (paths []string) {
	for i := range n {
		paths = append(paths, fmt.Sprintf("/carts/%d", from+i))
	}
	return paths
}

// operations are the lines of `gabion api list`: service, method, template, and how
// often it was seen.
func (b *bed) operations() (out []string) {
	b.Helper()
	for line := range strings.Lines(b.run("", "api", "list")) {
		if f := strings.Fields(line); len(f) > 5 && (f[2] == http.MethodGet || f[2] == http.MethodPost) {
			out = append(out, strings.Join(f[1:5], " "))
		}
	}
	slices.Sort(out)
	return out
}

// told is what a source of telemetry has told so far.
func (b *bed) told(source string) (received, lost uint64) {
	b.Helper()
	var s server.Status
	if err := json.Unmarshal([]byte(b.run("", "status", "-o", "json")), &s); err != nil {
		b.Fatal(err)
	}
	for _, c := range s.Coverage {
		if strings.HasPrefix(c.Source, source) {
			received, lost = received+c.Received, lost+c.Lost+c.Garbage
		}
	}
	return received, lost
}

// line is who told of an exchange, and what is known of it by whom.
func line(x *exchange.Exchange) string {
	teller, process := "proxy", "?"
	if strings.HasPrefix(x.Proxy, "agent ") {
		teller = x.Proxy
	}
	if x.Process != "" {
		process = filepath.Base(x.Process)
	}
	return fmt.Sprintf("%s: %s %s, route %s of %s, from %s by %s to %s", teller, x.Method, x.Path, cmp.Or(x.Route, "none"), x.Cluster,
		cmp.Or(x.Caller, "?"), process, cmp.Or(x.Server, "?"))
}

// Requests that pass a real Envoy and interfaces that a real agent captures count once
// each, with what only the proxy knows of them and what only the agent does; those that
// only one of them sees count too.
func TestSeenByAProxyAndAnAgent(t *testing.T) {
	b := newBed(t)
	at := netip.AddrPortFrom(b.cart.Interfaces[0].V4, 8080)
	b.shop(at)
	front := netip.AddrPortFrom(b.web.Interfaces[0].HostV4, 8080)
	up := b.start("gabion is up", nil, "gabion", "up", "--transport", "extproc", "--concurrency", "1", "--listen", front.String(), "--upstream", "http://"+at.String())
	b.server = "unix:" + filepath.Join(b.state, "run", "agents.sock")
	token := strings.TrimSpace(b.run("", "token", "join", "--host", "node-1", "--ttl", "10m"))
	b.run(b.workloads(), "apply", "-f", "-")
	b.start("capturing HTTP", []string{"GABION_JOIN=" + token}, "gabion-agent", "--server", b.server, "--host", "node-1",
		"--state", b.agent, "--bpffs", b.bpffs, "--capture-http")
	b.watched()

	b.askAll(b.web.Space, front, http.MethodGet, carts(100, 7)...) // seen on both sides of the proxy
	for _, path := range carts(200, 3) {
		b.askAll(b.web.Space, front, http.MethodGet, path)
	}
	b.askAll(b.web.Space, front, http.MethodPost, "/carts", "/carts")
	b.askAll(b.home, front, http.MethodGet, carts(300, 3)...)   // by nobody whom the agent knows
	b.askAll(b.web.Space, at, http.MethodGet, carts(400, 4)...) // past the proxy
	const proxied, sighted = 7 + 3 + 2 + 3, 2*(7+3+2) + 3 + 4
	b.until("both have told", func() error {
		proxy, lost := b.told("accesslog ")
		agent, more := b.told("http node-1")
		if proxy < proxied || agent < sighted {
			return fmt.Errorf("a proxy told of %d exchanges, an agent saw %d", proxy, agent)
		}
		if proxy > proxied || agent > sighted || lost+more > 0 {
			t.Errorf("a proxy told of %d exchanges, an agent saw %d, %d were lost", proxy, agent, lost+more)
		}
		return nil
	})

	// What still waits for the other to tell of it counts when the control plane ends.
	if err := up.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := up.Wait(); err != nil {
		t.Errorf("gabion up ends with %v", err)
	}
	b.serve()
	want := []string{"default/upstream GET /carts/{cartId} 13", "default/upstream POST /carts 2", "shop/cart GET /carts/{cartId} 4"}
	if diff := gocmp.Diff(want, b.operations()); diff != "" {
		t.Errorf("operations (-want +got):\n%s", diff)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	counts := map[string]int{}
	for _, x := range b.exchanges() {
		counts[line(&x)]++
	}
	const through = "route default/default of default/upstream:8080"
	own := filepath.Base(self)
	if diff := gocmp.Diff(map[string]int{
		"proxy: GET /carts/{number}, " + through + ", from shop/web by " + own + " to shop/cart":                     10,
		"proxy: POST /carts, " + through + ", from shop/web by " + own + " to shop/cart":                             2,
		"proxy: GET /carts/{number}, " + through + ", from ? by ? to shop/cart":                                      3,
		"agent node-1: GET /carts/{number}, route none of shop/cart:8080, from shop/web by " + own + " to shop/cart": 4,
	}, counts); diff != "" {
		t.Errorf("exchanges (-want +got):\n%s", diff)
	}
}
