package module

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gabion-io/gabion/filters"
)

// gentle changes every policy of a table that inspects.
func gentle(change func(*filters.Policy)) func(*filters.Table) {
	return func(table *filters.Table) {
		for _, mode := range []filters.Mode{filters.ModeDetect, filters.ModeBlock} {
			b := table.Bindings[string(mode)]
			p := table.Policies[b.Policy]
			change(&p)
			delete(table.Policies, b.Policy)
			b.Policy = filters.PolicyID(p)
			table.Bindings[string(mode)], table.Policies[b.Policy] = b, p
		}
	}
}

// manyArguments lets everything through to the last value, compressed bodies too.
func manyArguments(t testing.TB) func(*filters.Table) {
	return gentle(func(p *filters.Policy) {
		p.WAF = bytes.Replace(p.WAF, []byte(`"maxArguments":10000`), []byte(`"maxArguments":100000`), 1)
		p.WAF = bytes.Replace(p.WAF, []byte(`"rule":920420}`), []byte(`"rule":920420},{"rule":920450}`), 1)
		if !bytes.Contains(p.WAF, []byte("100000")) || !bytes.Contains(p.WAF, []byte("920450")) {
			t.Fatalf("settings %s", p.WAF)
		}
		p.MaxMillis = 60_000
	})
}

func arguments(n int, last string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "f%d=v+%d&", i, i)
	}
	return b.String() + "last=" + last
}

func zipped(t testing.TB, body string) string {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write([]byte(body)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// runLong: what is judged off the stream's thread, its head or its body, gets the
// verdict it would get there, and the upstream every byte.
func runLong(t *testing.T, p *proxy) {
	gz := map[string]string{"Content-Type": form["Content-Type"], "Content-Encoding": "gzip"}
	for _, c := range []verdictCase{
		{name: "query", path: "items?" + arguments(3000, "fine")},
		{name: "query attack", path: "items?" + arguments(3000, sqlInjection), attack: true},
		{name: "query and small body", path: "orders?" + arguments(3000, "fine"), header: jsonBody, body: `{"item":7}`},
		{name: "query and body attack", path: "orders?" + arguments(3000, "fine"), header: form, body: arguments(3000, sqlInjection), attack: true},
		{name: "query and long body", path: "orders?" + arguments(3000, "fine"), header: form, body: arguments(3000, "fine")},
		{name: "12,000 arguments", path: "orders", header: form, body: arguments(12_000, "fine")},
		{name: "12,000 arguments attack", path: "orders", header: form, body: arguments(12_000, sqlInjection), attack: true},
		{name: "gzip", path: "orders", header: gz, body: zipped(t, arguments(500, "fine"))},
		{name: "gzip attack", path: "orders", header: gz, body: zipped(t, arguments(500, sqlInjection)), attack: true},
		{name: "gzip bomb", path: "orders", header: gz, body: zipped(t, "a="+strings.Repeat("x", 8<<20))},
	} {
		for _, http2 := range []bool{false, true} {
			c.http2, c.chunked = http2, http2 && c.body != ""
			id := fmt.Sprintf("long-%s-%v", strings.ReplaceAll(c.name, " ", "-"), http2)
			t.Run(id, func(t *testing.T) {
				c.unharmed(t, c.send(t, p, "detect", id+"-detect"))
				a := c.send(t, p, "block", id+"-block")
				if !c.attack {
					c.unharmed(t, a)
				} else if a.Status != http.StatusForbidden {
					t.Errorf("block: status %d", a.Status)
				}
				if e := p.logged(t, id+"-block").event(t); c.attack && (e == nil || e.Score < 5) {
					t.Errorf("event %+v", e)
				}
			})
		}
	}
	if !p.alive() {
		t.Fatal("Envoy ended")
	}
}

// runOverdue: a judgement that takes longer than the policy gives is answered by
// the failure mode, with an event, and what comes after is judged.
func runOverdue(t *testing.T, p *proxy) {
	slow := verdictCase{path: "orders", header: form, body: arguments(9000, "fine")}
	slow.unharmed(t, slow.send(t, p, "detect", "overdue-detect"))
	if e := p.logged(t, "overdue-detect").event(t); e == nil || !strings.Contains(e.Reason, "longer than") {
		t.Errorf("detect: event %+v", e)
	}
	if a := slow.send(t, p, "block", "overdue-block"); a.Status != http.StatusServiceUnavailable {
		t.Errorf("block: status %d", a.Status)
	}
	if e := p.logged(t, "overdue-block").event(t); e == nil || !strings.Contains(e.Reason, "longer than") {
		t.Errorf("block: event %+v", e)
	}
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			if a := slow.send(t, p, "block", fmt.Sprint("overdue-again-", i)); a.Status != http.StatusServiceUnavailable {
				t.Errorf("again: status %d", a.Status)
			}
		})
	}
	wg.Wait()
}

func overdue() func(*filters.Table) { return gentle(func(p *filters.Policy) { p.MaxMillis = 5 }) }

func TestModuleLong(t *testing.T)     { runLong(t, startModule(t, "", tableOf(t, manyArguments(t)))) }
func TestExtProcLong(t *testing.T)    { runLong(t, startExtProc(t, tableOf(t, manyArguments(t)))) }
func TestModuleOverdue(t *testing.T)  { runOverdue(t, startModule(t, "", tableOf(t, overdue()))) }
func TestExtProcOverdue(t *testing.T) { runOverdue(t, startExtProc(t, tableOf(t, overdue()))) }

// A client that keeps a held upload waiting is cut, in block mode; in detect
// nothing is held and nobody is cut.
func TestModuleSlowUpload(t *testing.T) {
	p := startModule(t, "", tableOf(t, gentle(func(p *filters.Policy) { p.RequestBody.MinRate = 10_000 })))
	begin := func(key string) net.Conn {
		c, err := net.Dial("tcp", p.addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		fmt.Fprintf(c, "POST /%s/orders HTTP/1.1\r\nHost: shop.example\r\nX-Case: slow-%s\r\nUser-Agent: t\r\nAccept: */*\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 10\r\n\r\na=", key, key)
		_ = c.SetDeadline(time.Now().Add(patience))
		return c
	}
	block, detect := begin("block"), begin("detect")
	res, err := http.ReadResponse(bufio.NewReader(block), nil)
	if err != nil || res.StatusCode != http.StatusRequestTimeout {
		t.Fatalf("block: %v %v", res, err)
	}
	if e := p.logged(t, "slow-block").event(t); e == nil || !strings.Contains(e.Reason, "bytes a second") {
		t.Errorf("event %+v", e)
	}
	fmt.Fprint(detect, "12345678")
	if res, err = http.ReadResponse(bufio.NewReader(detect), nil); err != nil || res.StatusCode != http.StatusOK {
		t.Errorf("detect: %v %v", res, err)
	}
}
