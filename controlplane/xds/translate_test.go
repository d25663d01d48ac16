package xds_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/gabion-io/gabion/controlplane/ir"
	"github.com/gabion-io/gabion/controlplane/xds"
	"github.com/gabion-io/gabion/controlplane/xds/xdstest"
)

func cases(t testing.TB) map[string]*xdstest.Case {
	t.Helper()
	list, err := xdstest.Load("testdata")
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]*xdstest.Case{}
	for _, c := range list {
		out[c.Name] = c
	}
	return out
}

func translate(t testing.TB, in *ir.IR, o xds.Options) *xds.Snapshot {
	t.Helper()
	s, err := xds.Translate(in, o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestOptionsAreChecked(t *testing.T) {
	for want, o := range map[string]xds.Options{
		"unknown transport": {Transport: "carrier pigeon"},
		"filter's socket":   {Transport: xds.ExtProc},
	} {
		if _, err := xds.Translate(&ir.IR{}, o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: error %v, want %q in it", o, err, want)
		}
	}
}

// A policy travels by ECDS alone: nothing that Envoy drains or rebuilds changes.
func TestPolicyChangesTouchOnlyTheTable(t *testing.T) {
	for _, name := range []string{"filter_module", "filter_extproc"} {
		c := cases(t)[name]
		before := translate(t, c.In, c.Options)
		l := &c.In.Listeners[0]
		l.FilterTable = bytes.Replace(l.FilterTable, []byte(`"policy": ""`), []byte(`"policy": "0123456789abcdef"`), 1)
		after := translate(t, c.In, c.Options)
		for _, typeURL := range xds.Types() {
			changed := before.Version(typeURL) != after.Version(typeURL)
			// Beside Envoy the table goes to the filter alone.
			if want := typeURL == xds.ExtensionType && name == "filter_module"; changed != want {
				t.Errorf("%s: %s changed: %v, want %v", name, typeURL, changed, want)
			}
		}
		if xds.VersionOf(before.Tables) == xds.VersionOf(after.Tables) {
			t.Errorf("%s: the table did not change", name)
		}
	}
}

func TestEndpointsReplaceOnlyEndpoints(t *testing.T) {
	c := cases(t)["plain"]
	before := translate(t, c.In, c.Options)
	endpoints := []ir.Endpoint{{Address: "127.0.0.9", Port: 9, Healthy: true}}
	after, err := before.WithEndpoints(map[string][]ir.Endpoint{"default/shop:8080": endpoints})
	if err != nil {
		t.Fatal(err)
	}
	c.In.Clusters[0].Endpoints = endpoints
	if compiled := translate(t, c.In, c.Options); compiled.ID() != after.ID() {
		t.Error("the fast path and a translation of the same endpoints differ")
	}
	if before.Version(xds.EndpointType) == after.Version(xds.EndpointType) {
		t.Error("endpoints did not change")
	}
	for name, list := range map[string][]ir.Endpoint{
		"default/gone:1":    nil,
		"default/shop:8080": {{Address: "shop.example", Port: 1}},
	} {
		if _, err := before.WithEndpoints(map[string][]ir.Endpoint{name: list}); err == nil {
			t.Errorf("%s: %v was taken", name, list)
		}
	}
}

// A changed cluster warms until its endpoints come again.
func TestEndpointsFollowTheirCluster(t *testing.T) {
	c := cases(t)["plain"]
	before := translate(t, c.In, c.Options)
	c.In.Clusters[0].Protocol = "http2"
	after := translate(t, c.In, c.Options)
	if before.Version(xds.EndpointType) == after.Version(xds.EndpointType) {
		t.Error("endpoints keep their version though the cluster changed")
	}
}

func TestBlame(t *testing.T) {
	c := cases(t)["filter_module"]
	s := translate(t, c.In, c.Options)
	gateway, route, policy := "Gateway default/web", "HTTPRoute default/shop", "WAFPolicy default/shop"
	for _, b := range []struct {
		typeURL string
		names   []string
		message string
		want    string
	}{
		{xds.ListenerType, []string{"default/web/http"}, "no", gateway},
		{xds.RouteType, []string{"default/web/http"}, "no", gateway + ", " + route},
		{xds.ExtensionType, []string{"gabion/default/web/http"}, "no", policy},
		{xds.ClusterType, []string{"default/shop:8080", "other"}, "bad other", ""},
		{xds.ClusterType, []string{"default/shop:8080", "other"}, "bad default/shop:8080: x", "Service default/shop"},
		{xds.ClusterType, []string{"default/shop:8080", "a"}, "adding a: no", ""},
		{xds.ClusterType, []string{"default/shop:8080"}, "my-default/shop:80801", "Service default/shop"},
		{xds.ClusterType, nil, "no", ""},
	} {
		var got []string
		for _, r := range xds.Blame(s, b.typeURL, b.names, b.message) {
			got = append(got, r.String())
		}
		if text := strings.Join(got, ", "); text != b.want {
			t.Errorf("%s %v: blamed %q, want %q", b.typeURL, b.names, text, b.want)
		}
	}
	if xds.Blame(nil, xds.ListenerType, []string{"x"}, "") != nil {
		t.Error("blamed someone without a snapshot")
	}
}

// Whatever the intent, Translate neither panics nor says anything that Envoy's
// own rules for its messages refuse, and says the same twice.
func FuzzTranslate(f *testing.F) {
	for _, c := range cases(f) {
		in, _ := c.File("in.json")
		f.Add(in, c.Options.Transport == xds.ExtProc)
	}
	f.Add([]byte("{\"Listeners\":[{\"Name\":\"\xff\"}]}"), false)
	f.Fuzz(func(t *testing.T, text []byte, beside bool) {
		var in ir.IR
		if json.Unmarshal(text, &in) != nil {
			return
		}
		o := xds.Options{ALS: xds.ALSCluster}
		if beside {
			o.Transport, o.FilterSocket = xds.ExtProc, "/run/filter.sock"
		}
		s := translate(t, &in, o)
		for typeURL, list := range s.Types {
			for _, r := range list {
				m, err := r.Any.UnmarshalNew()
				if err != nil {
					t.Fatalf("%s %q: %v", typeURL, r.Name, err)
				}
				if v, ok := m.(interface{ Validate() error }); ok && v.Validate() != nil {
					t.Errorf("%s %q: %v", typeURL, r.Name, v.Validate())
				}
			}
		}
		if s.ID() != translate(t, &in, o).ID() {
			t.Error("the same intent got two versions")
		}
	})
}

func TestTranslateSurvivesBrokenText(t *testing.T) {
	c := cases(t)["plain"]
	c.In.Listeners[0].Chains[0].VirtualHosts[0].Routes[0].Name = "a\xffb"
	c.In.Clusters[0].TLS = &ir.UpstreamTLS{SNI: "\xff", System: true}
	s := translate(t, c.In, c.Options)
	if len(s.Problems) != 2 || len(s.Types[xds.ListenerType]) != 0 {
		t.Errorf("problems %v", s.Problems)
	}
}
