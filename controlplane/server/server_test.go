package server_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gabion-io/gabion/controlplane/server"
	"github.com/gabion-io/gabion/controlplane/server/servertest"
	"github.com/gabion-io/gabion/controlplane/store"
)

// caller is one token's view of a control plane.
type caller struct {
	t     *testing.T
	url   string
	token string
}

func start(t *testing.T, files ...string) (*servertest.Plane, caller) {
	t.Helper()
	dir := t.TempDir()
	p := servertest.Start(t, dir, files...)
	token, err := os.ReadFile(filepath.Join(dir, "admin.token"))
	if err != nil {
		t.Fatal(err)
	}
	return p, caller{t, p.URL, strings.TrimSpace(string(token))}
}

// do sends a request and returns status and body.
func (c caller) do(method, path, body string, edit ...func(*http.Request)) (int, string) {
	c.t.Helper()
	req, err := http.NewRequest(method, c.url+path, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	if strings.HasPrefix(body, "{") {
		req.Header.Set("Content-Type", "application/json")
	} else if body != "" {
		req.Header.Set("Content-Type", "application/yaml")
	}
	for _, e := range edit {
		e(req)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	if resp.StatusCode >= 400 && resp.Header.Get("Content-Type") != "application/problem+json" {
		c.t.Errorf("%s %s: %d with content type %q", method, path, resp.StatusCode, resp.Header.Get("Content-Type"))
	}
	return resp.StatusCode, string(raw)
}

// open opens a stream of server-sent events, which ends with the test or ctx.
func (c caller) open(ctx context.Context, path string) *bufio.Scanner {
	c.t.Helper()
	req, err := http.NewRequestWithContext(ctx, "GET", c.url+path, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+c.token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { resp.Body.Close() })
	if ct := resp.Header.Get("Content-Type"); resp.StatusCode != 200 || ct != "text/event-stream" {
		c.t.Fatalf("stream: %s %s", resp.Status, ct)
	}
	return bufio.NewScanner(resp.Body)
}

// want is do, with a status expected, decoded into into (nil: not decoded).
func (c caller) want(status int, method, path, body string, into any) string {
	c.t.Helper()
	got, text := c.do(method, path, body)
	if got != status {
		c.t.Fatalf("%s %s: status %d, want %d: %s", method, path, got, status, text)
	}
	if into != nil {
		if err := json.Unmarshal([]byte(text), into); err != nil {
			c.t.Fatalf("%s %s: %v in %s", method, path, err, text)
		}
	}
	return text
}

func TestApplyGetDelete(t *testing.T) {
	_, c := start(t)
	var result server.ApplyResult
	c.want(200, "POST", "/api/v1/apply", servertest.Shop+"---\n"+servertest.Policy, &result)
	if !result.Written || len(result.Items) != 5 || result.Version == "" {
		t.Fatalf("apply: %+v", result)
	}
	for _, it := range result.Items {
		if it.Action != server.Created || it.Revision != 1 {
			t.Errorf("apply: %+v", it)
		}
	}
	var r server.Resource
	c.want(200, "GET", "/api/v1/resources/wafpolicy/default/shop", "", &r)
	if r.Origin != "store" || r.Author != "admin" || r.Revision != 1 || !strings.Contains(string(r.Manifest), `"detect"`) {
		t.Errorf("get: %+v", r)
	}
	c.want(200, "POST", "/api/v1/apply", servertest.Policy, &result)
	if result.Written || result.Items[0].Action != server.Unchanged {
		t.Errorf("apply again: %+v", result)
	}
	c.want(200, "DELETE", "/api/v1/resources/WAFPolicy/default/shop", "", &result)
	if !result.Written || result.Items[0].Action != server.Deleted {
		t.Errorf("delete: %+v", result)
	}
	c.want(404, "GET", "/api/v1/resources/WAFPolicy/default/shop", "", nil)
	c.want(404, "DELETE", "/api/v1/resources/WAFPolicy/default/shop", "", nil)
}

// A kind that is in no namespace lives like the others.
func TestClusterScopedResource(t *testing.T) {
	_, c := start(t)
	team := "apiVersion: v1\nkind: Namespace\nmetadata: {name: team, labels: {edge: %q}}\n"
	var result server.ApplyResult
	for i, label := range []string{"yes", "no"} {
		c.want(200, "POST", "/api/v1/apply", fmt.Sprintf(team, label), &result)
		if !result.Written || result.Items[0].Revision != int64(i+1) {
			t.Fatalf("apply: %+v", result)
		}
	}
	c.want(200, "POST", "/api/v1/resources/Namespace/-/team/rollback", "", nil)
	var r server.Resource
	if c.want(200, "GET", "/api/v1/resources/Namespace/-/team", "", &r); r.Revision != 3 || !strings.Contains(string(r.Manifest), `"yes"`) {
		t.Errorf("rolled back: %+v", r)
	}
	c.want(200, "DELETE", "/api/v1/resources/Namespace/-/team", "", nil)
	var log server.AuditList
	if c.want(200, "GET", "/api/v1/audit", "", &log); len(log.Items) < 4 || log.Items[0].Resource != "Namespace team" || log.Items[0].Action != "delete" {
		t.Errorf("audit: %+v", log)
	}
}

func TestApplyDryRunChangesNothing(t *testing.T) {
	_, c := start(t)
	var result server.ApplyResult
	c.want(200, "POST", "/api/v1/apply?dryRun=true", servertest.Shop, &result)
	if result.Written || result.Items[0].Action != server.Created || !strings.Contains(result.Items[0].Patch, "+kind: Gateway") {
		t.Errorf("dry run: %+v", result)
	}
	c.want(404, "GET", "/api/v1/resources/Gateway/default/web", "", nil)
}

func TestApplyExpectedRevision(t *testing.T) {
	_, c := start(t)
	c.want(200, "POST", "/api/v1/apply", servertest.Shop+"---\n"+servertest.Policy, nil)
	block := strings.Replace(servertest.Policy, "detect", "block", 1)
	if text := c.want(409, "POST", "/api/v1/apply?revision=7", block, nil); !strings.Contains(text, "revision 1") {
		t.Errorf("conflict does not name the current revision: %s", text)
	}
	c.want(409, "POST", "/api/v1/apply?revision=0", block, nil)
	c.want(200, "POST", "/api/v1/apply?revision=1", block, nil)
	c.want(422, "POST", "/api/v1/apply?revision=1", servertest.Shop, nil)
}

func TestApplyRefusesMistakes(t *testing.T) {
	_, c := start(t)
	c.want(200, "POST", "/api/v1/apply", servertest.Shop, nil)
	cases := map[string]struct{ body, says string }{
		"unknown field":      {strings.Replace(servertest.Policy, "mode:", "moode:", 1), "moode"},
		"wrong type":         {strings.Replace(servertest.Policy, "mode: detect", "paranoiaLevel: high", 1), "paranoiaLevel"},
		"unknown kind":       {"apiVersion: gabion.io/v1alpha1\nkind: Wall\nmetadata: {name: a}\n", "Wall"},
		"not YAML":           {"\x00\x01{{{", "manifest"},
		"empty":              {"# nothing\n", "no resource"},
		"twice":              {servertest.Policy + "---\n" + servertest.Policy, "twice"},
		"dangling reference": {strings.Replace(servertest.Policy, "name: shop\n  mode", "name: shep\n  mode", 1), "shep"},
		"broken rule":        {servertest.Policy + "  rules: ['SecRule ARGS \"@rx (\" \"id:1,deny\"']\n", "rules[0]"},
		"refused directive":  {servertest.Policy + "  rules: ['Include /etc/passwd']\n", "Include"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			c := caller{t, c.url, c.token}
			if text := c.want(422, "POST", "/api/v1/apply", tc.body, nil); !strings.Contains(text, tc.says) {
				t.Errorf("answer does not say %q: %s", tc.says, text)
			}
		})
	}
	c.want(404, "GET", "/api/v1/resources/WAFPolicy/default/shop", "", nil)
}

func TestApplyForceWritesWithConditions(t *testing.T) {
	_, c := start(t)
	var result server.ApplyResult
	c.want(200, "POST", "/api/v1/apply?force=true", servertest.Policy, &result)
	if !result.Written || len(result.Items[0].Conditions) == 0 {
		t.Errorf("force: %+v", result)
	}
}

func TestFileOwnedIsNotChanged(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "shop.yaml")
	if err := os.WriteFile(path, []byte(servertest.Shop+"---\n"+servertest.Policy), 0o600); err != nil {
		t.Fatal(err)
	}
	p, c := start(t, path)
	block := strings.Replace(servertest.Policy, "detect", "block", 1)
	var result server.ApplyResult
	c.want(200, "POST", "/api/v1/apply", block, &result)
	it := result.Items[0]
	if result.Written || it.Action != server.FileOwned || it.File != path || !strings.Contains(it.Patch, "+  mode: block") || it.Manifest == "" {
		t.Errorf("apply: %+v", result)
	}
	c.want(200, "DELETE", "/api/v1/resources/WAFPolicy/default/shop", "", &result)
	if it := result.Items[0]; result.Written || it.Action != server.FileOwned || !strings.Contains(it.Patch, "-  mode: detect") {
		t.Errorf("delete: %+v", result)
	}
	rows, err := p.Store.Resources(context.Background(), "")
	if err != nil || len(rows) != 0 {
		t.Errorf("store holds %d resources, error %v", len(rows), err)
	}
	c.want(200, "POST", "/api/v1/apply", servertest.Policy, &result)
	if result.Items[0].Action != server.Unchanged {
		t.Errorf("equal apply: %+v", result)
	}
}

func TestRollback(t *testing.T) {
	_, c := start(t)
	mode := func() string {
		var r server.Resource
		c.want(200, "GET", "/api/v1/resources/WAFPolicy/default/shop", "", &r)
		var m struct{ Spec struct{ Mode string } }
		if err := json.Unmarshal(r.Manifest, &m); err != nil {
			t.Fatal(err)
		}
		return m.Spec.Mode
	}
	c.want(200, "POST", "/api/v1/apply", servertest.Shop+"---\n"+servertest.Policy, nil)
	c.want(200, "POST", "/api/v1/apply", strings.Replace(servertest.Policy, "detect", "block", 1), nil)
	var result server.ApplyResult
	rollback := "/api/v1/resources/WAFPolicy/default/shop/rollback"
	c.want(200, "POST", rollback, "", &result)
	if !result.Written || result.Items[0].Revision != 3 || mode() != "detect" {
		t.Errorf("rollback: %+v, mode %s", result, mode())
	}
	c.want(200, "POST", rollback, "", nil)
	if mode() != "block" {
		t.Errorf("second rollback: mode %s", mode())
	}
	c.want(200, "POST", rollback+"?revision=1", "", nil)
	if mode() != "detect" {
		t.Errorf("rollback to 1: mode %s", mode())
	}
	c.want(404, "POST", rollback+"?revision=99", "", nil)
	var list server.RevisionList
	c.want(200, "GET", "/api/v1/resources/WAFPolicy/default/shop/revisions", "", &list)
	if len(list.Items) != 5 || list.Items[0].Action != "rollback" || list.Items[0].Author != "admin" {
		t.Errorf("revisions: %+v", list)
	}
	// What did not exist before its first revision is deleted.
	other := strings.Replace(servertest.Policy, "name: shop\nspec", "name: other\nspec", 1)
	c.want(200, "POST", "/api/v1/apply", other, nil)
	c.want(200, "POST", "/api/v1/resources/WAFPolicy/default/other/rollback", "", &result)
	if result.Items[0].Action != server.Deleted {
		t.Errorf("rollback of a first revision: %+v", result)
	}
	var log server.AuditList
	if c.want(200, "GET", "/api/v1/audit?limit=1", "", &log); log.Items[0].Action != "rollback" || log.Items[0].After != "" {
		t.Errorf("audited as %+v", log.Items[0])
	}
	c.want(200, "POST", "/api/v1/resources/WAFPolicy/default/other/rollback", "", nil)
	c.want(200, "GET", "/api/v1/resources/WAFPolicy/default/other", "", nil)
}

func TestDiffShowsResourceAndEnvoy(t *testing.T) {
	_, c := start(t)
	c.want(200, "POST", "/api/v1/apply", servertest.Shop+"---\n"+servertest.Policy, nil)
	var d server.Diff
	c.want(200, "POST", "/api/v1/diff", strings.Replace(servertest.Policy, "detect", "block", 1), &d)
	if len(d.Resources) != 1 || !strings.Contains(d.Resources[0].Patch, "+  mode: block") {
		t.Errorf("resources: %+v", d.Resources)
	}
	if len(d.Envoy) != 1 || d.Envoy[0].Type != "extension" || !strings.Contains(d.Envoy[0].Patch, `"mode": "block"`) {
		t.Errorf("a policy change must change the filter's table and nothing else: %+v", d.Envoy)
	}
}

func TestExplain(t *testing.T) {
	_, c := start(t)
	c.want(200, "POST", "/api/v1/apply", servertest.Shop+"---\n"+servertest.Policy, nil)
	for _, q := range []string{"route=shop", "route=default/shop", "host=shop.example.com&path=/cart", "host=SHOP.example.com:8080&path=/"} {
		var e server.Explanation
		c.want(200, "GET", "/api/v1/explain?"+q, "", &e)
		if len(e.Rules) != 1 || len(e.Rules[0].Policies) != 1 || e.Rules[0].Policies[0].Policy.Name != "shop" || len(e.Rules[0].Fields) == 0 {
			t.Errorf("%s: %+v", q, e)
		}
	}
	c.want(404, "GET", "/api/v1/explain?route=nowhere", "", nil)
	c.want(404, "GET", "/api/v1/explain?host=other.example.com&path=/", "", nil)
	c.want(422, "GET", "/api/v1/explain", "", nil)
}

func TestSecretsAreNeverShown(t *testing.T) {
	_, c := start(t)
	secret := "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\ntype: Opaque\nstringData: {password: hunter2-hunter2}\n"
	texts := c.want(200, "POST", "/api/v1/apply", secret, nil)
	texts += c.want(200, "POST", "/api/v1/apply?dryRun=true", strings.Replace(secret, "hunter2-", "hunter3-", 1), nil)
	texts += c.want(200, "GET", "/api/v1/resources/Secret/default/s", "", nil)
	texts += c.want(200, "GET", "/api/v1/resources?kind=secret", "", nil)
	texts += c.want(200, "GET", "/api/v1/resources/Secret/default/s/revisions", "", nil)
	texts += c.want(200, "POST", "/api/v1/diff", strings.Replace(secret, "hunter2-", "hunter3-", 1), nil)
	for _, s := range []string{"hunter2", "hunter3", "aHVudGVy"} {
		if strings.Contains(texts, s) {
			t.Errorf("an answer holds %q: %s", s, texts)
		}
	}
}

func TestStatusAuditAndTokens(t *testing.T) {
	_, c := start(t)
	c.want(200, "POST", "/api/v1/apply", servertest.Shop, nil)
	var s server.Status
	c.want(200, "GET", "/api/v1/status", "", &s)
	if s.Resources != 4 || s.Snapshot == "" || s.Store.Backend == "" {
		t.Errorf("status: %+v", s)
	}
	var made server.NewToken
	c.want(201, "POST", "/api/v1/tokens", `{"name":"ci","role":"editor"}`, &made)
	if made.Secret == "" || made.Name != "ci" {
		t.Errorf("token: %+v", made)
	}
	c.want(409, "POST", "/api/v1/tokens", `{"name":"ci","role":"editor"}`, nil)
	ci := caller{t, c.url, made.Secret}
	ci.want(200, "GET", "/api/v1/whoami", "", nil)
	ci.want(200, "POST", "/api/v1/apply", servertest.Policy, nil)
	var log server.AuditList
	c.want(200, "GET", "/api/v1/audit?author=ci", "", &log)
	if len(log.Items) != 1 || log.Items[0].Action != "apply" {
		t.Errorf("audit: %+v", log)
	}
	if text := c.want(200, "GET", "/api/v1/audit", "", nil); strings.Contains(text, made.Secret) {
		t.Error("the audit log holds a secret")
	}
	if text := c.want(200, "GET", "/api/v1/tokens", "", nil); strings.Contains(text, made.Secret) {
		t.Error("the list of tokens holds a secret")
	}
	c.want(204, "DELETE", "/api/v1/tokens/ci", "", nil)
	ci.want(401, "GET", "/api/v1/whoami", "", nil)
	c.want(409, "DELETE", "/api/v1/tokens/admin", "", nil)
	var v store.AuditVerdict
	c.want(200, "GET", "/api/v1/audit/verify", "", &v)
	if v.Broken != 0 || v.Entries == 0 {
		t.Errorf("verify: %+v", v)
	}
}

func TestRules(t *testing.T) {
	_, c := start(t)
	var list server.RuleList
	c.want(200, "GET", "/api/v1/rules?tag=attack-sqli&paranoia=1", "", &list)
	if len(list.Items) == 0 {
		t.Error("no rules")
	}
	c.want(200, "GET", "/api/v1/rules/942100", "", nil)
	c.want(404, "GET", "/api/v1/rules/1", "", nil)
}

func TestDocument(t *testing.T) {
	_, c := start(t)
	anonymous := caller{t, c.url, ""}
	var doc struct {
		OpenAPI string
		Paths   map[string]map[string]struct {
			OperationID string
			Security    []map[string][]string
		}
	}
	anonymous.want(200, "GET", "/openapi.json", "", &doc)
	if !strings.HasPrefix(doc.OpenAPI, "3.1") || len(doc.Paths) < 20 {
		t.Errorf("document: version %s, %d paths", doc.OpenAPI, len(doc.Paths))
	}
	for path, ops := range doc.Paths {
		for method, op := range ops {
			if len(op.Security) == 0 {
				t.Errorf("%s %s needs no token", method, path)
			}
			if status, text := anonymous.do(strings.ToUpper(method), strings.NewReplacer("{", "", "}", "").Replace(path), ""); status != 401 {
				t.Errorf("%s %s without a token: %d %s", method, path, status, text)
			}
		}
	}
}

func TestPlainRoutes(t *testing.T) {
	_, c := start(t)
	anonymous := caller{t, c.url, ""}
	anonymous.want(200, "GET", "/healthz", "", nil)
	var ready server.Readiness
	anonymous.want(200, "GET", "/readyz", "", &ready)
	if !ready.Ready || ready.Checks["store"] != "ok" || ready.Checks["snapshot"] != "ok" {
		t.Errorf("ready: %+v", ready)
	}
	anonymous.want(401, "GET", "/metrics", "", nil)
	if text := c.want(200, "GET", "/metrics", "", nil); !strings.Contains(text, "gabion_api_requests_total") {
		t.Errorf("metrics: %s", text)
	}
	anonymous.want(404, "GET", "/", "", nil)
}

func TestGarbage(t *testing.T) {
	_, c := start(t)
	for _, path := range []string{
		"/api/v1/events?limit=0", "/api/v1/events?limit=x", "/api/v1/events?cursor=zzz", "/api/v1/events?decision=maybe",
		"/api/v1/events?since=yesterday", "/api/v1/events?unknown=1", "/api/v1/events/%00%01%02%03", "/api/v1/events/stream?cursor=%ff",
		"/api/v1/proposals/..%2f..%2fetc", "/api/v1/audit?limit=100000",
	} {
		if status, text := c.do("GET", path, ""); status != 422 && status != 400 && status != 404 {
			t.Errorf("%s: %d %s", path, status, text)
		}
	}
	c.want(422, "POST", "/api/v1/tokens", `{"name":"x","role":"root"}`, nil)
	c.want(422, "POST", "/api/v1/tokens", `{"name":"x","role":"viewer","more":1}`, nil)
	c.want(400, "POST", "/api/v1/tokens", `{"name":`, nil)
	big := bytes.Repeat([]byte("# padding padding padding padding\n"), server.MaxBody/34+100)
	if status, text := c.do("POST", "/api/v1/apply", "kind: X\n"+string(big)); status != 413 {
		t.Errorf("oversized: %d %s", status, cutText(text))
	}
}

func cutText(s string) string { return fmt.Sprintf("%.300s", s) }
