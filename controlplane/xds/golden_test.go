package xds_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/gabion-io/gabion/controlplane/xds"
	"github.com/gabion-io/gabion/controlplane/xds/xdstest"
)

var update = flag.Bool("update", false, "write the goldens anew")

// One case: go test ./controlplane/xds -run Golden/routing [-update]
// That the real Envoy accepts them is a test of controlplane/ads.
func TestGolden(t *testing.T) {
	cases, err := xdstest.Load("testdata")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			s, err := xds.Translate(c.In, c.Options)
			if err != nil {
				t.Fatal(err)
			}
			for name, got := range render(t, s) {
				if *update {
					c.Set(name, got)
					continue
				}
				want, _ := c.File(name)
				if diff := cmp.Diff(string(want), string(got)); diff != "" {
					t.Errorf("%s (-want +got, -update accepts):\n%s", name, diff)
				}
			}
			if *update {
				if err := os.WriteFile(c.Path, c.Format(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			again, err := xds.Translate(c.In, c.Options)
			if err != nil {
				t.Fatal(err)
			}
			if again.ID() != s.ID() {
				t.Error("the same intent got another version")
			}
		})
	}
}

// render gives the snapshot as the files of a case.
func render(t *testing.T, s *xds.Snapshot) map[string][]byte {
	t.Helper()
	out := map[string][]byte{
		"listeners.json":  resources(t, s.Types[xds.ListenerType]),
		"routes.json":     resources(t, s.Types[xds.RouteType]),
		"clusters.json":   resources(t, s.Types[xds.ClusterType]),
		"endpoints.json":  resources(t, s.Types[xds.EndpointType]),
		"extensions.json": resources(t, s.Types[xds.ExtensionType]),
		"tables.json":     resources(t, s.Tables),
	}
	var names, problems bytes.Buffer
	for _, r := range s.Types[xds.SecretType] { // their content is the PEM that went in
		fmt.Fprintln(&names, r.Name)
	}
	for _, p := range s.Problems {
		fmt.Fprintf(&problems, "%s: %s: %s\n", p.Resource, p.Part, p.Message)
	}
	out["secrets.txt"], out["problems.txt"] = names.Bytes(), problems.Bytes()
	return out
}

func resources(t *testing.T, list []xds.Resource) []byte {
	t.Helper()
	var out bytes.Buffer
	for _, r := range list {
		m, err := r.Any.UnmarshalNew()
		if err != nil {
			t.Fatal(err)
		}
		b, err := protojson.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Indent(&out, b, "", "  "); err != nil {
			t.Fatal(err)
		}
		out.WriteByte('\n')
	}
	return out.Bytes()
}
