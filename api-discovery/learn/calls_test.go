package learn

import (
	"encoding/base64"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gabion-io/gabion/api-discovery"
	"github.com/gabion-io/gabion/internal/exchange"
)

// post makes an exchange with a JSON body; without one it has a body that nobody
// looked into.
func post(path, body, answer string) exchange.Raw {
	media := []exchange.Header{{Name: "content-type", Value: "application/json"}}
	r := exchange.Raw{Method: "POST", Host: "h", Path: path, Status: 200, Request: exchange.RawMessage{Headers: media, Body: []byte(body)}, Response: exchange.RawMessage{Headers: media, Body: []byte(answer)}}
	if body == "" {
		r.Request.Size, r.Response.Size = 200, 400
	}
	return r
}

// jwt is one of three parts.
func jwt(head, claims, signature string) string {
	e := base64.RawURLEncoding
	return e.EncodeToString([]byte(head)) + "." + e.EncodeToString([]byte(claims)) + "." + signature
}

// asideOf is how many exchanges were counted aside for a reason.
func asideOf(s apidiscovery.Spec, reason string) uint64 {
	for _, a := range s.Aside {
		if a.Reason == reason {
			return a.Count
		}
	}
	return 0
}

// A call whose body was not looked into is one of those that are known by name, and
// no operation of its own.
func TestCallsNotLookedInto(t *testing.T) {
	var list []exchange.Raw
	for range 20 {
		list = append(list, post("/graphql", `{"query":"{ viewer { login } }"}`, `{"data":{"viewer":{"login":"x"}}}`), post("/things", "", ""))
	}
	for range 200 {
		list = append(list, post("/graphql", "", ""))
	}
	refused := post("/graphql", "", "")
	refused.Status = 401
	list = append(list, refused, exchange.Raw{Method: "GET", Host: "h", Path: "/graphql", Status: 200})
	l := learned(list, inOrder(len(list)))
	for _, l := range []*Learner{l, storedAs(t, l, "h")} {
		spec := l.Conclude(nil)[0]
		if diff := cmp.Diff([]string{"GET /graphql", "POST /graphql query viewer", "POST /things"}, templates([]apidiscovery.Spec{spec})); diff != "" {
			t.Error(diff)
		}
		if n := asideOf(spec, "unread"); n != 201 {
			t.Errorf("%d aside: %+v", n, spec.Aside)
		}
	}
}

// A call that is answered with an error, whatever the HTTP status, proves no
// operation, and counts for one that is known.
func TestRefusedCalls(t *testing.T) {
	const noMethod = `{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"Method not found"}}`
	list := []exchange.Raw{
		post("/rpc", `{"jsonrpc":"2.0","id":1,"method":"orders.get","params":[1]}`, `{"jsonrpc":"2.0","id":1,"result":{"id":1}}`),
		post("/rpc", `{"jsonrpc":"2.0","id":1,"method":"orders.get","params":[2]}`, `{"jsonrpc":"2.0","id":1,"error":{"code":-32000,"message":"no such order"}}`),
		post("/rpc", `{"jsonrpc":"2.0","id":1,"method":"admin.dump"}`, noMethod),
		post("/rpc", `[{"jsonrpc":"2.0","id":7,"method":"orders.list"},{"jsonrpc":"2.0","id":8,"method":"admin.list"}]`,
			`[{"jsonrpc":"2.0","id":8,"error":{"code":-32601,"message":"?"}},{"jsonrpc":"2.0","id":7,"result":[]}]`),
		post("/mcp", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"search"}}`, "event: message\ndata: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"content\":[]}}\n\n"),
		post("/mcp", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"nosuch"}}`, "event: message\ndata: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"content\":[],\"isError\":true}}\n\n"),
		post("/mcp", `{"jsonrpc":"2.0","method":"notifications/initialized"}`, ""),
		post("/graphql", `{"query":"{ viewer { login } }"}`, `{"data":{"viewer":null},"errors":[{"message":"x"}]}`),
		post("/graphql", `{"query":"{ secrets { all } }"}`, `{"errors":[{"message":"Cannot query field \"secrets\""}]}`),
	}
	for i := range list {
		if list[i].Path == "/mcp" {
			list[i].Response.Headers = []exchange.Header{{Name: "content-type", Value: "text/event-stream"}}
		}
	}
	l := learned(list, inOrder(len(list)))
	want := []string{"POST /graphql query viewer", "POST /mcp notifications/initialized", "POST /mcp tools/call search", "POST /rpc orders.get", "POST /rpc orders.list"}
	for _, l := range []*Learner{l, storedAs(t, l, "h")} {
		spec := l.Conclude(nil)[0]
		if diff := cmp.Diff(want, templates([]apidiscovery.Spec{spec})); diff != "" {
			t.Error(diff)
		}
		if n := asideOf(spec, "unproven"); n != 4 {
			t.Errorf("%d aside: %+v", n, spec.Aside)
		}
		for _, o := range spec.Operations {
			if o.Name == "orders.get" && (o.Traffic.Count != 2 || o.Evidence.Successes != 1) {
				t.Errorf("%s: %d exchanges, %d successes", o.Name, o.Traffic.Count, o.Evidence.Successes)
			}
		}
	}
}

// What was refused says nothing about what is taken: neither what bodies there are,
// nor who may issue tokens.
func TestRefusedSaysNothing(t *testing.T) {
	send := func(media, issuer string, status int) exchange.Raw {
		r := post("/orders", `{"sku":"x"}`, `{"id":1}`)
		r.Status = status
		r.Request.Headers = []exchange.Header{{Name: "content-type", Value: media}, {Name: "authorization", Value: "Bearer " + jwt(`{"alg":"RS256"}`, fmt.Sprintf(`{"sub":"a","iss":%q}`, issuer), "c2ln")}}
		return r
	}
	var list []exchange.Raw
	for i := range 10 {
		list = append(list, send(fmt.Sprintf("application/x-evil%c", 'a'+i), "https://good.example", 415), send("application/json", fmt.Sprintf("https://%c.evil.example", 'a'+i), 401), send("application/json", "https://good.example", 200))
	}
	o := learned(list, inOrder(len(list))).Conclude(nil)[0].Operations[0]
	if len(o.Request) != 1 || o.Request[0].MediaType != "application/json" || o.Request[0].Count != 10 {
		t.Errorf("bodies: %+v", o.Request)
	}
	if len(o.Auth) != 1 || fmt.Sprint(o.Auth[0].Issuers) != "[https://good.example]" || o.Auth[0].Count != 30 {
		t.Errorf("%+v", o.Auth)
	}
}
