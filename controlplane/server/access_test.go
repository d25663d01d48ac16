package server_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/gabion-io/gabion/controlplane/server/servertest"
	"github.com/gabion-io/gabion/controlplane/store"
)

func header(name, value string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set(name, value) }
}

func host(name string) func(*http.Request) {
	return func(r *http.Request) { r.Host = name }
}

func TestRoles(t *testing.T) {
	p, _ := start(t)
	calls := []struct {
		method, path, body string
		least              store.Role
	}{
		{"GET", "/api/v1/resources", "", store.RoleViewer},
		{"GET", "/api/v1/status", "", store.RoleViewer},
		{"GET", "/api/v1/events", "", store.RoleViewer},
		{"GET", "/api/v1/exchanges", "", store.RoleViewer},
		{"GET", "/api/v1/proposals", "", store.RoleViewer},
		{"GET", "/api/v1/audit", "", store.RoleViewer},
		{"GET", "/api/v1/rules", "", store.RoleViewer},
		{"GET", "/metrics", "", store.RoleViewer},
		{"POST", "/api/v1/diff", servertest.Shop, store.RoleViewer},
		{"POST", "/api/v1/apply", servertest.Shop, store.RoleEditor},
		{"POST", "/api/v1/apply?dryRun=true", servertest.Shop, store.RoleEditor},
		{"DELETE", "/api/v1/resources/Service/default/none", "", store.RoleEditor},
		{"POST", "/api/v1/resources/Service/default/none/rollback", "", store.RoleEditor},
		{"POST", "/api/v1/proposals", `{"events":["01JB0000"]}`, store.RoleEditor},
		{"POST", "/api/v1/proposals/x/accept", "", store.RoleEditor},
		{"POST", "/api/v1/proposals/x/reject", `{}`, store.RoleEditor},
		{"POST", "/api/v1/proposals/x/rehearse", "", store.RoleEditor},
		{"POST", "/api/v1/rehearsals", servertest.Policy, store.RoleEditor},
		{"GET", "/api/v1/tokens", "", store.RoleAdmin},
		{"POST", "/api/v1/tokens", `{"name":"x","role":"viewer"}`, store.RoleAdmin},
		{"DELETE", "/api/v1/tokens/nobody", "", store.RoleAdmin},
		{"GET", "/api/v1/join-tokens", "", store.RoleAdmin},
		{"POST", "/api/v1/join-tokens", `{"host":"node-1","ttlSeconds":60}`, store.RoleAdmin},
		{"DELETE", "/api/v1/join-tokens/nobody", "", store.RoleAdmin},
	}
	order := []store.Role{store.RoleViewer, store.RoleEditor, store.RoleAdmin}
	rank := map[store.Role]int{store.RoleViewer: 0, store.RoleEditor: 1, store.RoleAdmin: 2}
	for _, role := range order {
		c := caller{t, p.URL, p.Token(t, "as-"+string(role), role)}
		for _, call := range calls {
			status, text := c.do(call.method, call.path, call.body)
			refused := status == http.StatusForbidden
			if refused != (rank[role] < rank[call.least]) {
				t.Errorf("%s %s as %s: %d %s", call.method, call.path, role, status, cutText(text))
			}
			if status == http.StatusUnauthorized || status >= 500 {
				t.Errorf("%s %s as %s: %d %s", call.method, call.path, role, status, cutText(text))
			}
		}
	}
}

func TestTokensThatAreNone(t *testing.T) {
	_, c := start(t)
	for name, value := range map[string]string{
		"none": "", "empty": "Bearer ", "basic": "Basic YTpi", "wrong": "Bearer 0123456789abcdef",
		"long": "Bearer " + strings.Repeat("x", 4000), "bare": c.token, "prefix": "Bearer " + c.token[:len(c.token)-1],
	} {
		anonymous := caller{t, c.url, ""}
		status, text := anonymous.do("GET", "/api/v1/status", "", func(r *http.Request) {
			if value != "" {
				r.Header.Set("Authorization", value)
			}
		})
		if status != http.StatusUnauthorized {
			t.Errorf("%s: %d %s", name, status, text)
		}
	}
	status, _ := c.do("GET", "/api/v1/status", "", func(r *http.Request) { r.Header.Add("Authorization", "Bearer second") })
	if status != http.StatusUnauthorized {
		t.Errorf("two headers: %d", status)
	}
}

func TestGuessingIsThrottledAndLocksNobodyOut(t *testing.T) {
	p, c := start(t)
	editor := caller{t, p.URL, p.Token(t, "late", store.RoleEditor)}
	c.want(200, "GET", "/api/v1/whoami", "", nil)
	guess := caller{t, c.url, "guess"}
	throttled := 0
	for range 40 {
		if status, _ := guess.do("GET", "/api/v1/whoami", ""); status == http.StatusTooManyRequests {
			throttled++
		}
	}
	if throttled < 20 {
		t.Errorf("%d of 40 guesses were throttled", throttled)
	}
	c.want(200, "GET", "/api/v1/whoami", "", nil) // was good before: stays welcome
	if status, _ := editor.do("GET", "/api/v1/whoami", ""); status != http.StatusTooManyRequests {
		t.Errorf("a token not seen before, from the guesser's address: %d", status)
	}
}

func TestHostAllowList(t *testing.T) {
	_, c := start(t)
	port := c.url[strings.LastIndexByte(c.url, ':'):]
	for name, want := range map[string]int{
		"localhost": 200, "LOCALHOST" + port: 200, "127.0.0.1" + port: 200, "[::1]" + port: 200, "localhost." + port: 200,
		"evil.example": 421, "evil.example" + port: 421, "127.0.0.1.nip.io": 421, "localhost.evil.example": 421,
		"169.254.169.254": 421, "[::ffff:127.0.0.1]": 421, "user@localhost": 421,
	} {
		for _, path := range []string{"/api/v1/whoami", "/healthz", "/openapi.json"} {
			if status, text := c.do("GET", path, "", host(name)); status != want && !(want == 421 && status == 400) {
				t.Errorf("Host %q %s: %d, want %d: %s", name, path, status, want, text)
			}
		}
	}
}

func TestOrigins(t *testing.T) {
	_, c := start(t)
	for origin, want := range map[string]int{
		c.url: 200, "http://evil.example": 403, "null": 403, "http://localhost": 403, "file://": 403,
		c.url + ".evil.example": 403, "https://evil.example/" + c.url: 403,
	} {
		if status, text := c.do("GET", "/api/v1/whoami", "", header("Origin", origin)); status != want {
			t.Errorf("Origin %q: %d, want %d: %s", origin, status, want, text)
		}
	}
	if status, _ := c.do("GET", "/api/v1/whoami", "", header("Sec-Fetch-Site", "cross-site")); status != 403 {
		t.Errorf("cross-site: %d", status)
	}
}

func TestSecurityHeaders(t *testing.T) {
	_, c := start(t)
	resp, err := http.Get(c.url + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	for name, want := range map[string]string{
		"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Cache-Control": "no-store", "Referrer-Policy": "no-referrer",
	} {
		if got := resp.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if resp.Header.Get("Access-Control-Allow-Origin") != "" {
		t.Error("another origin may read")
	}
}
