package module

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gabion-io/gabion/filters"
	"github.com/gabion-io/gabion/internal/envoybin/envoybintest"
)

// discovered is a filter whose configuration is a file that Envoy watches: ECDS
// without a control plane.
func discovered(path string) object {
	return object{"name": "gabion", "config_discovery": object{
		"config_source": object{"path_config_source": object{"path": path}, "initial_fetch_timeout": "10s"},
		"type_urls":     list{"type.googleapis.com/envoy.extensions.filters.http.dynamic_modules.v3.DynamicModuleFilter"},
	}}
}

// publish replaces the discovered configuration in one step.
func publish(t testing.TB, path, version string, table []byte) {
	t.Helper()
	f := moduleFilter(t, table)
	b, err := json.Marshal(object{"version_info": version, "resources": list{object{
		"@type": "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig", "name": "gabion", "typed_config": f.HTTPFilter["typed_config"],
	}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path+".new", b, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

func startDiscovered(t *testing.T) (p *proxy, file string) {
	t.Helper()
	envoybintest.Need(t)
	dir := t.TempDir()
	file = filepath.Join(dir, "filter.json")
	publish(t, file, "0", tableOf(t))
	b := bootstrap{dir: dir, upstream: startUpstream(t), filter: moduleFilter(t, tableOf(t)), found: discovered(file)}
	return startEnvoy(t, dir, setup{config: b.json(t), env: []string{"ENVOY_DYNAMIC_MODULES_SEARCH_PATH=" + buildModule(t, "")}}), file
}

// blockWith makes the block key answer with a status of its own.
func blockWith(status int) func(*filters.Table) {
	return func(table *filters.Table) {
		b := table.Bindings["block"]
		p := table.Policies[b.Policy]
		delete(table.Policies, b.Policy)
		p.Block.Status = status
		b.Policy = filters.PolicyID(p)
		table.Policies[b.Policy], table.Bindings["block"] = p, b
	}
}

// A new table is in force on the same connection; one that cannot be loaded is
// refused and the old one stays.
func TestModuleUpdate(t *testing.T) {
	p, file := startDiscovered(t)
	c := &http.Client{Timeout: patience, Transport: &http.Transport{MaxConnsPerHost: 1}}
	status := func() int {
		res, err := c.Get("http://" + p.addr + "/block/items?id=" + sqlInjection)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, res.Body)
		_ = res.Body.Close()
		return res.StatusCode
	}
	if s := status(); s != 403 {
		t.Fatalf("status %d, want 403", s)
	}
	publish(t, file, "1", tableOf(t, blockWith(418)))
	eventually(t, "the new table", func() bool { return status() == 418 })
	publish(t, file, "2", []byte(`{"nonsense":true}`))
	eventually(t, "the refusal", func() bool { return strings.Contains(p.out.String(), "refused a filter table") })
	if s := status(); s != 418 {
		t.Errorf("after the refusal: status %d, want the old table's 418", s)
	}
	publish(t, file, "3", tableOf(t))
	eventually(t, "the next table", func() bool { return status() == 403 })
	if n := destroyed(t, p); n != 0 {
		t.Errorf("%d connections closed by the server", n)
	}
}

// destroyed counts the connections Envoy closed on its own account.
func destroyed(t *testing.T, p *proxy) int {
	b, err := p.get("/stats?filter=downstream_cx_destroy_local$&format=text")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, line := range strings.Split(strings.TrimSpace(string(b)), "\n") {
		var v int
		if name, value, ok := strings.Cut(line, ": "); ok && strings.HasPrefix(name, "http.in.") {
			_, _ = fmt.Sscan(value, &v)
			n += v
		}
	}
	return n
}

// Changes under load: no request fails, each is judged by one table or the next.
func TestModuleChangesUnderLoad(t *testing.T) {
	p, file := startDiscovered(t)
	var wg sync.WaitGroup
	var sent atomic.Int64
	done := make(chan struct{})
	for i := range 4 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			c := client(i%2 == 0)
			for {
				select {
				case <-done:
					return
				default:
				}
				attack := sent.Add(1)%3 == 0
				path := "/block/items?id=7"
				if attack {
					path = "/block/items?id=" + sqlInjection
				}
				res, err := c.Get("http://" + p.addr + path)
				if err != nil {
					t.Error(err)
					return
				}
				_, _ = io.Copy(io.Discard, res.Body)
				_ = res.Body.Close()
				if ok := res.StatusCode == 200; ok == attack || !ok && res.StatusCode != 403 && res.StatusCode != 418 {
					t.Errorf("attack %v: status %d", attack, res.StatusCode)
				}
			}
		}()
	}
	for i := range 30 {
		publish(t, file, fmt.Sprint(i+1), tableOf(t, blockWith([]int{403, 418}[i%2])))
		time.Sleep(20 * time.Millisecond)
	}
	close(done)
	wg.Wait()
	if !p.alive() {
		t.Fatal("Envoy ended")
	}
	t.Logf("%d requests", sent.Load())
}

// Clients that go away while their body is judged take nobody with them.
func TestModuleAborts(t *testing.T) {
	p := startModule(t, "", tableOf(t))
	body := longJSON(96<<10, plainSQLi)
	var wg sync.WaitGroup
	for i := range 60 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(1+i)*2*time.Millisecond)
			defer cancel()
			req, err := http.NewRequestWithContext(ctx, "POST", "http://"+p.addr+"/"+[]string{"block", "detect"}[i%2]+"/orders", strings.NewReader(body))
			if err != nil {
				t.Error(err)
				return
			}
			req.Header.Set("Content-Type", "application/json")
			if res, err := client(i%3 == 0).Do(req); err == nil {
				_, _ = io.Copy(io.Discard, res.Body)
				_ = res.Body.Close()
			}
		}()
	}
	wg.Wait()
	c := verdictCase{path: "orders", header: jsonBody, body: `{"item":7}`}
	c.unharmed(t, c.send(t, p, "block", "after-aborts"))
	if !p.alive() || strings.Contains(p.out.String(), "recovered a panic") {
		t.Fatal("Envoy suffered")
	}
}
