package learn

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/gabion-io/gabion/api-discovery"
	"github.com/gabion-io/gabion/internal/exchange"
)

// Where paths are all words there is no hole to put them into: then what was called
// least goes, and is counted.
func TestWordsAreBounded(t *testing.T) {
	l, door := New(Limits{Nodes: 100}), &exchange.Door{}
	var o exchange.Observation
	r := rand.New(rand.NewPCG(25, 25))
	words := strings.Fields("amber birch cedar")
	for range 1500 {
		path := "/often/called"
		if r.IntN(4) > 0 {
			path = ""
			for range 10 {
				path += "/" + words[r.IntN(3)]
			}
		}
		raw := exchange.Raw{Method: "GET", Host: "h", Path: path, Status: 200}
		door.Observe(&raw, &o)
		l.Add(&o)
		if l.size.proven > 100*maxGrowth*3/2 {
			t.Fatalf("%d places", l.size.proven)
		}
	}
	spec := l.Conclude(nil)[0]
	n := l.Evicted()
	for _, op := range spec.Operations {
		n += op.Traffic.Count
	}
	if i := slices.IndexFunc(spec.Operations, func(o apidiscovery.Operation) bool { return o.Template.String() == "/often/called" }); i < 0 || spec.Operations[i].Traffic.Count < 300 {
		t.Error("what is called often is gone")
	}
	if l.size.proven != l.services["h"].proven.places() || n != 1500 {
		t.Errorf("%d places, counted as %d; %d exchanges", l.services["h"].proven.places(), l.size.proven, n)
	}
}

// However much scanners have tried, what is refused of an operation counts for it.
func TestRefusalsAmongScanners(t *testing.T) {
	words := strings.Fields("orders amber birch cedar delta ember fern grove heath")
	for name, tried := range map[string]func(i int) string{
		"deep":        func(i int) string { return fmt.Sprintf("/a%db/x%dy/z", i*7919%5003, i) },
		"words":       func(i int) string { return fmt.Sprintf("/%c%c%cadmin", 'a'+i%26, 'a'+i/26%26, 'a'+i/676) },
		"words below": func(i int) string { return fmt.Sprintf("/v1/%c%c%cadmin", 'a'+i%26, 'a'+i/26%26, 'a'+i/676) },
	} {
		l, door := New(Limits{Strays: 4000}), &exchange.Door{}
		var o exchange.Observation
		add := func(path string, status int) {
			raw := exchange.Raw{Method: "GET", Host: "h", Path: path, Status: status}
			door.Observe(&raw, &o)
			l.Add(&o)
		}
		for i := range 40 {
			for _, w := range words {
				add(fmt.Sprintf("/v1/%s/%d/%sParts", w, i*7, w), 200)
				add(fmt.Sprintf("/v1/%s/%d", w, i*7), 200)
			}
		}
		for i := range 5000 {
			add(tried(i), 404)
			if i%10 == 0 {
				add(fmt.Sprintf("/v1/%s/%d", words[i/10%len(words)], 20+i), 403)
			}
		}
		denied, spec := uint64(0), l.Conclude(nil)[0]
		for _, op := range spec.Operations {
			denied += op.Traffic.Denied
		}
		if denied < 495 || asideOf(spec, "missing") < 4900 || l.size.stray != l.services["h"].stray.places() {
			t.Errorf("%s: %d of 500 are counted, %d aside, %d places", name, denied, asideOf(spec, "missing"), l.size.stray)
		}
	}
}
