package ads_test

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/gabion-io/gabion/controlplane/xds"
	"github.com/gabion-io/gabion/controlplane/xds/xdstest"
)

// TestEnvoyAcceptsGoldens serves every golden case of package xds to the real
// Envoy, on free ports, one after another.
func TestEnvoyAcceptsGoldens(t *testing.T) {
	t.Parallel()
	cases, err := xdstest.Load("../xds/testdata")
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, func(o *xds.BootstrapOptions) {
		o.ALSSocket = filepath.Join(filepath.Dir(o.ADSSocket), "als.sock")
	})
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			w.t = t
			if c.Options.Transport == xds.Module {
				needModule(t)
			}
			for i := range c.In.Listeners {
				l := &c.In.Listeners[i]
				l.Address, l.Port = fmt.Sprintf("127.0.0.%d", 1+i), freePort(t)
			}
			s, err := xds.Translate(c.In, c.Options)
			if err != nil {
				t.Fatal(err)
			}
			if err := w.plane.SetSnapshot(s); err != nil {
				t.Fatal(err)
			}
			w.settled()
		})
	}
}
