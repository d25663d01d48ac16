package e2e

import (
	"bytes"
	"crypto/rand"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	_ "modernc.org/sqlite"
)

// call talks to the REST API as any client might.
func (u *up) call(t *testing.T, method, path, token string, body io.Reader, header ...string) (*http.Response, []byte) {
	t.Helper()
	req, err := http.NewRequest(method, "http://"+u.admin+path, body)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i+1 < len(header); i += 2 {
		if header[i] == "Host" {
			req.Host = header[i+1]
		}
		req.Header.Set(header[i], header[i+1])
	}
	res, err := (&http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	defer res.Body.Close()
	b, _ := io.ReadAll(res.Body)
	return res, b
}

// The API says no to whoever may not, and to what it cannot read.
func TestAPI(t *testing.T) {
	u := startUp(t)
	b, err := os.ReadFile(filepath.Join(u.state, "admin.token"))
	if err != nil {
		t.Fatal(err)
	}
	if info, _ := os.Stat(filepath.Join(u.state, "admin.token")); info.Mode().Perm() != 0o600 {
		t.Errorf("the admin token's file has mode %v", info.Mode())
	}
	admin := strings.TrimSpace(string(b))
	viewerFile := filepath.Join(t.TempDir(), "viewer.token")
	u.run("token", "create", "looker", "--role", "viewer", "--out", viewerFile)
	b, err = os.ReadFile(viewerFile)
	if err != nil {
		t.Fatal(err)
	}
	viewer := strings.TrimSpace(string(b))

	t.Run("refusals", func(t *testing.T) { testRefusals(t, u, admin, viewer) })
	t.Run("open", func(t *testing.T) { testOpenPaths(t, u, admin) })
	t.Run("tokens", func(t *testing.T) {
		if out := u.run("token", "list"); !strings.Contains(out, "looker") || strings.Contains(out, viewer) {
			t.Errorf("token list:\n%s", out)
		}
		if _, _, err := u.try("", "get", "WAFPolicy", "--token-file", viewerFile); err != nil {
			t.Errorf("a viewer may look: %v", err)
		}
		_, errOut, err := u.try(wafMode("block"), "apply", "-f", "-", "--token-file", viewerFile)
		if err == nil || !strings.Contains(errOut, "viewer") {
			t.Errorf("a viewer applied, or was not told why not: %v %s", err, errOut)
		}
		u.run("token", "revoke", "looker")
		if res, _ := u.call(t, "GET", "/api/v1/status", viewer, nil); res.StatusCode != 401 {
			t.Errorf("a revoked token got %s", res.Status)
		}
		if files := grep(t, u.state, viewer); len(files) > 0 {
			t.Errorf("the secret lies in %v", files)
		}
	})
	t.Run("sockets", func(t *testing.T) { testGarbageOnSockets(t, u) })
	if strings.Contains(u.log.String(), admin) {
		t.Error("the log holds the admin token")
	}
	t.Run("audit", func(t *testing.T) { testAuditTamper(t, u) })
}

func testRefusals(t *testing.T, u *up, admin, viewer string) {
	for _, c := range []struct {
		name, method, path, token string
		body                      io.Reader
		header                    []string
		status                    int
	}{
		{"no token", "GET", "/api/v1/status", "", nil, nil, 401},
		{"wrong token", "GET", "/api/v1/status", admin + "x", nil, nil, 401},
		{"viewer applies", "POST", "/api/v1/apply", viewer, strings.NewReader(wafMode("block")), []string{"Content-Type", "application/yaml"}, 403},
		{"foreign host", "GET", "/api/v1/status", admin, nil, []string{"Host", "evil.example.com"}, 421},
		{"foreign origin", "GET", "/api/v1/status", admin, nil, []string{"Origin", "https://evil.example.com"}, 403},
		{"null origin", "GET", "/api/v1/status", admin, nil, []string{"Origin", "null"}, 403},
		{"cross site", "GET", "/api/v1/status", admin, nil, []string{"Sec-Fetch-Site", "cross-site"}, 403},
		{"nothing there", "GET", "/api/v1/nothing", admin, nil, nil, 404},
		{"garbage", "POST", "/api/v1/apply", admin, strings.NewReader("\x00\xff{{{"), []string{"Content-Type", "application/yaml"}, 0},
		{"garbage JSON", "POST", "/api/v1/tokens", admin, strings.NewReader(`{"name":`), []string{"Content-Type", "application/json"}, 0},
		{"deep JSON", "POST", "/api/v1/tokens", admin, strings.NewReader(strings.Repeat("[", 100_000)), []string{"Content-Type", "application/json"}, 0},
		{"huge", "POST", "/api/v1/apply", admin, bytes.NewReader(make([]byte, 20<<20)), []string{"Content-Type", "application/yaml"}, 413},
	} {
		t.Run(c.name, func(t *testing.T) {
			res, body := u.call(t, c.method, c.path, c.token, c.body, c.header...)
			if c.status != 0 && res.StatusCode != c.status || res.StatusCode < 400 || res.StatusCode > 499 {
				t.Errorf("%s, want %d: %.300s", res.Status, c.status, body)
			}
			if kind := res.Header.Get("Content-Type"); !strings.HasPrefix(kind, "application/problem+json") || !json.Valid(body) {
				t.Errorf("%s is no problem+json: %.200s", kind, body)
			}
		})
	}
	if res, body := u.call(t, "GET", "/api/v1/status", admin, nil); res.StatusCode != 200 {
		t.Errorf("afterwards status answers %s %s", res.Status, body)
	}
}

func testOpenPaths(t *testing.T, u *up, admin string) {
	for path, want := range map[string]string{"/healthz": "", "/readyz": "", "/openapi.json": `"openapi"`} {
		res, body := u.call(t, "GET", path, "", nil)
		if res.StatusCode != 200 || !strings.Contains(string(body), want) {
			t.Errorf("%s: %s %.200s", path, res.Status, body)
		}
	}
	if res, body := u.call(t, "GET", "/metrics", admin, nil); res.StatusCode != 200 || !strings.Contains(string(body), "gabion_") {
		t.Errorf("/metrics with a token: %s %.200s", res.Status, body)
	}
	if res, _ := u.call(t, "GET", "/metrics", "", nil); res.StatusCode != 401 {
		t.Errorf("/metrics without a token: %s", res.Status)
	}
}

// Garbage on the sockets of proxies harms nothing.
func testGarbageOnSockets(t *testing.T, u *up) {
	sockets, _ := filepath.Glob(filepath.Join(u.state, "run", "*.sock"))
	if len(sockets) == 0 {
		t.Fatal("no sockets")
	}
	serve := u.children(" serve ")
	for _, path := range sockets {
		if info, err := os.Stat(path); err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s is open to others: %v", path, info.Mode())
		}
		for i := range 20 {
			c, err := net.Dial("unix", path)
			if err != nil {
				t.Fatal(err)
			}
			c.SetDeadline(time.Now().Add(200 * time.Millisecond))
			garbage := make([]byte, 1<<(i%14))
			rand.Read(garbage)
			if i%2 == 1 {
				io.WriteString(c, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
			}
			c.Write(garbage)
			c.Close()
		}
	}
	u.get(sqli, "Host", "after-garbage.example.com")
	u.eventually("events arrive still", func() error {
		for _, e := range u.events() {
			if e.Host == "after-garbage.example.com" {
				return nil
			}
		}
		return fmt.Errorf("none")
	})
	if now := u.children(" serve "); len(now) != 1 || now[0] != serve[0] {
		t.Errorf("the control plane was %v and is %v", serve, now)
	}
}

// Whoever edits the audit log in the database is found out.
func testAuditTamper(t *testing.T, u *up) {
	if out := u.run("audit", "verify"); !strings.Contains(out, "intact") {
		t.Fatalf("audit verify: %s", out)
	}
	u.stop()
	files, _ := filepath.Glob(filepath.Join(u.state, "db", "*.db"))
	changed := false
	for _, file := range files {
		db, err := sql.Open("sqlite", file)
		if err != nil {
			t.Fatal(err)
		}
		if res, err := db.Exec(`UPDATE audit SET author = 'somebody else' WHERE seq = (SELECT max(seq) - 1 FROM audit)`); err == nil {
			n, _ := res.RowsAffected()
			changed = changed || n > 0
		}
		db.Close()
	}
	if !changed {
		t.Fatalf("found no audit log in %v", files)
	}
	again := startUp(t, "--state", u.state)
	out, errOut, err := again.try("", "audit", "verify")
	if err == nil || strings.Contains(out, "intact") {
		t.Errorf("an edited audit log verifies: %v\n%s%s", err, out, errOut)
	}
}
