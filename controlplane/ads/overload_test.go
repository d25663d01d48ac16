package ads_test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/gabion-io/gabion/controlplane/ir"
	"github.com/gabion-io/gabion/controlplane/xds"
)

// The figure of memory comes from outside Envoy, because Envoy cannot see the
// filter's Go heap.
func TestEnvoyShedsLoadByMemory(t *testing.T) {
	t.Parallel()
	var pressure string
	w := newWorld(t, func(o *xds.BootstrapOptions) {
		pressure = filepath.Join(filepath.Dir(o.ADSSocket), "pressure")
		o.MemoryPressureFile = pressure
		write(t, pressure, "0.5")
	})
	port := freePort(t)
	w.serve(gateway(port, []ir.Cluster{clusterOf(t, "a", backend(t, "a"))}, route("/", "a")))
	answers := func(status int) func() error {
		return func() error {
			if resp, _ := get(t, client(), urlOf(port, "/")); resp.StatusCode != status {
				return fmt.Errorf("got %s", resp.Status)
			}
			return nil
		}
	}
	eventually(t, "requests are served", answers(200))
	write(t, pressure, "0.96")
	eventually(t, "requests are shed", answers(503))
	write(t, pressure, "0.5")
	eventually(t, "requests are served again", answers(200))
}

// write replaces a file by rename, which is what Envoy watches for.
func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

func TestEnvoyLimitsConnectionsOfAllListeners(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *xds.BootstrapOptions) { o.Connections = 3 })
	port := freePort(t)
	w.serve(gateway(port, []ir.Cluster{clusterOf(t, "a", backend(t, "a"))}, route("/", "a")))
	for range 6 {
		c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		fmt.Fprint(c, "GET / HTTP/1.1\r\nhost: a\r\n\r\n")
	}
	eventually(t, "connections beyond the limit are refused", func() error {
		n, err := w.envoy.stat("listener.127.0.0.1_" + fmt.Sprint(port) + ".downstream_global_cx_overflow")
		if err != nil || n < 3 {
			return fmt.Errorf("%d refused, %v", n, err)
		}
		return nil
	})
}
