package demo

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"
)

func TestDescriptionIsCompleteButForOne(t *testing.T) {
	var doc struct {
		OpenAPI string                               `json:"openapi"`
		Paths   map[string]map[string]map[string]any `json:"paths"`
	}
	raw := map[string]any{}
	if err := yaml.UnmarshalStrict(OpenAPI(), &raw); err != nil {
		t.Fatal(err)
	}
	delete(raw, "servers")
	for _, item := range raw["paths"].(map[string]any) {
		delete(item.(map[string]any), "parameters") // a list: not an operation
	}
	b, _ := json.Marshal(raw)
	if err := json.Unmarshal(b, &doc); err != nil {
		t.Fatal(err)
	}
	if doc.OpenAPI != "3.1.0" {
		t.Errorf("openapi %q", doc.OpenAPI)
	}
	var described, deprecated []string
	for path, item := range doc.Paths {
		for method, operation := range item {
			name := strings.ToUpper(method) + " " + path
			described = append(described, name)
			if operation["deprecated"] == true {
				deprecated = append(deprecated, name)
			}
		}
	}
	var served []string
	for _, r := range newApp(Options{}).routes() {
		served = append(served, r.method+" "+strings.TrimSuffix(r.path, "{$}"))
	}
	served = slices.DeleteFunc(served, func(s string) bool { return s == "GET /internal/export" })
	slices.Sort(served)
	slices.Sort(described)
	if d := cmp.Diff(served, described); d != "" {
		t.Errorf("described operations (-served +described):\n%s", d)
	}
	if d := cmp.Diff([]string{"GET /v0/accounts/{id}"}, deprecated); d != "" {
		t.Errorf("deprecated (-want +got):\n%s", d)
	}
	checkReferences(t, raw, raw)
}

// checkReferences follows every $ref.
func checkReferences(t *testing.T, root map[string]any, node any) {
	switch n := node.(type) {
	case []any:
		for _, v := range n {
			checkReferences(t, root, v)
		}
	case map[string]any:
		for k, v := range n {
			if k == "$ref" {
				var at any = root
				for _, step := range strings.Split(strings.TrimPrefix(v.(string), "#/"), "/") {
					m, _ := at.(map[string]any)
					at = m[step]
				}
				if at == nil {
					t.Errorf("%s leads nowhere", v)
				}
				continue
			}
			checkReferences(t, root, v)
		}
	}
}

func TestOperations(t *testing.T) {
	c := start(t, Options{})
	ada, clerk := c.login("ada", "analytical-engine"), c.login("clerk", "keeper-of-the-ledger")
	for _, step := range []struct {
		name, method, target, token, body string
		status                            int
		has                               string
	}{
		{"front page", "GET", "/", "", "", 200, "Harbour Bank"},
		{"health", "GET", "/healthz", "", "", 200, `"ok"`},
		{"description", "GET", "/openapi.yaml", "", "", 200, "openapi: 3.1.0"},
		{"wrong password", "POST", "/login", "", `{"username":"ada","password":"x"}`, 401, "wrong"},
		{"unknown user, empty password", "POST", "/login", "", `{"username":"nobody","password":""}`, 401, "wrong"},
		{"who", "GET", "/me", ada, "", 200, `"account":"ac-1001"`},
		{"no token", "GET", "/accounts", "", "", 401, "sign in"},
		{"forged token", "GET", "/accounts", "eyJhbGciOiJub25lIn0.eyJjbGVyayI6dHJ1ZX0.", "", 401, "not valid"},
		{"own accounts", "GET", "/accounts", ada, "", 200, `"total":1`},
		{"all accounts", "GET", "/accounts?limit=2&offset=39", clerk, "", 200, `{"accounts":[{"id":"ac-1040","name":"Hana Dvořák"`},
		{"bad page", "GET", "/accounts?limit=-1", clerk, "", 400, "limit"},
		{"own account", "GET", "/accounts/ac-1001", ada, "", 200, `"iban":"DE`},
		{"another's account", "GET", "/accounts/ac-1002", ada, "", 404, "no such account"},
		{"change", "PATCH", "/accounts/ac-1001", ada, `{"city":"Kiel"}`, 200, `"city":"Kiel"`},
		{"unknown field", "PATCH", "/accounts/ac-1001", ada, `{"balance":1}`, 400, "unknown field"},
		{"bad mail", "PATCH", "/accounts/ac-1001", ada, `{"email":"x"}`, 422, "@"},
		{"deprecated", "GET", "/v0/accounts/ac-1001", "", "", 200, `"holder":"Ada Ahlgren"`},
		{"undocumented", "GET", "/internal/export", "", "", 200, "ada.ahlgren0@harbour.example"},
		{"orders", "GET", "/orders?account=ac-1001&limit=1", "", "", 200, `"orders":[{"id":`},
		{"place", "POST", "/orders", "", `{"account":"ac-1001","sku":"rope-12","quantity":2}`, 201, `"id":121`},
		{"no such product", "POST", "/orders", "", `{"account":"ac-1001","sku":"boat","quantity":2}`, 422, "boat"},
		{"two values", "POST", "/orders", "", `{"account":"ac-1001","sku":"rope-12","quantity":2}{}`, 400, "after"},
		{"read", "GET", "/orders/121", "", "", 200, `"quantity":2`},
		{"replace", "PUT", "/orders/121", ada, `{"account":"ac-1001","sku":"rope-12","quantity":3,"note":"n"}`, 200, `"note":"n"`},
		{"replace without token", "PUT", "/orders/121", "", `{}`, 401, "sign in"},
		{"delete", "DELETE", "/orders/121", ada, "", 204, ""},
		{"gone", "GET", "/orders/121", "", "", 404, "121"},
		{"not a number", "GET", "/orders/x", "", "", 400, "number"},
		{"products", "GET", "/products", "", "", 200, `"total":12`},
		{"search", "GET", "/search?q=tea", "", "", 200, "Harbour tea"},
		{"search without words", "GET", "/search", "", "", 400, "q has"},
		{"review", "POST", "/reviews", "", `{"sku":"rope-12","stars":5,"text":"good"}`, 201, "good"},
		{"bad review", "POST", "/reviews", "", `{"sku":"rope-12","stars":6,"text":"good"}`, 422, "stars"},
		{"reviews", "GET", "/reviews?sku=rope-12", "", "", 200, `"total":2`},
		{"query", "POST", "/graphql", "", `{"query":"{ account(id:\"ac-1001\") { name orders { product { name } } } }"}`, 200, `"name":"Ada Ahlgren"`},
		{"query by GET", "GET", "/graphql?query=%7Bproducts%7Bsku%7D%7D", "", "", 200, "anchor-10"},
		{"variables", "POST", "/graphql", "", `{"query":"query($q:String!){search(q:$q){name}}","variables":{"q":"tea"}}`, 200, "Harbour tea"},
		{"mutation", "POST", "/graphql", "", `{"query":"mutation { placeOrder(account:\"ac-1001\",sku:\"rope-12\",quantity:1){ note } }"}`, 200, `"note":""`},
		{"too deep", "POST", "/graphql", "", `{"query":"{accounts{orders{account{orders{account{orders{account{orders{id}}}}}}}}}"}`, 200, "depth"},
		{"no query", "POST", "/graphql", "", `{}`, 400, "empty"},
		{"echo", "POST", "/echo?x=1", "", `{}`, 200, `"target":"/echo?x=1"`},
		{"large", "POST", "/reviews", "", `{"sku":"rope-12","stars":5,"text":"` + strings.Repeat("x", maxBody) + `"}`, 413, "too large"},
		{"unknown path", "GET", "/nowhere", "", "", 404, ""},
	} {
		status, _, body := c.do(step.method, step.target, step.token, "application/json", step.body)
		if status != step.status || !strings.Contains(body, step.has) {
			t.Errorf("%s: %d %.300s; want %d with %q", step.name, status, body, step.status, step.has)
		}
	}
	if status, _, body := c.do("POST", "/reviews", "", "application/x-www-form-urlencoded", "sku=rope-12&stars=4&text=a+form"); status != 201 {
		t.Errorf("form: %d %s", status, body)
	}
	if status, _, body := c.do("POST", "/reviews", "", "text/plain", "x"); status != 415 {
		t.Errorf("text: %d %s", status, body)
	}
	if _, h, _ := c.do("GET", "/v0/accounts/ac-1001", "", "", ""); h.Get("Deprecation") == "" {
		t.Error("the deprecated operation does not say so")
	}
}

func TestTokenExpires(t *testing.T) {
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	c := start(t, Options{Now: func() time.Time { return now }})
	token := c.login("ada", "analytical-engine")
	now = now.Add(tokenLife + time.Second)
	if status, _, body := c.do("GET", "/me", token, "", ""); status != 401 || !strings.Contains(body, "expired") {
		t.Errorf("after its life: %d %s", status, body)
	}
}

func TestFalsePositivesAreHonestRequests(t *testing.T) {
	c := start(t, Options{})
	for _, r := range FalsePositives() {
		if status, _, body := c.do(r.Method, r.Target, "", r.ContentType, r.Body); status/100 != 2 {
			t.Errorf("%s %s: %d %s", r.Method, r.Target, status, body)
		}
	}
}

func TestSameDataAfterEveryStart(t *testing.T) {
	one, two := newShop(), newShop()
	if d := cmp.Diff(one.allAccounts(), two.allAccounts()); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(one.ordersOf(""), two.ordersOf("")); d != "" {
		t.Error(d)
	}
	if got := germanIBAN("370400440532013000"); got != "DE89370400440532013000" { // the example of the standard
		t.Errorf("check digits: %s", got)
	}
}

func TestVisitorsCannotFillTheMemory(t *testing.T) {
	s := newShop()
	for range maxOrders + 50 {
		s.place(order{Account: "ac-1001"})
		s.addReview(review{SKU: "rope-12"})
	}
	if o, r := s.ordersOf(""), s.reviewsOf(""); len(o) != maxOrders || len(r) != maxReviews || o[0].ID != 171 {
		t.Errorf("%d orders from %d, %d reviews", len(o), o[0].ID, len(r))
	}
}

func TestUpload(t *testing.T) {
	c := start(t, Options{})
	send := func(size, parts int) (int, string) {
		var b bytes.Buffer
		form := multipart.NewWriter(&b)
		for i := range parts {
			w, _ := form.CreateFormFile(fmt.Sprint("photo", i), "damage.jpg")
			_, _ = w.Write(make([]byte, size))
		}
		_ = form.Close()
		status, _, body := c.do("POST", "/upload", "", form.FormDataContentType(), b.String())
		return status, body
	}
	if status, body := send(1000, 2); status != 201 || !strings.Contains(body, `"name":"damage.jpg","type":"application/octet-stream","size":1000`) {
		t.Errorf("upload: %d %s", status, body)
	}
	if status, body := send(maxUpload+1, 1); status != 413 {
		t.Errorf("large upload: %d %s", status, body)
	}
	if status, body := send(1, maxFiles+1); status != 400 {
		t.Errorf("many parts: %d %s", status, body)
	}
	if status, _, _ := c.do("POST", "/upload", "", "text/plain", "x"); status != 415 {
		t.Errorf("no form: %d", status)
	}
}

func TestRunServesStreamsAndEndsThem(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- Run(ctx, ln, Options{EventEvery: 5 * time.Millisecond}) }()
	base := "http://" + ln.Addr().String()

	stream, err := http.Get(base + "/events")
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Body.Close()
	lines := bufio.NewScanner(stream.Body)
	for n := 0; n < 3 && lines.Scan(); {
		if strings.HasPrefix(lines.Text(), "data: {") {
			n++
		}
	}
	if kind := stream.Header.Get("Content-Type"); kind != "text/event-stream" || lines.Err() != nil {
		t.Errorf("stream of %q: %v", kind, lines.Err())
	}

	socket, _, err := websocket.Dial(t.Context(), base+"/ws", nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := socket.Write(t.Context(), websocket.MessageText, []byte("ahoy")); err != nil {
		t.Fatal(err)
	}
	if _, m, err := socket.Read(t.Context()); err != nil || string(m) != "ahoy" {
		t.Errorf("echo %q, %v", m, err)
	}

	var h2 http.Protocols
	h2.SetUnencryptedHTTP2(true)
	transport := &http.Transport{Protocols: &h2}
	r, err := (&http.Client{Transport: transport}).Get(base + "/echo")
	if err != nil || r.ProtoMajor != 2 {
		t.Errorf("HTTP/2 without TLS: %v, %v", r, err)
	}
	r.Body.Close()
	transport.CloseIdleConnections()

	stop()
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(4 * time.Second): // less than the limit for ordinary requests
		t.Error("the streams hold the server up")
	}
	if _, _, err := socket.Read(t.Context()); websocket.CloseStatus(err) != websocket.StatusGoingAway {
		t.Errorf("socket after stop: %v", err)
	}
}

func TestEventsCount(t *testing.T) {
	c := start(t, Options{EventEvery: time.Millisecond})
	for n, want := range map[string]int{"0": 0, "3": 3} {
		if _, _, body := c.do("GET", "/events?count="+n, "", "", ""); strings.Count(body, "event: tide") != want {
			t.Errorf("count=%s: %q", n, body)
		}
	}
	if status, _, _ := c.do("GET", "/events?count=x", "", "", ""); status != 400 {
		t.Errorf("count=x: %d", status)
	}
}

// FuzzRequests: nothing a client sends breaks the application.
func FuzzRequests(f *testing.F) {
	f.Add("POST", "/graphql", "application/json", `{"query":"{ products { sku } }"}`)
	f.Add("POST", "/upload", "multipart/form-data; boundary=x", "--x\r\nContent-Disposition: form-data; name=\"a\"; filename=\"b\"\r\n\r\nc\r\n--x--\r\n")
	f.Add("POST", "/reviews", "application/x-www-form-urlencoded", "sku=rope-12&stars=1&text=%zz")
	f.Add("GET", "/orders/-1?limit=9999999999999999999999", "", "")
	f.Add("PATCH", "/accounts/ac-1001", "application/json", "[]")
	h := New(Options{EventEvery: time.Microsecond})
	f.Fuzz(func(t *testing.T, method, target, kind, body string) {
		u, err := url.ParseRequestURI(target)
		if err != nil || u.Path == "/events" || u.Path == "/ws" {
			return
		}
		r, err := http.NewRequest(method, "http://harbour.example"+u.RequestURI(), strings.NewReader(body))
		if err != nil {
			return
		}
		r.Header.Set("Content-Type", kind)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code >= 500 {
			t.Errorf("%s %s: %d %s", method, target, w.Code, w.Body)
		}
	})
}

type client struct {
	t    *testing.T
	base string
}

func start(t *testing.T, o Options) client {
	s := httptest.NewServer(New(o))
	t.Cleanup(s.Close)
	return client{t, s.URL}
}

func (c client) login(name, password string) string {
	c.t.Helper()
	var out struct{ Token string }
	_, _, body := c.do("POST", "/login", "", "application/json", fmt.Sprintf(`{"username":%q,"password":%q}`, name, password))
	if err := json.Unmarshal([]byte(body), &out); err != nil || out.Token == "" {
		c.t.Fatalf("login: %s", body)
	}
	return out.Token
}

func (c client) do(method, target, token, kind, body string) (int, http.Header, string) {
	c.t.Helper()
	r, err := http.NewRequestWithContext(c.t.Context(), method, c.base+target, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	if kind != "" {
		r.Header.Set("Content-Type", kind)
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		c.t.Fatal(err)
	}
	defer answer.Body.Close()
	b, err := io.ReadAll(answer.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return answer.StatusCode, answer.Header, string(b)
}
