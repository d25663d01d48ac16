package module

import (
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gabion-io/gabion/filters"
)

// onlyAPI gives the bindings API protection in their mode, and no WAF.
func onlyAPI(table *filters.Table) {
	for _, mode := range []filters.Mode{filters.ModeOff, filters.ModeDetect, filters.ModeBlock} {
		p := filters.Policy{Mode: filters.ModeOff, API: &filters.API{
			Mode: mode, UnknownOperations: filters.UnknownDeny, UnknownParameters: filters.UnknownDeny, BodyLimit: 256 << 10,
			Operations: []filters.APIOperation{
				{Method: "GET", Path: "/{mode}/items/{id}", Parameters: []filters.APIParameter{
					{In: "path", Name: "id", Schema: []byte(`{"type":"integer"}`)}, {In: "query", Name: "limit", Schema: []byte(`{"type":"integer","maximum":100}`)}}},
				{Method: "POST", Path: "/{mode}/orders", Body: &filters.APIRequestBody{Required: true, Content: []filters.APIContent{{ContentType: "application/json",
					Schema: []byte(`{"type":"object","required":["item"],"properties":{"item":{"type":"integer"},"pad":{},"last":{},"note":{"type":"string"}},"additionalProperties":false}`)}}}},
				{Method: "GET", Path: "/{mode}/answers", Responses: []filters.APIResponse{{Status: "2XX", Content: []filters.APIContent{{ContentType: "application/json",
					Schema: []byte(`{"type":"object","properties":{"Method":{"type":"string"},"Size":{"type":"string"}}}`)}}}}},
			},
		}}
		id := filters.PolicyID(p)
		table.Policies[id] = p
		table.Bindings[string(mode)] = filters.Binding{Policy: id, Route: "default/shop", Rule: "0", APISource: "APIPolicy default/shop"}
	}
}

// apiCases are requests with what block mode answers; 200: what the upstream does, of
// which a violation is only told.
var apiCases = []struct {
	verdictCase
	status    int
	violation string
}{
	{verdictCase{name: "known", path: "items/7?limit=10"}, 200, ""},
	{verdictCase{name: "path", path: "items/seven"}, 400, "path id is a string, not an integer"},
	{verdictCase{name: "query", path: "items/7?limit=1000"}, 400, "query limit is more than 100"},
	{verdictCase{name: "unknown query", path: "items/7?admin=1", http2: true}, 400, "query admin is not declared"},
	{verdictCase{name: "unknown", path: "admin"}, 404, "operation is not one of the API"},
	{verdictCase{name: "method", method: "DELETE", path: "items/7"}, 405, "operation is not one of the API: the path has other methods"},
	{verdictCase{name: "json", path: "orders", header: jsonBody, body: `{"item":7,"note":"fine"}`}, 200, ""},
	{verdictCase{name: "json chunked", path: "orders", header: jsonBody, body: `{"item":7}`, chunked: true}, 200, ""},
	{verdictCase{name: "long json", path: "orders", header: jsonBody, body: `{"item":7,` + longJSON(100<<10, "fine")[1:]}, 200, ""},
	{verdictCase{name: "json wrong", path: "orders", header: jsonBody, body: `{"item":"7","isAdmin":true}`}, 400, "body /isAdmin is not declared"},
	{verdictCase{name: "json wrong chunked", path: "orders", header: jsonBody, body: `{"note":5,"item":1}`, chunked: true}, 400, "body /note is a number, not a string"},
	{verdictCase{name: "json wrong http2", path: "orders", header: jsonBody, body: `{"item":7,"item":8}`, http2: true}, 400, "body has a member twice: which one counts is anybody's guess"},
	{verdictCase{name: "trailers wrong", path: "orders", header: jsonBody, body: `{"item":null}`, tail: true}, 400, "body /item is null, not an integer"},
	{verdictCase{name: "form", path: "orders", header: form, body: "item=7"}, 415, "body has a content type that is not declared"},
	{verdictCase{name: "no body", method: "POST", path: "orders"}, 400, "body is missing"},
	{verdictCase{name: "response", path: "answers"}, 200, "response /Size is a number, not a string"},
	{verdictCase{name: "response http2", path: "answers", http2: true}, 200, "response /Size is a number, not a string"},
	{verdictCase{name: "too long", path: "orders", header: jsonBody, body: longJSON(300<<10, "fine")}, 413, "body is longer than 262144 bytes"},
}

// API protection alone: off sees nothing, detect changes nothing and tells, block
// denies. Both transports alike.
func TestAPIProtection(t *testing.T) {
	found := map[string]map[string]*filters.Event{}
	t.Run("module", func(t *testing.T) { found["module"] = runAPI(t, startModule(t, "", tableOf(t, onlyAPI))) })
	t.Run("extproc", func(t *testing.T) { found["extproc"] = runAPI(t, startExtProc(t, tableOf(t, onlyAPI))) })
	for id, m := range found["module"] {
		if d := cmp.Diff(withoutStatus(m), withoutStatus(found["extproc"][id])); d != "" {
			t.Errorf("%s: module and ext_proc differ (-module +extproc):\n%s", id, d)
		}
	}
}

// withoutStatus: once the request is judged Envoy does not ask ext_proc about the
// response any more, and its status is the access log's to tell.
func withoutStatus(e *filters.Event) *filters.Event {
	c := comparable(e)
	if c != nil {
		c.Status = 0
	}
	return c
}

func runAPI(t *testing.T, p *proxy) map[string]*filters.Event {
	found := map[string]*filters.Event{}
	for _, key := range []string{"off", "detect", "block"} {
		for _, c := range apiCases {
			id := "api-" + key + "-" + c.name
			a := c.send(t, p, key, id)
			e := p.logged(t, id).event(t)
			found[id] = e
			if key != "block" || c.status == http.StatusOK {
				c.unharmed(t, a)
			} else if a.Status != c.status {
				t.Errorf("%s: status %d, want %d: %s", id, a.Status, c.status, a.Body)
			}
			switch {
			case key == "off" || c.violation == "":
				if e != nil {
					t.Errorf("%s: event %+v, want none", id, e)
				}
			case e == nil || e.API == nil || e.API.Violations[0].String() != c.violation || c.status != http.StatusOK && e.WouldBe != c.status || e.Policy != "APIPolicy default/shop":
				t.Errorf("%s: event %+v, want %q", id, e, c.violation)
			}
		}
	}
	if !p.alive() {
		t.Fatal("Envoy ended")
	}
	return found
}
