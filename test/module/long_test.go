package module

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
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
		{name: "9,000 arguments in a query", path: "items?" + strings.Repeat("a=1&", 9000) + "last=" + sqlInjection, attack: true},
		{name: "query and small body", path: "orders?" + arguments(3000, "fine"), header: jsonBody, body: `{"item":7}`},
		{name: "query and body attack", path: "orders?" + arguments(3000, "fine"), header: form, body: arguments(3000, sqlInjection), attack: true},
		{name: "query and long body", path: "orders?" + arguments(3000, "fine"), header: form, body: arguments(3000, "fine")},
		{name: "3,000 arguments", path: "orders", header: form, body: arguments(3000, "fine")},
		{name: "12,000 arguments attack", path: "orders", header: form, body: arguments(12_000, sqlInjection), attack: true},
		{name: "gzip", path: "orders", header: gz, body: zipped(t, arguments(500, "fine"))},
		{name: "gzip attack", path: "orders", header: gz, body: zipped(t, arguments(500, sqlInjection)), attack: true},
		{name: "gzip bomb", path: "orders", header: gz, body: zipped(t, "a="+strings.Repeat("x", 2<<20))},
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

// A full queue answers by the failure mode, with an event; in detect nothing
// changes. The judging stands still until every place is taken.
func TestModuleFullQueue(t *testing.T) {
	stop := filepath.Join(t.TempDir(), "wait")
	if err := os.WriteFile(stop, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	p := startModule(t, "gabionfault", tableOf(t), "GABION_TEST_WAIT=goroutine="+stop)
	const places, more = 256, 24 // what one client may have waiting; some are at work
	c := verdictCase{path: "orders", header: jsonBody, http2: true, body: longJSON(16<<10, "fine")}
	var served, refused atomic.Int64
	var wg sync.WaitGroup
	for i := range places + more {
		wg.Go(func() {
			id := fmt.Sprint("full-", i)
			switch a := c.send(t, p, "block", id); a.Status {
			case http.StatusOK:
				served.Add(1)
			case http.StatusServiceUnavailable:
				refused.Add(1)
				if e := p.logged(t, id).event(t); e == nil || e.Decision != filters.Denied || !strings.Contains(e.Reason, "too many bodies wait") {
					t.Errorf("event %+v", e)
				}
			default:
				t.Errorf("status %d", a.Status)
			}
		})
	}
	eventually(t, "the queue to fill", func() bool { return refused.Load() > 0 })
	c.unharmed(t, c.send(t, p, "detect", "full-detect"))
	if e := p.logged(t, "full-detect").event(t); e == nil || e.Decision == filters.Denied || !strings.Contains(e.Reason, "too many bodies wait") {
		t.Errorf("detect: event %+v", e)
	}
	if err := os.Remove(stop); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	if n := refused.Load(); n == 0 || n > more || served.Load()+n != places+more {
		t.Errorf("%d served, %d refused", served.Load(), n)
	}
	if !p.alive() {
		t.Fatal("Envoy ended")
	}
}

// Sixteen forms of a mebibyte at a time all find room; with GABION_FULL also
// forms of many values, which take longer.
func TestModuleManyLargeForms(t *testing.T) {
	manyForms(t, 100, 866)
	if os.Getenv("GABION_FULL") != "" {
		manyForms(t, 9000, 9)
	}
}

func manyForms(t *testing.T, fields, words int) {
	p := startModule(t, "", tableOf(t, gentle(func(p *filters.Policy) { p.MaxMillis = 60_000 })))
	var b strings.Builder
	for i := range fields {
		fmt.Fprintf(&b, "f%d=%s&", i, strings.Repeat("lorem+ipsum+", words))
	}
	c := verdictCase{path: "orders", header: form, body: b.String()}
	before := p.memory(t, "VmRSS")
	var served atomic.Int64
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			id := fmt.Sprintf("many-%d-%d", fields, i)
			if a := c.send(t, p, "block", id); a.Status == http.StatusOK {
				served.Add(1)
			} else if e := p.logged(t, id).event(t); e == nil || !strings.Contains(e.Reason, "waited too long") {
				t.Errorf("status %d, event %+v", a.Status, e) // a starved machine may keep one waiting
			}
		})
	}
	wg.Wait()
	peak := p.memory(t, "VmHWM")
	t.Logf("%d of 16 forms of %d bytes in %d values served; Envoy took %d MiB, at most %d MiB", served.Load(), len(c.body), fields, before>>20, peak>>20)
	if served.Load() == 0 || peak-before > 400<<20 {
		t.Errorf("%d served, %d MiB more", served.Load(), (peak-before)>>20)
	}
}

// memory reads a figure of /proc/PID/status, in bytes.
func (p *proxy) memory(t testing.TB, name string) int64 {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		var kib int64
		if _, err := fmt.Sscanf(line, name+": %d kB", &kib); err == nil {
			return kib << 10
		}
	}
	t.Fatalf("no %s in %s", name, status)
	return 0
}

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
