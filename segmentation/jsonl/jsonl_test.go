package jsonl

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gabion-io/gabion/segmentation"
	"github.com/gabion-io/gabion/workload"
)

var workloads = []*workload.Workload{
	{ID: workload.ID{Namespace: "shop", Name: "web"}, Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("fd00::1")}},
	{ID: workload.ID{Namespace: "shop", Name: "db"}, Addresses: []netip.Addr{netip.MustParseAddr("fd00::2")}},
}

const good = `{"src":"shop/web","dst":"shop/db","protocol":"TCP","port":5432,"flows":12,"answered":12,"bytes":3456,"first":"2026-11-01T08:00:00Z","last":"2026-11-02T08:00:00.5+01:00"}

{"src":"shop/web","dst":"192.0.2.1","dstName":"api.example.com","protocol":"tcp","port":443,"flows":1,"bytes":1,"first":"2026-11-01T08:00:00Z","last":"2026-11-01T08:00:00Z","more":{"x":[1]}}
`

func TestEdges(t *testing.T) {
	var got []segmentation.Edge
	err := NewReader("in", workloads).Edges(strings.NewReader(good), func(_ int, e *segmentation.Edge) error {
		got = append(got, *e)
		return nil
	})
	if err != nil || len(got) != 2 {
		t.Fatal(err, got)
	}
	if e := got[0]; e.Src.Addr.String() != "fd00::1" || e.Dst.Workload != workloads[1] || *e.Answered != 12 || e.Last.Sub(e.First).Hours() < 22.9 {
		t.Errorf("%+v", e)
	}
	if e := got[1]; e.Dst.Names[0] != "api.example.com" || e.Answered != nil || e.Dst.Workload != nil {
		t.Errorf("%+v", e)
	}
}

func TestMistakesHaveTheirLine(t *testing.T) {
	edge := `{"src":"shop/web","dst":"shop/db","protocol":"TCP","port":5432,"flows":1,"first":"2026-11-01T08:00:00Z","last":"2026-11-02T08:00:00Z"}`
	for from, to := range map[string]string{
		`shop/db`: `shop/nobody`, `"shop/web"`: `"nonsense"`, `"TCP"`: `"TCPX"`, `5432`: `70000`, `11-02`: `10-02`, `"first"`: `"frist"`, `2026-11-02T08:00:00Z`: `yesterday`,
		`"flows":1`: `"flows":1,"answered":2`, `"protocol":"TCP",`: ``, `Z"}`: `Z"} x`, `{`: `[`, `"2026-11-02`: `"9999-11-02`, `"2026-11-01`: `"1066-11-01`, `"src":"shop/web"`: `"src":""`,
	} {
		text := edge + "\n\n" + strings.Replace(edge, from, to, 1)
		err := NewReader("in.jsonl", workloads).Edges(strings.NewReader(text), func(int, *segmentation.Edge) error { return nil })
		if err == nil || !strings.HasPrefix(err.Error(), "in.jsonl:3: ") {
			t.Errorf("%s for %s: %v", to, from, err)
		}
	}
}

// Of an end's addresses the one counts that the other end could have talked to.
func TestBothEndsAreOfOneFamily(t *testing.T) {
	for text, want := range map[string]string{
		`"src":"shop/web","dst":"fd00::2"`: "fd00::1 fd00::2", `"src":"shop/web","dst":"2001:db8::1"`: "fd00::1 2001:db8::1",
		`"src":"shop/web","dst":"192.0.2.1"`: "10.0.0.1 192.0.2.1", `"src":"2001:db8::1","dst":"shop/web"`: "2001:db8::1 fd00::1",
		`"src":"::ffff:192.0.2.1","dst":"shop/web"`: "192.0.2.1 10.0.0.1", `"src":"192.0.2.1","dst":"shop/db"`: "192.0.2.1 fd00::2",
	} {
		err := NewReader("in", workloads).Flows(strings.NewReader("{"+text+`,"protocol":"TCP","port":1}`), func(_ *Line, f segmentation.Flow) error {
			if got := f.Src.Addr.String() + " " + f.Dst.Addr.String(); got != want {
				t.Errorf("%s: %s", text, got)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}
}

// The quick way must never read anything otherwise than encoding/json.
func FuzzQuick(f *testing.F) {
	for _, l := range strings.Split(good, "\n") {
		f.Add([]byte(l))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var a, b Line
		if !quick(text, &a) {
			return
		}
		if err := slow(text, &b); err != nil {
			t.Fatalf("%q is read as %+v, and is %v", text, a, err)
		}
		if d := cmp.Diff(a, b); d != "" {
			t.Fatalf("%q: %s", text, d)
		}
	})
}
