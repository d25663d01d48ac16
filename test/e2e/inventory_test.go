package e2e

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/gabion-io/gabion/controlplane/server"
)

// customers use all of the demo application that a client without a stream can.
func (u *up) customers(t *testing.T) {
	t.Helper()
	header := []string{"Content-Type", "application/json"}
	login := func(name, password string) {
		var in struct{ Token string }
		a := u.do("POST", "/login", fmt.Sprintf(`{"username":%q,"password":%q}`, name, password), "Content-Type", "application/json")
		if err := json.Unmarshal([]byte(a.body), &in); err != nil || in.Token == "" {
			t.Fatalf("log in: %d %s", a.status, a.body)
		}
		header = []string{"Content-Type", "application/json", "Authorization", "Bearer " + in.Token}
	}
	ask := func(method, path, body string) { u.do(method, path, body, header...) }
	for _, path := range []string{"/", "/healthz", "/openapi.yaml", "/products", "/search?q=rope", "/search?q=tea", "/orders?limit=2", "/orders/1", "/orders/2",
		"/v0/accounts/ac-1001", "/v0/accounts/ac-1002", "/internal/export", "/wp-login.php", "/.env"} {
		ask("GET", path, "")
	}
	ask("POST", "/orders", `{"account":"ac-1001","sku":"rope-12","quantity":2}`)
	ask("POST", "/graphql", `{"query":"{ secrets { all } }"}`) // there are none: answered with an error
	for range 25 {                                             // more than are looked into: the others are no operation of their own
		ask("POST", "/graphql", `{"query":"{ products { sku name } }"}`)
	}
	u.do("POST", "/reviews", "sku=rope-12&stars=5&text=good", "Content-Type", "application/x-www-form-urlencoded")
	u.do("POST", "/upload", "--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.pdf\"\r\nContent-Type: application/pdf\r\n\r\n%PDF-\r\n--x--\r\n",
		"Content-Type", "multipart/form-data; boundary=x")
	ask("GET", "/reviews", "")
	login("clerk", "keeper-of-the-ledger")
	for _, path := range []string{"/accounts/ac-1001", "/accounts/ac-1002", "/accounts/ac-1003", "/accounts?limit=5", "/accounts?offset=1&limit=5", "/accounts/ac-9999"} {
		ask("GET", path, "")
	}
	ask("PUT", "/orders/1", `{"account":"ac-1001","sku":"rope-12","quantity":3}`)
	login("ada", "analytical-engine")
	ask("GET", "/me", "")
	ask("PATCH", "/accounts/ac-1001", `{"city":"London"}`)
}

// demoOperations is what customers leave in the inventory: the demo application's
// API, with what is not declared, what is declared deprecated, and where personal
// data is.
var demoOperations = []string{
	"GET /", "GET /accounts +data", "GET /accounts/{} +data", "PATCH /accounts/{} +data", "POST /graphql query products", "GET /healthz",
	"GET /internal/export +data shadow", "POST /login +data", "GET /me", "GET /openapi.yaml", "GET /orders", "POST /orders", "GET /orders/{}", "PUT /orders/{}",
	"GET /products", "GET /reviews", "POST /reviews", "GET /search", "POST /upload", "GET /v0/accounts/{} +data zombie",
}

func (u *up) operations() (list []string) {
	u.t.Helper()
	var got server.OperationList
	u.runJSON(&got, "api", "list")
	for _, o := range got.Items {
		text := strings.TrimSpace(o.Method + " " + o.Template.Canonical() + " " + o.Name)
		if len(o.Sensitive) > 0 {
			text += " +data"
		}
		for _, d := range o.Drift {
			if d != "mismatch" {
				text += " " + string(d)
			}
		}
		list = append(list, text)
	}
	return list
}

// inventory uses the demo application and finds its whole API in the inventory,
// also after the control plane was killed.
func (u *up) inventory(t *testing.T) {
	t.Helper()
	u.customers(t)
	whole := func() error {
		got := u.operations()
		for _, want := range demoOperations {
			if !slices.Contains(got, want) {
				return fmt.Errorf("%q is missing among\n%s", want, strings.Join(got, "\n"))
			}
		}
		if len(got) != len(demoOperations) {
			return fmt.Errorf("%d operations, want %d:\n%s", len(got), len(demoOperations), strings.Join(got, "\n"))
		}
		return nil
	}
	u.eventually("the demo application's API is in the inventory", whole)
	if out := u.run("api", "show", "GET", "/accounts/{id}"); !strings.Contains(out, "bearer JWT") || !strings.Contains(out, "iban") || strings.Contains(out, "DE89") {
		t.Errorf("the account's operation shows as\n%s", out)
	}
	if out := u.run("api", "export", "upstream"); !strings.Contains(out, "/v0/accounts/{id}:") || !strings.Contains(out, "x-gabion-sensitive") {
		t.Errorf("exported as\n%s", out)
	}
	for _, pid := range u.children(" serve ") {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	u.eventually("after kill -9 the inventory is the same", func() error {
		if _, errOut, err := u.try("", "status"); err != nil {
			return fmt.Errorf("%w: %s", err, errOut)
		}
		return whole()
	})
}
