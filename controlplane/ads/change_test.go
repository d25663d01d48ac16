package ads_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gabion-io/gabion/controlplane/ads"
	"github.com/gabion-io/gabion/controlplane/ir"
	"github.com/gabion-io/gabion/controlplane/xds"
)

// load sends requests until stop is closed; none may fail.
func load(t *testing.T, port uint32, stop <-chan struct{}) *sync.WaitGroup {
	var group sync.WaitGroup
	for range 3 {
		group.Go(func() {
			c := &http.Client{Timeout: patience}
			for {
				select {
				case <-stop:
					return
				default:
				}
				r, err := c.Get(urlOf(port, "/"))
				if err != nil {
					t.Errorf("a request failed: %v", err)
					return
				}
				r.Body.Close()
				if r.StatusCode != 200 {
					t.Errorf("a request got %s", r.Status)
					return
				}
			}
		})
	}
	return &group
}

func backendSeen(c *http.Client, port uint32, want string) error {
	r, err := c.Get(urlOf(port, "/"))
	if err != nil {
		return err
	}
	defer r.Body.Close()
	if got := r.Header.Get("X-Backend"); got != want {
		return fmt.Errorf("answered by %q, want %q", got, want)
	}
	return nil
}

func TestEnvoyTakesEndpointsByTheFastPath(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := backend(t, "a"), backend(t, "b")
	port := freePort(t)
	w.serve(gateway(port, []ir.Cluster{clusterOf(t, "shop", a)}, route("/", "shop")))
	stop := make(chan struct{})
	group := load(t, port, stop)
	before := w.envoy.mustStat("cluster_manager.cds.update_success") + w.envoy.mustStat("listener_manager.lds.update_success")
	for _, to := range []struct {
		name string
		ir.Endpoint
	}{
		{"b", endpointOf(t, b.Listener.Addr().String())},
		{"a", endpointOf(t, a.Listener.Addr().String())},
		{"b", endpointOf(t, b.Listener.Addr().String())},
	} {
		if err := w.plane.SetEndpoints(map[string][]ir.Endpoint{"shop": {to.Endpoint}}); err != nil {
			t.Fatal(err)
		}
		eventually(t, "traffic goes to "+to.name, func() error { return backendSeen(client(), port, to.name) })
	}
	close(stop)
	group.Wait()
	if n := w.envoy.mustStat("cluster_manager.cds.update_success") + w.envoy.mustStat("listener_manager.lds.update_success") - before; n != 0 {
		t.Errorf("%d other updates came with the endpoints", n)
	}
	if err := w.plane.SetEndpoints(map[string][]ir.Endpoint{"nobody": nil}); err == nil {
		t.Error("endpoints of an unknown cluster were taken")
	}
}

// A changed cluster must not wait for endpoints that Envoy will not ask for again.
func TestEnvoyWarmsChangedClusters(t *testing.T) {
	t.Parallel()
	for _, sotw := range []bool{false, true} {
		t.Run(fmt.Sprintf("sotw=%v", sotw), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, func(o *xds.BootstrapOptions) { o.SotW = sotw })
			port := freePort(t)
			ca := newAuthority(t)
			in := gateway(port, []ir.Cluster{clusterOf(t, "shop", backend(t, "a"))}, route("/", "shop"))
			in.Secrets = []ir.Secret{bundleOf("ca", ca.pem)}
			w.serve(in)
			in.Clusters[0].TLS = &ir.UpstreamTLS{SNI: "inner.example", CA: "ca"}
			w.serve(in)
			if resp, _ := get(t, client(), urlOf(port, "/")); resp.StatusCode != 503 {
				t.Errorf("plain backend behind TLS answered %s", resp.Status)
			}
			if strings.Contains(w.envoy.log.String(), "initial fetch timeout") {
				t.Error("the cluster waited for its endpoints")
			}
		})
	}
}

// A route moves to another cluster and the old one goes: no request may see it missing.
func TestEnvoyMakesBeforeItBreaks(t *testing.T) {
	t.Parallel()
	for _, sotw := range []bool{false, true} {
		t.Run(fmt.Sprintf("sotw=%v", sotw), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, func(o *xds.BootstrapOptions) { o.SotW = sotw })
			a, b := backend(t, "a"), backend(t, "b")
			port := freePort(t)
			w.serve(gateway(port, []ir.Cluster{clusterOf(t, "a", a)}, route("/", "a")))
			stop := make(chan struct{})
			group := load(t, port, stop)
			for range 4 {
				w.serve(gateway(port, []ir.Cluster{clusterOf(t, "b", b)}, route("/", "b")))
				eventually(t, "b answers", func() error { return backendSeen(client(), port, "b") })
				w.serve(gateway(port, []ir.Cluster{clusterOf(t, "a", a)}, route("/", "a")))
				eventually(t, "a answers", func() error { return backendSeen(client(), port, "a") })
			}
			close(stop)
			group.Wait()
			eventually(t, "the cluster that left is gone", func() error {
				text, err := w.envoy.ask("/clusters")
				if err != nil {
					return err
				}
				if strings.Contains(text, "\nb::") || strings.HasPrefix(text, "b::") {
					return errors.New("still there")
				}
				return nil
			})
		})
	}
}

func TestEnvoyKeepsTheOldOnRefusal(t *testing.T) {
	t.Parallel()
	for _, sotw := range []bool{false, true} {
		t.Run(fmt.Sprintf("sotw=%v", sotw), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, func(o *xds.BootstrapOptions) { o.SotW = sotw })
			port := freePort(t)
			cluster := clusterOf(t, "a", backend(t, "a"))
			w.serve(gateway(port, []ir.Cluster{cluster}, route("/", "a")))

			// Go takes this expression and Envoy's runtime bound refuses it.
			bad := with(route("/", "a"), func(r *ir.Route) {
				r.Match.Path = ir.PathMatch{Kind: "regex", Value: "/" + strings.Repeat("(a|[^x]{1,40}){1,20}", 8)}
			})
			s := w.translate(gateway(port, []ir.Cluster{cluster}, bad))
			if err := w.plane.SetSnapshot(s); err != nil {
				t.Fatal(err)
			}
			var n ads.Nack
			select {
			case n = <-w.plane.nacks:
			case <-time.After(patience):
				t.Fatal("no refusal")
			}
			if n.TypeURL != xds.RouteType || len(n.Causes) == 0 || n.Node != "proxy-1" || n.Message == "" {
				t.Errorf("refusal %+v", n)
			}
			t.Logf("%s: %s: %v", n.Resources, n.Message, n.Causes)
			if resp, _ := get(t, client(), urlOf(port, "/")); resp.StatusCode != 200 {
				t.Errorf("the old configuration is gone: %s", resp.Status)
			}
			if got := w.plane.Nacks(); len(got) != 1 {
				t.Errorf("standing refusals: %v", got)
			}
			w.plane.SetSnapshot(w.translate(gateway(port, []ir.Cluster{cluster}, route("/new", "a"))))
			eventually(t, "the refusal is mended", func() error {
				if len(w.plane.Nacks()) > 0 {
					return errors.New("still stands")
				}
				return nil
			})
			select {
			case n := <-w.plane.nacks:
				t.Errorf("refused twice: a refused version was sent again: %+v", n)
			default:
			}
		})
	}
}

func TestEnvoyServesOnWithoutControlPlane(t *testing.T) {
	t.Parallel()
	for _, sotw := range []bool{false, true} {
		t.Run(fmt.Sprintf("sotw=%v", sotw), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, func(o *xds.BootstrapOptions) { o.SotW = sotw })
			a, b := backend(t, "a"), backend(t, "b")
			port := freePort(t)
			intent := func(cluster ir.Cluster) *ir.IR { return gateway(port, []ir.Cluster{cluster}, route("/", "shop")) }
			s := w.serve(intent(clusterOf(t, "shop", a)))
			stop := make(chan struct{})
			group := load(t, port, stop)
			w.plane.stop()
			for range 20 {
				if err := backendSeen(client(), port, "a"); err != nil {
					t.Errorf("without control plane: %v", err)
				}
			}
			before := updates(w)
			w.plane = startPlane(t, w.plane.socket, ads.Options{})
			if err := w.plane.SetSnapshot(s); err != nil {
				t.Fatal(err)
			}
			eventually(t, "the proxy is back and current", func() error {
				status := w.plane.Status()
				if len(status) != 1 || !status[0].Connected || len(status[0].Types) < 4 {
					return fmt.Errorf("status %+v", status)
				}
				for _, typ := range status[0].Types {
					if typ.Acked != s.Version(typ.TypeURL) {
						return fmt.Errorf("%s is at %q, want %q", typ.TypeURL, typ.Acked, s.Version(typ.TypeURL))
					}
					if typ.Sent != "" {
						t.Errorf("%s was pushed again after a restart", typ.TypeURL)
					}
				}
				return nil
			})
			if after := updates(w); after != before {
				t.Errorf("the restart caused updates: %s, then %s", before, after)
			}
			w.plane.SetSnapshot(w.translate(intent(clusterOf(t, "shop", b))))
			eventually(t, "a change arrives", func() error { return backendSeen(client(), port, "b") })
			close(stop)
			group.Wait()
		})
	}
}

// updates are Envoy's own counts of what it took.
func updates(w *world) string {
	var b strings.Builder
	for _, name := range []string{"cluster_manager.cds.update_success", "listener_manager.lds.update_success",
		"cluster.shop.update_success", "http.default/web/http.rds.default/web/http.update_success"} {
		fmt.Fprintf(&b, "%s=%d ", name, w.envoy.mustStat(name))
	}
	return b.String()
}

func TestStatusIsJSON(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.serve(gateway(freePort(t), []ir.Cluster{clusterOf(t, "a", backend(t, "a"))}, route("/", "a")))
	b, err := json.MarshalIndent(w.plane.Status(), "", " ")
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%s", b)
}
