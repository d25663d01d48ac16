package flags

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gabion-io/gabion/controlplane/api/v1alpha1"
	"github.com/gabion-io/gabion/controlplane/compile"
	"github.com/gabion-io/gabion/controlplane/source"
)

var update = flag.Bool("update", false, "write the expected output of testdata")

// TestUp holds the text for each kind of upstream, and that it compiles without
// a bad condition.
func TestUp(t *testing.T) {
	for name, u := range map[string]Up{
		"address": {Listen: "127.0.0.1:8080", Upstream: "http://127.0.0.1:3000", Record: true},
		"name":    {Listen: ":8080", Upstream: "http://localhost"},
		"https":   {Listen: "[::1]:8443", Upstream: "https://api.example.com/v2/", Mode: "block", Record: true},
		"ipv6":    {Listen: "localhost:8080", Upstream: "http://[::1]:3000"},
	} {
		t.Run(name, func(t *testing.T) {
			text, err := Text(u)
			if err != nil {
				t.Fatal(err)
			}
			golden := filepath.Join("testdata", name+".yaml")
			if *update {
				if err := os.WriteFile(golden, []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), text); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			set, err := decoded(u)
			if err != nil {
				t.Fatal(err)
			}
			r := compile.Compile(set, compile.Options{Now: time.Now(), RecordKey: make([]byte, 32)})
			for _, c := range r.Conditions {
				if c.Bad() {
					t.Errorf("%s %s: %s", c.Key(), c.Path, c.Message)
				}
			}
			if len(r.IR.Listeners) != 1 || len(r.IR.Clusters) != 1 {
				t.Errorf("got %d listeners and %d clusters, want one each", len(r.IR.Listeners), len(r.IR.Clusters))
			}
		})
	}
}

func TestUpRefuses(t *testing.T) {
	for _, c := range []struct {
		u    Up
		want string
	}{
		{Up{Listen: "8080", Upstream: "http://a"}, "write address and port"},
		{Up{Listen: "127.0.0.1:0", Upstream: "http://a"}, "is no port"},
		{Up{Listen: "example.com:80", Upstream: "http://a"}, "is no IP address"},
		{Up{Listen: ":80", Upstream: "127.0.0.1:3000"}, "write a URL"},
		{Up{Listen: ":80", Upstream: "ftp://a"}, "write a URL"},
		{Up{Listen: ":80", Upstream: "http://u:secret@a"}, "leave out user"},
		{Up{Listen: ":80", Upstream: "https://10.0.0.1"}, "needs a host name"},
		{Up{Listen: ":80", Upstream: "http://a:99999"}, "is no port"},
		{Up{Listen: ":80", Upstream: "http://a", TLSCert: []byte("x")}, "belong together"},
		{Up{Listen: ":80", Upstream: "http://a", TLSCert: []byte("x"), TLSKey: []byte("y")}, "no key pair"},
	} {
		_, err := Text(c.u)
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%+v: got %v, want %q", c.u, err, c.want)
		}
	}
}

// decoded are the resources that the flags stand for.
func decoded(u Up) (source.Set, error) {
	text, err := Text(u)
	if err != nil {
		return source.Set{}, err
	}
	docs, problems := v1alpha1.DecodeDocuments("flags", []byte(text))
	if len(problems) > 0 {
		return source.Set{}, fmt.Errorf("make resources of the flags: %w", problems[0])
	}
	var items []source.Item
	for _, d := range docs {
		items = append(items, source.Item{Object: d.Object, Origin: source.Flags, Line: d.Line, Manifest: d.Text})
	}
	return source.NewSet(items, nil), nil
}
