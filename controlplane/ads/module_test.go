package ads_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/gabion-io/gabion/controlplane/ir"
	"github.com/gabion-io/gabion/controlplane/xds"
	"github.com/gabion-io/gabion/filters"
)

// table knows the key or does not; who is unknown is refused.
func table(t testing.TB, keys ...string) json.RawMessage {
	t.Helper()
	in := filters.Table{
		Listener: "default/web/http", Unknown: filters.FailClosed,
		Bindings: map[string]filters.Binding{}, Policies: map[string]filters.Policy{},
	}
	for _, k := range keys {
		in.Bindings[k] = filters.Binding{Route: "default/shop"}
	}
	b, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func needModule(t testing.TB) {
	t.Helper()
	if _, err := os.Stat(filepath.Join(moduleDir(), "libgabion.so")); err != nil {
		if os.Getenv("GABION_REQUIRE") != "" {
			t.Fatal("no bin/libgabion.so: run `make build`")
		}
		t.Skip("no bin/libgabion.so: run `make build`")
	}
}

// filtered puts the gateway's routes under the filter's key "shop", except /open.
func filtered(port uint32, cluster ir.Cluster, table json.RawMessage) *ir.IR {
	in := gateway(port, []ir.Cluster{cluster}, route("/open", cluster.Name),
		with(route("/", cluster.Name), func(r *ir.Route) { r.FilterKey = "shop" }))
	in.Listeners[0].FilterTable = table
	in.Listeners[0].FilterCauses = []ir.Ref{{Kind: "WAFPolicy", Namespace: "default", Name: "shop"}}
	return in
}

func TestEnvoyModuleTakesTables(t *testing.T) {
	t.Parallel()
	needModule(t)
	for _, sotw := range []bool{false, true} {
		t.Run(fmt.Sprintf("sotw=%v", sotw), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, func(o *xds.BootstrapOptions) { o.SotW = sotw })
			port := freePort(t)
			shop := clusterOf(t, "shop", backend(t, "a"))
			status := func(path string) int {
				resp, _ := get(t, client(), urlOf(port, path))
				return resp.StatusCode
			}
			w.serve(filtered(port, shop, table(t, "shop")))
			if got := status("/"); got != 200 {
				t.Errorf("a known key got %d", got)
			}

			// Fifty new tables under load: nothing fails, nothing drains.
			stop := make(chan struct{})
			group := load(t, port, stop)
			for i := range 50 {
				w.serve(filtered(port, shop, table(t, "shop", fmt.Sprintf("other-%d", i))))
			}
			close(stop)
			group.Wait()
			if n := w.envoy.mustStat("listener_manager.listener_modified"); n != 0 {
				t.Errorf("%d listeners were replaced by tables", n)
			}

			w.serve(filtered(port, shop, table(t)))
			eventually(t, "an unknown key is refused", func() error {
				if got := status("/"); got != 503 {
					return fmt.Errorf("status %d", got)
				}
				return nil
			})
			if got := status("/open"); got != 200 {
				t.Errorf("a route without key got %d", got)
			}

			// One that the filter refuses is blamed on the policy; the old stays.
			w.plane.SetSnapshot(w.translate(filtered(port, shop, json.RawMessage(`{"nonsense": 1}`))))
			select {
			case n := <-w.plane.nacks:
				if n.TypeURL != xds.ExtensionType || len(n.Causes) != 1 || n.Causes[0].Kind != "WAFPolicy" {
					t.Errorf("refusal %+v", n)
				}
				t.Log(n.Message)
			case <-time.After(patience):
				t.Fatal("no refusal")
			}
			if got := status("/"); got != 503 {
				t.Errorf("after a refused table: %d", got)
			}
		})
	}
}

// An Envoy that starts with a table that the filter refuses has no filter to
// ask: it answers 500, whatever the table says, and takes the next good one.
func TestEnvoyModuleStartsWithoutATable(t *testing.T) {
	t.Parallel()
	needModule(t)
	for _, text := range []string{
		`{"unknown": "open", "nonsense": 1}`,
		`{"unknown": "closed", "nonsense": 1}`,
	} {
		w := newWorld(t)
		port := freePort(t)
		w.plane.SetSnapshot(w.translate(filtered(port, clusterOf(t, "shop", backend(t, "a")), json.RawMessage(text))))
		eventually(t, "requests are refused", func() error {
			resp, err := client().Get(urlOf(port, "/"))
			if err != nil {
				return err
			}
			defer resp.Body.Close()
			if resp.StatusCode != http.StatusInternalServerError {
				return fmt.Errorf("%s: status %d", text, resp.StatusCode)
			}
			return nil
		})
		eventually(t, "the refusal is told", func() error {
			if n := w.plane.Nacks(); len(n) != 1 {
				return fmt.Errorf("refusals %v", n)
			}
			return nil
		})
		// The refusal ends with its cause.
		in := gateway(port, []ir.Cluster{clusterOf(t, "shop", backend(t, "a"))}, route("/", "shop"))
		w.plane.SetSnapshot(w.translate(in))
		eventually(t, "the refusal is gone", func() error {
			if n := w.plane.Nacks(); len(n) > 0 {
				return fmt.Errorf("%v", n)
			}
			return nil
		})
	}
}
