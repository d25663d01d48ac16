package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// Every field of a WAFPolicy does what it says, through both transports. Those with
// suites of their own (body limits, block pages, locks, failure modes, times) are
// tested there.
func TestEveryFieldOfAPolicy(t *testing.T) {
	for _, transport := range transports {
		t.Run(transport, func(t *testing.T) {
			t.Parallel()
			u := startUp(t, "--transport", transport)
			address := startUpstream(t, http.HandlerFunc(mirror))
			labelled := strings.Replace(service("mirror", address, ""), "metadata: {name: mirror}", "metadata: {name: mirror, labels: {tier: shop}}", 1)
			u.apply(labelled + httpRoute("mirror", "gabion", "/mirror", "mirror", address))
			u.eventually("the route is in force", func() error { return u.wantStatus("/mirror", 200) })
			for _, f := range fields() {
				t.Run(f.name, func(t *testing.T) { f.test(u.with(t)) })
			}
		})
	}
}

// field is a policy in block mode and what it makes of requests.
type field struct {
	name   string
	policy string // below spec, but for the mode
	want   []wanted
}

// wanted is a request and the status it gets.
type wanted struct {
	status       int
	method, path string
	body, kind   string
	header       []string
}

func get(status int, path string, header ...string) wanted {
	return wanted{status: status, method: http.MethodGet, path: path, header: header}
}

func post(status int, kind, body string, header ...string) wanted {
	return wanted{status: status, method: http.MethodPost, path: "/mirror", kind: kind, body: body, header: header}
}

func (f field) test(u *up) {
	u.t.Helper()
	u.apply(wafMode("block", f.policy))
	u.eventually(f.name, func() error {
		for _, w := range f.want {
			header := w.header
			if w.kind != "" {
				header = append([]string{"Content-Type", w.kind}, header...)
			}
			a, err := u.request(w.method, w.path, w.body, header...)
			if err != nil {
				return err
			}
			if a.status != w.status {
				return fmt.Errorf("%s %s %q got %d, want %d", w.method, w.path, w.body, a.status, w.status)
			}
		}
		return nil
	})
}

const (
	attackQuery = "/mirror?q=1%27%20OR%20%271%27=%271%27%20--%20"
	formType    = "application/x-www-form-urlencoded"
	// What a database says of a broken query, which a page should not show.
	leak = "You have an error in your SQL syntax; check the manual that corresponds to your MySQL server version"
)

func fields() []field {
	odd := "/mirror?q=" + "%7Ehello%7E%3Bworld" // harmless, and no letters and digits alone
	nested := strings.Repeat("[", 8) + "1" + strings.Repeat("]", 8)
	leaking := []string{"X-Say", leak}
	return []field{
		{"profile and paranoia level 1", "profile: crs\n  paranoiaLevel: 1", []wanted{get(200, odd), get(403, attackQuery)}},
		{"paranoia level 4", "profile: crs\n  paranoiaLevel: 4", []wanted{get(403, odd)}},
		{"inbound threshold", "anomalyThreshold: {inbound: 1000}", []wanted{get(200, attackQuery)}},
		{"response bodies are not inspected", "profile: crs", []wanted{get(200, "/mirror", leaking...)}},
		{"response bodies", "profile: crs\n  responseBody: {inspect: true}", []wanted{get(403, "/mirror", leaking...), get(200, "/mirror")}},
		{"outbound threshold", "profile: crs\n  anomalyThreshold: {outbound: 1000}\n  responseBody: {inspect: true}", []wanted{get(200, "/mirror", leaking...)}},
		{"content types", "profile: crs\n  responseBody: {inspect: true, contentTypes: [application/json]}", []wanted{get(200, "/mirror", leaking...)}},
		{"arguments", "maxArguments: 3", []wanted{get(200, "/mirror?a=1&b=2&c=3"), get(400, "/mirror?a=1&b=2&c=3&d=4")}},
		{"depth of JSON", "requestBody: {jsonDepth: 4}", []wanted{post(400, "application/json", nested), post(200, "application/json", "[[1]]")}},
		{"limits by type", "requestBody: {byType: [{contentType: 'image/*', limit: 100, beyondLimit: reject}]}", []wanted{
			post(413, "image/png", strings.Repeat("x", 500)), post(200, formType, "a="+strings.Repeat("x", 500))}},
		{"request bodies are not inspected", "requestBody: {inspect: false}", []wanted{post(200, formType, "q=1'+OR+'1'='1'+--+"), get(403, attackQuery)}},
		{"exclusion by target, host, path, method", "exclusions: [{tag: attack-sqli, target: 'ARGS:q', host: a.example.com, path: /mirror, method: GET, reason: test}]", []wanted{
			get(200, attackQuery, "Host", "a.example.com"),
			get(403, attackQuery, "Host", "b.example.com"),
			get(403, strings.Replace(attackQuery, "/mirror", "/mirror/x", 1), "Host", "a.example.com"),
			get(403, strings.Replace(attackQuery, "q=", "r=", 1), "Host", "a.example.com"),
			post(403, formType, "q=1'+OR+'1'='1'+--+", "Host", "a.example.com"),
		}},
		{"rules", `rules: ['SecRule ARGS:probe "@streq yes" "id:1000,phase:1,deny,status:451"']`, []wanted{get(451, "/mirror?probe=yes"), get(200, "/mirror?probe=no")}},
		{"selector", "block: {status: 410}\n---\napiVersion: gabion.io/v1alpha1\nkind: WAFPolicy\nmetadata: {name: selected}\nspec:\n  selector: {matchLabels: {tier: shop}}\n  block: {status: 411}", []wanted{
			get(411, attackQuery), get(410, sqli)}},
	}
}
