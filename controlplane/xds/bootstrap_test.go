package xds_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gabion-io/gabion/controlplane/xds"
	"github.com/gabion-io/gabion/internal/envoybin/envoybintest"
)

func TestBootstrapIsValid(t *testing.T) {
	envoy := envoybintest.Need(t)
	dir := t.TempDir()
	pressure := filepath.Join(dir, "pressure")
	if err := os.WriteFile(pressure, []byte("0.1"), 0o600); err != nil {
		t.Fatal(err)
	}
	base := xds.BootstrapOptions{NodeID: "p", ADSSocket: "/run/ads.sock"}
	for name, change := range map[string]func(*xds.BootstrapOptions){
		"least": func(*xds.BootstrapOptions) {},
		"sotw":  func(o *xds.BootstrapOptions) { o.SotW = true },
		"all": func(o *xds.BootstrapOptions) {
			o.Cluster, o.ALSSocket, o.AdminSocket, o.Connections = "edge", "/run/als.sock", "/run/admin.sock", 10
			o.MemoryPressureFile = pressure
		},
		"cgroup": func(o *xds.BootstrapOptions) { o.CgroupMemory = 1 << 30 },
	} {
		t.Run(name, func(t *testing.T) {
			o := base
			change(&o)
			b, err := xds.Bootstrap(o)
			if err != nil {
				t.Fatal(err)
			}
			if again, _ := xds.Bootstrap(o); !bytes.Equal(b, again) {
				t.Error("equal options gave other bytes")
			}
			path := filepath.Join(dir, name+".json")
			if err := os.WriteFile(path, b, 0o600); err != nil {
				t.Fatal(err)
			}
			out, err := exec.Command(envoy, "--mode", "validate", "-c", path, "--log-level", "warning").CombinedOutput()
			if err != nil || strings.Contains(string(out), "deprecated") {
				t.Errorf("validate: %v\n%s", err, out)
			}
		})
	}
}

// The admin interface can end Envoy and show secrets: never on TCP.
func TestBootstrapNeverListensOnTCP(t *testing.T) {
	b, err := xds.Bootstrap(xds.BootstrapOptions{NodeID: "p", ADSSocket: "/a", ALSSocket: "/b", AdminSocket: "/c"})
	if err != nil {
		t.Fatal(err)
	}
	if !json.Valid(b) || bytes.Contains(b, []byte("socket_address")) {
		t.Errorf("a TCP address in the bootstrap:\n%s", b)
	}
}

func TestBootstrapSaysWhatIsWrong(t *testing.T) {
	for want, o := range map[string]xds.BootstrapOptions{
		"node id":          {ADSSocket: "/a"},
		"discovery socket": {NodeID: "p"},
		"longer than":      {NodeID: "p", ADSSocket: "/" + strings.Repeat("a", 120)},
		"not by both":      {NodeID: "p", ADSSocket: "/a", CgroupMemory: 1, MemoryPressureFile: "/b"},
		"state directory":  {NodeID: "p", ADSSocket: "/a", AdminSocket: "/" + strings.Repeat("a", 120)},
	} {
		if _, err := xds.Bootstrap(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: error %v, want %q in it", o, err, want)
		}
	}
}
