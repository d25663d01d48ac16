package openapi

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	apidiscovery "github.com/gabion-io/gabion/api-discovery"
	"github.com/gabion-io/gabion/api-discovery/learn"
	"github.com/gabion-io/gabion/api-discovery/risk"
	"github.com/gabion-io/gabion/internal/demo"
	"github.com/gabion-io/gabion/internal/exchange"
)

// shop is the demo application with somebody who uses it, and a learner that
// sees what goes by.
type shop struct {
	t       *testing.T
	server  *httptest.Server
	learner *learn.Learner
	owners  *risk.Owners
	door    *exchange.Door
	token   string
}

func newShop(t *testing.T) *shop {
	s := &shop{t: t, server: httptest.NewServer(demo.New(demo.Options{EventEvery: time.Millisecond})), learner: learn.New(learn.Limits{}), owners: risk.NewOwners()}
	t.Cleanup(s.server.Close)
	s.door = &exchange.Door{Service: "shop"}
	return s
}

// ask sends one request and shows the exchange to the learner.
func (s *shop) ask(method, path, body string) []byte {
	s.t.Helper()
	r, err := http.NewRequest(method, s.server.URL+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	if s.token != "" {
		r.Header.Set("Authorization", "Bearer "+s.token)
	}
	answer, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer answer.Body.Close()
	b, err := io.ReadAll(answer.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	u, _ := url.Parse(s.server.URL)
	raw := &exchange.Raw{Time: time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC), Client: "192.0.2.7", Method: method, Scheme: "http", Host: u.Host, Path: path,
		Request: exchange.RawMessage{Headers: headers(r.Header), Body: []byte(body)}, Status: answer.StatusCode,
		Response: exchange.RawMessage{Headers: headers(answer.Header), Body: b}, Duration: time.Millisecond}
	var o exchange.Observation
	s.door.Observe(raw, &o)
	s.learner.Add(&o)
	s.owners.Add(&o)
	return b
}

func headers(h http.Header) (list []exchange.Header) {
	for name, values := range h {
		for _, v := range values {
			list = append(list, exchange.Header{Name: name, Value: v})
		}
	}
	return list
}

// visit clicks through most of the shop, with the undocumented and the
// deprecated operation.
func (s *shop) visit() {
	var in struct{ Token string }
	if err := json.Unmarshal(s.ask("POST", "/login", `{"username":"clerk","password":"keeper-of-the-ledger"}`), &in); err != nil || in.Token == "" {
		s.t.Fatalf("log in: %v", err)
	}
	s.token = in.Token
	s.ask("GET", "/me", "")
	for _, id := range []string{"ac-1001", "ac-1002", "ac-1003", "ac-1001", "ac-1002"} {
		s.ask("GET", "/accounts/"+id, "")
	}
	s.ask("GET", "/accounts?limit=5", "")
	s.ask("GET", "/accounts?offset=1&limit=5", "")
	s.token = ""
	for _, id := range []string{"ac-1001", "ac-1002", "ac-1003"} {
		s.ask("GET", "/v0/accounts/"+id, "")
	}
	s.ask("GET", "/internal/export", "")
	s.ask("GET", "/products", "")
	s.ask("GET", "/search?q=rope", "")
	s.ask("GET", "/search?q=tea&colour=red", "")
	s.ask("GET", "/orders?limit=2", "")
	s.ask("POST", "/orders", `{"account":"ac-1001","sku":"rope-12","quantity":2}`)
	s.ask("GET", "/orders/1", "")
	s.ask("GET", "/orders/2", "")
	s.ask("GET", "/wp-admin.php", "")
}

func (s *shop) observed(pins []apidiscovery.Override) apidiscovery.Spec {
	s.t.Helper()
	specs := s.learner.Conclude(pins)
	if len(specs) != 1 {
		s.t.Fatalf("%d services", len(specs))
	}
	return specs[0]
}

func TestDemoDrift(t *testing.T) {
	s := newShop(t)
	s.visit()
	declared, problems, err := Parse(demo.OpenAPI(), Options{Service: "shop", Name: "openapi.yaml"})
	if err != nil || len(problems) > 0 {
		t.Fatal(err, problems)
	}
	observed := s.observed(nil)
	drifts := Compare(declared, observed)
	find := func(kind apidiscovery.DriftKind, method, path, where string) *apidiscovery.Drift {
		i := slices.IndexFunc(drifts, func(d apidiscovery.Drift) bool {
			return d.Kind == kind && d.Method == method && d.Template.String() == path && strings.Contains(d.Where, where)
		})
		if i < 0 {
			return nil
		}
		return &drifts[i]
	}
	shadow := find(apidiscovery.Shadow, "GET", "/internal/export", "")
	if shadow == nil || !shadow.Open || !slices.Contains(shadow.Sensitive, "email") || !slices.Contains(shadow.Sensitive, "iban") || shadow.First.IsZero() {
		t.Errorf("the undocumented operation: %+v", shadow)
	}
	zombie := find(apidiscovery.Zombie, "GET", "/v0/accounts/{id}", "")
	if zombie == nil || zombie.Count != 3 || !slices.Contains(zombie.Sensitive, "iban") {
		t.Errorf("the deprecated operation: %+v", zombie)
	}
	if find(apidiscovery.Mismatch, "GET", "/search", "query colour") == nil {
		t.Error("the undeclared parameter was not found")
	}
	if find(apidiscovery.Orphan, "POST", "/upload", "") == nil {
		t.Error("the operation that nobody called is no orphan")
	}
	for _, d := range drifts {
		switch {
		case d.Kind == apidiscovery.Shadow && d.Template.String() != "/internal/export",
			d.Kind == apidiscovery.Zombie && d.Template.String() != "/v0/accounts/{id}",
			d.Kind == apidiscovery.Mismatch && !strings.Contains(d.Where, "colour"):
			t.Errorf("is no drift: %s %s %s: %s %s, %s", d.Kind, d.Method, d.Template, d.Part, d.Where, d.What)
		}
	}
	findings := risk.Findings(observed, s.owners)
	for _, want := range [][2]string{{"missing-authentication", "/v0/accounts/"}, {"open-personal-data", "/internal/export"}} {
		if !slices.ContainsFunc(findings, func(f apidiscovery.Finding) bool {
			return f.Rule == want[0] && strings.HasPrefix(f.Template.String(), want[1])
		}) {
			t.Errorf("no %s at %s in %+v", want[0], want[1], findings)
		}
	}
}

// What was learned is a document that both validators take, and that does not
// change when the same is seen again.
func TestDemoExport(t *testing.T) {
	s := newShop(t)
	s.visit()
	first, err := Render(s.observed(nil), YAML)
	if err != nil {
		t.Fatal(err)
	}
	valid(t, first)
	s.visit()
	again, err := Render(s.observed(nil), YAML)
	if err != nil {
		t.Fatal(err)
	}
	third, err := Render(s.observed(nil), YAML)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(again, third) {
		t.Error("rendering the same twice differs")
	}
	s.visit()
	fourth, err := Render(s.observed(nil), YAML)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(again, fourth) {
		t.Errorf("the same traffic again is news:\n%s", lineDiff(again, fourth))
	}
	back, problems, err := Parse(again, Options{Service: "shop"})
	if err != nil || len(problems) > 0 {
		t.Fatal(err, problems)
	}
	for _, d := range Compare(back, s.observed(nil)) {
		t.Errorf("what was learned differs from itself: %+v", d)
	}
}

// lineDiff are the lines that only one of the two has.
func lineDiff(a, b []byte) string {
	in := map[string]int{}
	for l := range strings.Lines(string(a)) {
		in[l]--
	}
	for l := range strings.Lines(string(b)) {
		in[l]++
	}
	var out strings.Builder
	for l, n := range in {
		if n != 0 {
			out.WriteString(l)
		}
	}
	return out.String()
}
