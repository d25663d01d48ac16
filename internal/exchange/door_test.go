package exchange

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func observed(t *testing.T, r Raw) *Observation {
	t.Helper()
	var o Observation
	(&Door{}).Observe(&r, &o)
	return &o
}

func pathOf(o *Observation) string {
	var parts []string
	for _, s := range o.Segments {
		parts = append(parts, s.Head+s.Kind.String()+s.Suffix)
	}
	return strings.Join(parts, "/")
}

func TestPaths(t *testing.T) {
	for in, want := range map[string]string{
		"/v1/users/17":             "version/word/small number",
		"/a/./b/../c":              "word/word",
		"/../../c":                 "word",
		"/.well-known/x":           "word/word",
		"//a":                      "empty/word",
		"/a%2Fb/c":                 "uri/word",
		"/Accounts/AC12.json":      "word/mixed.json",
		"/jobs/17:cancel":          "word/small number:cancel",
		"/Users('anna')/Posts":     "Users(word)/word",
		"/Lines(order=7,line=2)/a": "Lines(list)/word",
		"/Users(guid'4f9c')":       "Users(mixed)",
		"/cards/5555 4444":         "word/other",
		"/calls/+4930123456":       "word/token", // somebody's number is no word of the API
		"/mail/ada@example.com":    "word/email",
		"http://h/a/b?x#y":         "word/word",
		"/color=red;lat=1/end":     "other/word",
		"/%zz/ok":                  "other/word",
		"/pay/GB82WEST123456985":   "word/token",
	} {
		if got := pathOf(observed(t, Raw{Method: "GET", Host: "h", Path: in, Status: 200})); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}

// What sensitive data stands in a URL or a header is known by kind, and not kept.
func TestSensitiveParameters(t *testing.T) {
	o := observed(t, Raw{Method: "GET", Host: "h", Status: 200, Path: "/cards/4111111111111111/to/ada@example.com?email=x@example.com&t=eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abcdefgh&page=3&q=shoes&password=hunter2",
		Request: RawMessage{Headers: []Header{{"X-Caller-Phone", "+49 30 123456"}, {"X-Tenant", "acme"}}}})
	got := map[string]string{}
	for _, s := range o.Segments {
		if s.Sensitive != 0 {
			got["path "+s.Kind.String()] = s.Sensitive.String()
		}
	}
	for _, p := range o.Params {
		if p.Sensitive != 0 {
			got[p.In+" "+p.Name] = p.Sensitive.String()
		}
	}
	want := map[string]string{"path number": "payment-card", "path email": "email", "query email": "email", "query t": "jwt", "query password": "password", "header x-caller-phone": "phone"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// The words of parameters that are filled in with people do not pass the door.
func TestNamesStopAtTheDoor(t *testing.T) {
	o := observed(t, Raw{Method: "GET", Host: "h", Status: 200, Path: "/x;owner=anna/y?customer=anna&filter[name]=anna&assignee=anna&assignee=bob&to_users=x&sort=price",
		Request: RawMessage{Headers: []Header{{"X-Remote-User", "anna"}, {"X-Tenant", "acme"}, {"Cookie", "login_name=anna; theme=dark"}}}})
	var texts []string
	for _, p := range o.Params {
		for _, v := range append([]Value{p.Value}, p.More...) {
			if v.Text != "" {
				texts = append(texts, p.Name+" "+v.Text)
			}
		}
	}
	want := []string{"to_users x", "sort price", "x-tenant acme", "theme dark"}
	if diff := cmp.Diff(want, texts); diff != "" {
		t.Error(diff)
	}
}

// One name says different things of a header, a cookie and a parameter, and the same
// each time: a door that remembers says what one does that looks everything up.
func TestNamesAreRememberedApart(t *testing.T) {
	const value = "k3J9x2LmQ8vR5tYw"
	door := Door{Names: new(Names)}
	for range 2 {
		for _, name := range []string{"sid", "utm", "via", "theme", "owner", "circle-token", "api-key", "4711", "filter[name]", "ids[]", "x[ada@example.com]", "Theme", strings.Repeat("n", 80)} {
			for _, v := range []string{"word", value, "ada@example.com"} {
				r := Raw{Method: "GET", Host: "h", Status: 200, Path: "/a;" + name + "=" + v + "/b?" + name + "=" + v,
					Request: RawMessage{Headers: []Header{{name, v}, {"Cookie", name + "=" + v}}}}
				var got Observation
				door.Observe(&r, &got)
				if diff := cmp.Diff(observed(t, r), &got); diff != "" {
					t.Errorf("%s: %s: %s", name, v, diff)
				}
			}
		}
	}
}

func TestParameterForms(t *testing.T) {
	o := observed(t, Raw{Method: "GET", Host: "h", Status: 200, Path: "/x?expand[0]=a&expand[1]=b&filter[state]=open&created[gte]=1&by[a][b]=1&x[ada@example.com]=1&ids[]=1&zip=01234&n=1234"})
	var got []string
	for _, p := range o.Params {
		got = append(got, fmt.Sprint(p.Name, " deep ", p.Deep, " repeated ", p.Repeated, " ", p.Prefix, len(p.More)))
	}
	want := []string{"expand deep false repeated true 1", "filter[state] deep false repeated false 0", "created[gte] deep false repeated false 0", "by deep true repeated false 0", "x deep true repeated false 0",
		"ids[] deep false repeated false 0", "zip deep false repeated false 00", "n deep false repeated false 0"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestCredentials(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	token := func(head, claims, signature string) string {
		e := base64.RawURLEncoding
		return e.EncodeToString([]byte(head)) + "." + e.EncodeToString([]byte(claims)) + "." + signature
	}
	soon, past := fmt.Sprintf(`,"exp":%d`, at.Add(time.Hour).Unix()), fmt.Sprintf(`,"exp":%d`, at.Add(-time.Hour).Unix())
	const key = "k3J9x2LmQ8vR5tYw"
	for _, c := range []struct{ name, value, want string }{
		{"Authorization", "Bearer " + token(`{"alg":"RS256"}`, `{"sub":"a","iss":"i","aud":["b","c"]`+soon+`}`, "c2ln"), "bearer bearer JWT  RS256 i b [] subject"},
		{"Authorization", "Bearer " + token(`{"alg":"nOnE"}`, `{"sub":"a"`+soon+`}`, ""), "bearer bearer JWT  nOnE   [has the algorithm none] subject"},
		{"Authorization", "Bearer " + token(`{"alg":"HS256"}`, `{"sub":"a"`+past+`}`, ""), "bearer bearer JWT  HS256   [has no signature had expired] subject"},
		{"Authorization", "JWT " + token(`{"alg":"HS256"}`, `{"sub":"a"}`, "x"), "digest jwt JWT  HS256   [never expires] subject"},
		{"Authorization", "Bearer " + token(`{"alg":"Ann4"}`, `{"sub":"a","iss":"https://id.example/realms/x","aud":"ada@example.com"`+soon+`}`, "x"), "bearer bearer JWT  other https://id.example/realms/x {email} [] subject"},
		{"Authorization", "Bearer " + token(`{"alg":"ES256"}`, `{"sub":"a","iss":"DE89370400440532013000","aud":["0b5e3f0a-9c1d-4e55-8a00-d50f75f0b6fe"]`+soon+`}`, "x"), "bearer bearer JWT  ES256 {value} 0b5e3f0a-9c1d-4e55-8a00-d50f75f0b6fe [] subject"},
		{"X-Auth-Token", token(`{"alg":"none"}`, `{"sub":"a","iss":"i"`+soon+`}`, ""), "apiKey   x-auth-token none i  [has the algorithm none] subject"},
		{"Cookie", "session=" + token(`{"alg":"HS256"}`, `{"sub":"a"}`, "x") + "; theme=dark", "cookie   session HS256   [never expires] subject"},
		{"Authorization", "Bearer " + key, "bearer bearer      [] key"},
		{"Authorization", "Basic YTpi", "basic basic      [] subject"},
		{"Circle-Token", key, "apiKey   circle-token    [] key"},
		{"X-RapidAPI-Key", key, "apiKey   x-rapidapi-key    [] key"},
		{"X-Shopify-Access-Token", "x", "apiKey   x-shopify-access-token    [] key"},
		{"X-CSRF-Token", key, "none       [] "},
		{"Idempotency-Key", key, "none       [] "},
		{"X-Page-Token", key, "none       [] "},
		{"X-Sort-Key", "name", "none       [] "},
	} {
		o := observed(t, Raw{Time: at, Method: "GET", Host: "h", Path: "/", Status: 200, Request: RawMessage{Headers: []Header{{c.name, c.value}}}})
		a := o.Auth[0]
		if got := strings.Join([]string{a.Kind, a.Scheme, a.Format, a.Name, a.Alg, a.Issuer, a.Audience, fmt.Sprint(a.Weak), o.Caller.Kind}, " "); len(o.Auth) != 1 || got != c.want {
			t.Errorf("%s: %s: %q, want %q", c.name, c.value, got, c.want)
		}
	}
}

// A token in the URL is read like any other, once, and stays there.
func TestTokenInQuery(t *testing.T) {
	unsigned := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)) + "." + base64.RawURLEncoding.EncodeToString([]byte(`{"sub":"ada","exp":99999999999}`)) + "."
	o := observed(t, Raw{Method: "GET", Host: "h", Path: "/x?access_token=" + unsigned + "&page=2&access_token=y", Status: 200})
	want := []AuthSeen{{Kind: "apiKey", In: "query", Name: "access_token", Alg: "none", Weak: []string{"has the algorithm none"}}}
	if diff := cmp.Diff(want, o.Auth); diff != "" {
		t.Error(diff)
	}
	if len(o.Params) != 1 || o.Caller.Kind != "subject" {
		t.Errorf("%+v %+v", o.Params, o.Caller)
	}
}

// What is asked to become a socket and answers with a document is none.
func TestSockets(t *testing.T) {
	for status, want := range map[int]string{101: "websocket", 200: "", 302: "", 401: "websocket", 426: "websocket"} {
		o := observed(t, Raw{Method: "GET", Host: "h", Path: "/live", Status: status, Request: RawMessage{Headers: []Header{{"Upgrade", "websocket"}}}})
		if o.Protocol != want {
			t.Errorf("%d: %q", status, o.Protocol)
		}
	}
}

// How a call streams shows in its bodies, and how it ended in its own status.
func TestGRPC(t *testing.T) {
	one, two := "\x00\x00\x00\x00\x02\x08\x01", "\x00\x00\x00\x00\x00\x01\x00\x00\x00\x09cut"
	for _, c := range []struct {
		up, down, status, streaming string
		answered                    int
	}{{one, one, "0", "", 200}, {two, one, "0", "client", 200}, {one, two, "0", "server", 200}, {two, two, "0", "bidi", 200}, {one, "", "12", "", 404}, {one, "", "16", "", 401}, {"{}", "x", "", "", 200}} {
		o := observed(t, Raw{Method: "POST", Host: "h", Path: "/shop.Orders/Get", Status: 200,
			Request:  RawMessage{Headers: []Header{{"content-type", "application/grpc+proto"}}, Body: []byte(c.up)},
			Response: RawMessage{Headers: []Header{{"grpc-status", c.status}}, Body: []byte(c.down)}})
		if o.Protocol != "grpc" || o.Streaming != c.streaming || o.Status != c.answered {
			t.Errorf("%+v: %s %s %d", c, o.Protocol, o.Streaming, o.Status)
		}
	}
	page := observed(t, Raw{Method: "POST", Host: "h", Path: "/shop.Orders/Get", Status: 200, Request: RawMessage{Headers: []Header{{"content-type", "application/grpc"}}},
		Response: RawMessage{Headers: []Header{{"content-type", "text/html"}}}})
	if page.Protocol != "" {
		t.Errorf("answered with a page it is %s", page.Protocol)
	}
	counted := observed(t, Raw{Method: "POST", Host: "h", Path: "/shop.Orders/Watch", Status: 200,
		Request: RawMessage{Headers: []Header{{"content-type", "application/grpc"}}, Messages: 1}, Response: RawMessage{Messages: 7}})
	if counted.Streaming != "server" {
		t.Errorf("%+v", counted)
	}
}

// An event stream that was refused is one all the same; one that answers a POST
// streams.
func TestEventStreams(t *testing.T) {
	events := []Header{{"Content-Type", "text/event-stream; charset=utf-8"}}
	for _, c := range []struct {
		method, accept      string
		status              int
		answer              []Header
		protocol, streaming string
	}{
		{"GET", "", 200, events, "sse", ""}, {"GET", "text/event-stream", 401, nil, "sse", ""}, {"GET", "text/event-stream", 200, nil, "", ""},
		{"GET", "*/*", 401, nil, "", ""}, {"POST", "application/json, text/event-stream", 200, events, "", "server"},
	} {
		o := observed(t, Raw{Method: c.method, Host: "h", Path: "/events", Status: c.status, Request: RawMessage{Headers: []Header{{"Accept", c.accept}}}, Response: RawMessage{Headers: c.answer}})
		if o.Protocol != c.protocol || o.Streaming != c.streaming {
			t.Errorf("%+v: %q %q", c, o.Protocol, o.Streaming)
		}
	}
}
