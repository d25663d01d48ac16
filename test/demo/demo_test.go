// Package demo judges the demo application's requests with the filter's own
// engine: what it calls a false positive is one, and its everyday requests pass.
package demo

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/gabion-io/gabion/filters"
	"github.com/gabion-io/gabion/filters/chain"
	"github.com/gabion-io/gabion/internal/demo"
	wafrules "github.com/gabion-io/gabion/waf-rules"
)

func newJudge(t *testing.T) *chain.Judge {
	t.Helper()
	settings, err := json.Marshal(wafrules.Defaults())
	if err != nil {
		t.Fatal(err)
	}
	j, err := chain.NewJudge(filters.Policy{
		Mode: filters.ModeBlock, FailureMode: filters.FailClosed, WAF: settings,
		RequestBody: filters.BodyInspection{Inspect: true, Limit: 128 << 10, StructuredLimit: 1 << 20, Beyond: filters.BeyondPartial},
		Block:       filters.BlockResponse{Status: 403},
	}, chain.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(j.Close)
	return j
}

// wire is the request as a client puts it on the wire.
func wire(r demo.Request) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: harbour.example\r\nUser-Agent: curl/8.5.0\r\nAccept: */*\r\n", r.Method, r.Target)
	if r.Body != "" {
		fmt.Fprintf(&b, "Content-Type: %s\r\nContent-Length: %d\r\n", r.ContentType, len(r.Body))
	}
	return []byte(b.String() + "\r\n" + r.Body)
}

func TestFalsePositivesAreBlockedByTheirRuleAlone(t *testing.T) {
	j := newJudge(t)
	for _, r := range demo.FalsePositives() {
		v := j.DecideRaw(wire(r))
		if v.Event == nil || v.Decision != filters.Denied {
			t.Errorf("%s %s: %+v", r.Method, r.Target, v)
			continue
		}
		for _, m := range v.Event.Matches {
			if m.Rule != r.Rule {
				t.Errorf("%s %s: rule %d matched %s, not %d alone", r.Method, r.Target, m.Rule, m.Variable, r.Rule)
			}
		}
	}
}

func TestEverydayRequestsPass(t *testing.T) {
	j := newJudge(t)
	for _, r := range []demo.Request{
		{Method: "GET", Target: "/"},
		{Method: "GET", Target: "/search?q=tea"},
		{Method: "GET", Target: "/orders?account=ac-1001&limit=5"},
		{Method: "POST", Target: "/login", ContentType: "application/json", Body: `{"username":"ada","password":"analytical-engine"}`},
		{Method: "POST", Target: "/orders", ContentType: "application/json", Body: `{"account":"ac-1001","sku":"rope-12","quantity":2,"note":"Leave it at the jetty, please"}`},
		{Method: "POST", Target: "/reviews", ContentType: "application/x-www-form-urlencoded", Body: "sku=rope-12&stars=5&text=Would+moor+with+it+again"},
		{Method: "POST", Target: "/graphql", ContentType: "application/json", Body: `{"query":"{ products { sku name price } }"}`},
	} {
		if v := j.DecideRaw(wire(r)); v.Decision != filters.Allow || v.Event != nil {
			t.Errorf("%s %s: %+v, %+v", r.Method, r.Target, v, v.Event)
		}
	}
}
