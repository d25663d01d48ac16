package module

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/gabion-io/gabion/filters"
)

// verdictCase is one request and what the filter has to find in it, whichever
// transport carries it. Each runs in every mode.
type verdictCase struct {
	name    string
	method  string // "": GET without a body, POST with
	path    string // after the key
	header  map[string]string
	body    string
	chunked bool // no content-length
	tail    bool // trailers end the body
	http2   bool
	attack  bool
	heavy   bool // costs seconds: once is enough
}

const (
	sqlInjection = "1'+UNION+SELECT+username,password+FROM+users--+-"
	plainSQLi    = "1' UNION SELECT username,password FROM users-- -"
)

var form = map[string]string{"Content-Type": "application/x-www-form-urlencoded"}
var octets = map[string]string{"Content-Type": "application/octet-stream"}
var jsonBody = map[string]string{"Content-Type": "application/json"}

var verdictCases = []verdictCase{
	{name: "plain", path: "items?id=7"},
	{name: "query attack", path: "items?id=" + sqlInjection, attack: true},
	{name: "header attack", path: "items", header: map[string]string{"X-Search": "<script>alert(document.cookie)</script>", "User-Agent": "() { :; }; /bin/bash -c 'cat /etc/passwd'"}, attack: true},
	{name: "http2 attack", path: "items?id=" + sqlInjection, http2: true, attack: true},
	{name: "form", path: "login", header: form, body: "user=ann&pass=secret"},
	{name: "form attack", path: "login", header: form, body: "user=ann&pass=" + sqlInjection, attack: true},
	{name: "json", path: "orders", header: jsonBody, body: `{"item":7,"note":"two of them"}`},
	{name: "json attack", path: "orders", header: jsonBody, body: `{"item":7,"note":"` + plainSQLi + `"}`, attack: true},
	{name: "json attack chunked", path: "orders", header: jsonBody, body: `{"item":7,"note":"` + plainSQLi + `"}`, chunked: true, attack: true},
	{name: "json attack http2", path: "orders", header: jsonBody, body: `{"item":7,"note":"` + plainSQLi + `"}`, http2: true, attack: true},
	{name: "trailers", path: "orders", header: jsonBody, body: `{"item":7}`, tail: true},
	{name: "trailers attack", path: "orders", header: jsonBody, body: `{"item":7,"note":"` + plainSQLi + `"}`, tail: true, attack: true},
	{name: "trailers http2", path: "orders", header: jsonBody, body: `{"item":7}`, tail: true, http2: true},
	{name: "long json", path: "orders", header: jsonBody, body: longJSON(48<<10, "fine")},
	{name: "long json attack", path: "orders", header: jsonBody, body: longJSON(48<<10, plainSQLi), attack: true},
	{name: "long json attack chunked", path: "orders", header: jsonBody, body: longJSON(48<<10, plainSQLi), chunked: true, attack: true},
	{name: "long json attack http2", path: "orders", header: jsonBody, body: longJSON(96<<10, plainSQLi), http2: true, attack: true},
	{name: "megabyte json", heavy: true, path: "orders", header: jsonBody, body: longJSON(1<<20-64, "fine")},
	{name: "beyond the limit", path: "upload", header: octets, body: strings.Repeat("0123456789abcdef", 256<<10)},
	{name: "beyond the limit http2", path: "upload", header: octets, body: strings.Repeat("0123456789abcdef", 256<<10), http2: true},
	{name: "empty post", method: "POST", path: "orders", header: jsonBody},
	{name: "head", method: "HEAD", path: "items"},
}

// longJSON is about size bytes of one harmless string and a last field.
func longJSON(size int, last string) string {
	return `{"pad":"` + strings.Repeat("lorem ipsum ", size/12) + `","last":"` + last + `"}`
}

// answer is what a client saw.
type answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// send sends a case under a key and reads the whole answer.
func (c verdictCase) send(t testing.TB, p *proxy, key, id string) answer {
	t.Helper()
	var body io.Reader
	method := c.method
	if c.body != "" {
		body = strings.NewReader(c.body)
		if method == "" {
			method = "POST"
		}
		if c.chunked || c.tail {
			body = struct{ io.Reader }{body} // hides its length
		}
	}
	if method == "" {
		method = "GET"
	}
	req, err := http.NewRequest(method, "http://"+p.addr+"/"+key+"/"+c.path, body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Case", id)
	req.Header.Set("Accept", "*/*")
	req.Header.Set("User-Agent", "gabion-test/1")
	req.Host = "shop.example"
	for k, v := range c.header {
		req.Header.Set(k, v)
	}
	if c.tail {
		req.Trailer = http.Header{"X-Tail": {"the end"}}
	}
	res, err := client(c.http2).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{Status: res.StatusCode, Header: res.Header, Body: b}
}

func client(http2 bool) *http.Client {
	tr := &http.Transport{Protocols: new(http.Protocols), DisableKeepAlives: true}
	tr.Protocols.SetHTTP1(!http2)
	tr.Protocols.SetUnencryptedHTTP2(http2)
	return &http.Client{Transport: tr, Timeout: patience}
}

// unharmed checks that the upstream got exactly what was sent.
func (c verdictCase) unharmed(t testing.TB, a answer) {
	t.Helper()
	if a.Status != http.StatusOK {
		t.Fatalf("status %d, want 200: %s", a.Status, a.Body)
	}
	if c.method == "HEAD" {
		return
	}
	var e echo
	if err := json.Unmarshal(a.Body, &e); err != nil {
		t.Fatalf("answer of the upstream: %v: %q", err, a.Body)
	}
	sum := sha256.Sum256([]byte(c.body))
	if e.Size != int64(len(c.body)) || e.Sum != hex.EncodeToString(sum[:]) {
		t.Errorf("the upstream got %d bytes (%s), sent were %d", e.Size, e.Sum, len(c.body))
	}
	if length := !c.chunked && !c.tail && c.body != ""; length && e.Chunked {
		t.Error("the upstream got no content-length")
	}
	if c.tail && e.Trailer != "the end" {
		t.Errorf("the upstream got trailer %q", e.Trailer)
	}
}

// runVerdicts holds a transport to every case in every mode and returns what it
// found, for comparing transports.
func runVerdicts(t *testing.T, p *proxy) map[string]*filters.Event {
	found := map[string]*filters.Event{}
	for _, key := range []string{"off", "detect", "block"} {
		for _, c := range verdictCases {
			if c.heavy && key == "detect" {
				continue
			}
			t.Run(key+"/"+c.name, func(t *testing.T) {
				id := strings.ReplaceAll(key+"/"+c.name, " ", "-")
				a := c.send(t, p, key, id)
				e := p.logged(t, id)
				ev := e.event(t)
				found[id] = ev
				c.judge(t, key, a, e, ev)
			})
		}
	}
	if !p.alive() {
		t.Fatal("Envoy ended")
	}
	return found
}

func (c verdictCase) judge(t *testing.T, key string, a answer, e entry, ev *filters.Event) {
	t.Helper()
	switch {
	case key == "off" || !c.attack:
		c.unharmed(t, a)
		if ev != nil && ev.Decision != filters.Allow {
			t.Errorf("event %+v, want none", ev)
		}
	case key == "detect":
		c.unharmed(t, a)
		if ev == nil || ev.Decision != filters.Detect || len(ev.Matches) == 0 {
			t.Errorf("event %+v, want detect with matches", ev)
		}
	default:
		if a.Status != http.StatusForbidden || e.Status != http.StatusForbidden || len(a.Body) == 0 {
			t.Errorf("status %d (logged %d), body %q, want 403 with a body", a.Status, e.Status, a.Body)
		}
		if n := len(a.Header.Values("Content-Type")); n != 1 {
			t.Errorf("%d content types: %v", n, a.Header)
		}
		if ev == nil || ev.Decision != filters.Denied || len(ev.Matches) == 0 {
			t.Errorf("event %+v, want deny with matches", ev)
		}
	}
}
