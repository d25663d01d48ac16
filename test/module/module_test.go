package module

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gabion-io/gabion/filters"
)

// Both transports find the same in the same requests.
func TestVerdicts(t *testing.T) {
	found := map[string]map[string]*filters.Event{}
	t.Run("module", func(t *testing.T) { found["module"] = runVerdicts(t, startModule(t, "", tableOf(t))) })
	t.Run("extproc", func(t *testing.T) { found["extproc"] = runVerdicts(t, startExtProc(t, tableOf(t))) })
	for id, m := range found["module"] {
		if d := cmp.Diff(comparable(m), comparable(found["extproc"][id])); d != "" {
			t.Errorf("%s: module and ext_proc differ (-module +extproc):\n%s", id, d)
		}
	}
}

// comparable is an event without what differs from one request to the next.
func comparable(e *filters.Event) *filters.Event {
	if e == nil {
		return nil
	}
	c := *e
	c.ID, c.Time, c.RequestID, c.Micros = "", time.Time{}, "", 0
	return &c
}

func TestModuleConcurrent(t *testing.T) { runConcurrent(t, startModule(t, "", tableOf(t))) }

func TestModuleStreams(t *testing.T) {
	runStreams(t, startModule(t, "", tableOf(t)))
}

// A response that leaks is denied before any of it is sent.
func TestModuleResponse(t *testing.T) {
	runResponses(t, startModule(t, "", tableOf(t, inspectResponses)))
}

func inspectResponses(table *filters.Table) {
	policies := map[string]filters.Policy{}
	for key, b := range table.Bindings {
		p := table.Policies[b.Policy]
		p.ResponseBody = filters.BodyInspection{Inspect: true, Limit: 512 << 10, Beyond: filters.BeyondPartial}
		b.Policy = filters.PolicyID(p)
		policies[b.Policy], table.Bindings[key] = p, b
	}
	table.Policies = policies
}

func runResponses(t *testing.T, p *proxy) {
	leak := verdictCase{path: "leak"}
	for key, status := range map[string]int{"off": 200, "detect": 200, "block": 403} {
		a := leak.send(t, p, key, "leak-"+key)
		ev := p.logged(t, "leak-"+key).event(t)
		if a.Status != status || status == 403 && strings.Contains(string(a.Body), "SQL") {
			t.Errorf("%s: status %d, want %d: %s", key, a.Status, status, a.Body)
		}
		if key != "off" && (ev == nil || ev.OutScore == 0) {
			t.Errorf("%s: event %+v, want an outbound score", key, ev)
		}
	}
	runStreams(t, p)
}

// A route without the filter's key is left alone; a key the table does not
// know is answered by Table.Unknown.
func TestModuleKeys(t *testing.T) {
	runKeys(t, startModule(t, "", tableOf(t)))
}

func runKeys(t *testing.T, p *proxy) {
	attack := verdictCase{path: "items?id=" + sqlInjection}
	attack.unharmed(t, attack.send(t, p, "plain", "plain-1"))
	if a := attack.send(t, p, "missing", "missing-1"); a.Status != http.StatusServiceUnavailable {
		t.Errorf("unknown key: status %d, want 503", a.Status)
	}
	if ev := p.logged(t, "missing-1").event(t); ev == nil || ev.Decision != filters.Denied || ev.Engine != "chain" {
		t.Errorf("unknown key: event %+v", ev)
	}
	if a := attack.send(t, p, "nowhere", "nowhere-1"); a.Status != http.StatusNotFound {
		t.Errorf("no route: status %d, want Envoy's 404", a.Status)
	}
}

// The client's address is the one behind the trusted hop.
func TestModuleClient(t *testing.T) {
	runClient(t, startModule(t, "", tableOf(t)))
}

func runClient(t *testing.T, p *proxy) {
	c := verdictCase{path: "items?id=" + sqlInjection, header: map[string]string{"X-Forwarded-For": "203.0.113.9, 198.51.100.7"}}
	c.send(t, p, "detect", "client-1")
	ev := p.logged(t, "client-1").event(t)
	if ev == nil || ev.Client != "198.51.100.7" || ev.Host != "shop.example" || ev.Path != "/detect/items" || ev.Method != "GET" || ev.RequestID == "" || ev.Status != 200 {
		t.Errorf("event %+v", ev)
	}
}

// Envoy refuses a configuration whose table cannot be loaded, and says so.
func TestModuleRefusesBadTables(t *testing.T) {
	so := buildModule(t, "")
	bad := tableOf(t, func(table *filters.Table) {
		for id, p := range table.Policies {
			if p.Mode == filters.ModeBlock {
				p.WAF = []byte(`{"profile":"crs","paranoiaLevel":1,"inbound":5,"outbound":4,"maxArguments":1,"jsonDepth":1,"rules":["SecRule ARGS \"@rx (\" \"id:1,deny\""]}`)
				table.Policies[id] = p
			}
		}
	})
	for name, table := range map[string][]byte{
		"not JSON": []byte("{"), "unknown field": []byte(`{"listener":"x","nonsense":1}`), "bad rule": bad,
	} {
		dir := t.TempDir()
		b := bootstrap{dir: dir, upstream: "127.0.0.1:1", filter: moduleFilter(t, table)}
		out, err := validate(t, dir, setup{config: b.json(t), env: []string{"ENVOY_DYNAMIC_MODULES_SEARCH_PATH=" + so}})
		if err == nil || !contains(out, "refused a filter table") {
			t.Errorf("%s: Envoy took it: %v\n%s", name, err, out)
		}
	}
}

// A panic of ours is answered by the failure mode, and Envoy lives on.
func TestModuleSurvivesPanics(t *testing.T) {
	small := verdictCase{path: "orders", header: jsonBody, body: `{"item":7}`}
	long := verdictCase{path: "orders", header: jsonBody, body: longJSON(48<<10, "fine")}
	for where, c := range map[string]verdictCase{"hook": small, "goroutine": long} {
		t.Run(where, func(t *testing.T) {
			p := startModule(t, "gabionfault", tableOf(t), "GABION_TEST_PANIC="+where)
			for i, http2 := range []bool{false, true} {
				c.http2 = http2
				id := where + "-" + string(rune('0'+i))
				c.unharmed(t, c.send(t, p, "detect", id+"-detect"))
				if a := c.send(t, p, "block", id+"-block"); a.Status != http.StatusServiceUnavailable {
					t.Errorf("block: status %d, want 503", a.Status)
				}
			}
			if !contains(p.out.String(), "injected into "+where) {
				t.Error("nothing was injected")
			}
			if !p.alive() {
				t.Fatal("Envoy ended")
			}
		})
	}
}
