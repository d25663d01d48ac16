package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gabion-io/gabion/api-discovery"
	"github.com/gabion-io/gabion/internal/demo"
)

// customer uses the demo application and keeps every exchange as a line.
type customer struct {
	t      *testing.T
	server *httptest.Server
	lines  bytes.Buffer
	token  string
}

func newCustomer(t *testing.T) *customer {
	c := &customer{t: t, server: httptest.NewServer(demo.New(demo.Options{EventEvery: time.Millisecond}))}
	t.Cleanup(c.server.Close)
	return c
}

func (c *customer) ask(method, path, mediaType, body string) []byte {
	c.t.Helper()
	r, err := http.NewRequestWithContext(c.t.Context(), method, c.server.URL+path, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	if body != "" {
		r.Header.Set("Content-Type", mediaType)
	}
	if c.token != "" {
		r.Header.Set("Authorization", "Bearer "+c.token)
	}
	answer, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		c.t.Fatal(err)
	}
	defer answer.Body.Close()
	b, err := io.ReadAll(answer.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	side := func(h http.Header, body []byte) map[string]any {
		return map[string]any{"headers": h, "body_base64": base64.StdEncoding.EncodeToString(body)}
	}
	err = json.NewEncoder(&c.lines).Encode(map[string]any{"time": time.Now(), "client": "192.0.2.7", "method": method, "scheme": "http", "host": r.URL.Host, "path": path,
		"request": side(r.Header, []byte(body)), "status": answer.StatusCode, "response": side(answer.Header, b), "duration_ms": 1})
	if err != nil {
		c.t.Fatal(err)
	}
	return b
}

func (c *customer) json(method, path, body string) []byte {
	c.t.Helper()
	return c.ask(method, path, "application/json", body)
}

func (c *customer) login(name, password string) {
	c.t.Helper()
	var in struct{ Token string }
	if err := json.Unmarshal(c.json("POST", "/login", `{"username":"`+name+`","password":"`+password+`"}`), &in); err != nil || in.Token == "" {
		c.t.Fatalf("log in: %v", err)
	}
	c.token = in.Token
}

// visit does what the application is for, and what it should not allow.
func (c *customer) visit() {
	c.t.Helper()
	c.json("GET", "/", "")
	c.json("GET", "/healthz", "")
	c.json("GET", "/openapi.yaml", "")
	c.json("POST", "/login", `{"username":"ada","password":"wrong"}`)
	c.json("GET", "/me", "") // refused
	c.login("clerk", "keeper-of-the-ledger")
	for _, id := range []string{"ac-1001", "ac-1002", "ac-1003"} {
		c.json("GET", "/accounts/"+id, "")
	}
	c.json("GET", "/accounts?limit=5", "")
	c.json("GET", "/accounts?offset=1&limit=5", "")
	c.json("GET", "/accounts/ac-9999", "") // none
	c.json("PUT", "/orders/1", `{"account":"ac-1001","sku":"rope-12","quantity":3}`)
	c.login("ada", "analytical-engine")
	c.json("GET", "/me", "")
	c.json("PATCH", "/accounts/ac-1001", `{"city":"London"}`)
	c.token = ""
	c.json("GET", "/v0/accounts/ac-1001", "")
	c.json("GET", "/v0/accounts/ac-1002", "")
	c.json("GET", "/internal/export", "")
	c.json("GET", "/products", "")
	c.json("GET", "/search?q=rope", "")
	c.json("GET", "/search?q=tea", "")
	c.json("GET", "/orders?limit=2", "")
	c.json("POST", "/orders", `{"account":"ac-1001","sku":"rope-12","quantity":2}`)
	c.json("GET", "/orders/1", "")
	c.json("GET", "/orders/2", "")
	c.ask("POST", "/reviews", "application/x-www-form-urlencoded", "sku=rope-12&stars=5&text=good")
	c.json("GET", "/reviews", "")
	c.ask("POST", "/upload", "multipart/form-data; boundary=x", "--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.pdf\"\r\nContent-Type: application/pdf\r\n\r\n%PDF-\r\n--x--\r\n")
	c.json("POST", "/graphql", `{"query":"{ products { sku name } }"}`)
	c.json("GET", "/wp-login.php", "")
	c.json("GET", "/.env", "")
}

// TestDemoDrift: the demo application's own description leaves one operation out
// and calls one deprecated, and its traffic says so, and nothing else.
func TestDemoDrift(t *testing.T) {
	c := newCustomer(t)
	c.visit()
	dir := t.TempDir()
	declared, traffic := filepath.Join(dir, "openapi.yaml"), filepath.Join(dir, "traffic.jsonl")
	for name, b := range map[string][]byte{declared: demo.OpenAPI(), traffic: c.lines.Bytes()} {
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var out, errOut bytes.Buffer
	if code := execute(t.Context(), []string{"api", "drift", "--declared", declared, "--exchanges", traffic, "-o", "json"}, strings.NewReader(""), &out, &errOut); code != exitOK {
		t.Fatal(code, errOut.String())
	}
	var report driftReport
	if err := json.Unmarshal(out.Bytes(), &report); err != nil {
		t.Fatal(err)
	}
	if len(report.Problems) > 0 {
		t.Errorf("of the description is left out: %v", report.Problems)
	}
	byKind := map[apidiscovery.DriftKind][]apidiscovery.Drift{}
	for _, d := range report.Drift {
		byKind[d.Kind] = append(byKind[d.Kind], d)
		if d.Kind == apidiscovery.Mismatch {
			t.Errorf("is as declared, and is said not to be: %s %s: %s %s %s (%s, seen %s)", d.Method, d.Template, d.Part, d.Where, d.What, d.Declared, d.Observed)
		}
	}
	for kind, want := range map[apidiscovery.DriftKind]struct {
		path  string
		count uint64
	}{apidiscovery.Shadow: {"/internal/export", 1}, apidiscovery.Zombie: {"/v0/accounts/{id}", 2}} {
		list := byKind[kind]
		if len(list) != 1 || list[0].Method != "GET" || list[0].Template.String() != want.path || list[0].Count != want.count {
			t.Errorf("%s: %+v", kind, list)
			continue
		}
		d := list[0]
		if !d.Open || !slices.Contains(d.Sensitive, "iban") || d.First.IsZero() || d.Last.Before(d.First) {
			t.Errorf("%s without its evidence: %+v", kind, d)
		}
	}
	var orphans []string
	for _, d := range byKind[apidiscovery.Orphan] {
		orphans = append(orphans, d.Method+" "+d.Template.String())
	}
	want := []string{"POST /echo", "GET /echo", "GET /events", "GET /graphql", "DELETE /orders/{id}", "GET /ws"}
	slices.Sort(orphans)
	slices.Sort(want)
	if !slices.Equal(orphans, want) {
		t.Errorf("not called were %q, said to be %q", want, orphans)
	}
	if slices.ContainsFunc(report.Findings, func(f apidiscovery.Finding) bool { return f.Template.String() == "/login" }) {
		t.Errorf("signing in is no weakness: %+v", report.Findings)
	}
	for _, want := range [][2]string{{"missing-authentication", "/v0/accounts/"}, {"open-personal-data", "/internal/export"}} {
		if !slices.ContainsFunc(report.Findings, func(f apidiscovery.Finding) bool {
			return f.Rule == want[0] && strings.HasPrefix(f.Template.String(), want[1])
		}) {
			t.Errorf("no %s at %s in %+v", want[0], want[1], report.Findings)
		}
	}
}
