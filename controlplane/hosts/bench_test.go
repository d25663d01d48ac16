package hosts

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/gabion-io/gabion/controlplane/api/v1alpha1"
	"github.com/gabion-io/gabion/controlplane/segment"
)

// A change in a world of 5,000 workloads on 100 hosts, each of which is told of
// 2,500 of them.
func BenchmarkPublish(b *testing.B) {
	var text strings.Builder
	for i := range 5000 {
		fmt.Fprintf(&text, "---\napiVersion: gabion.io/v1alpha1\nkind: Workload\nmetadata: {name: w-%d, namespace: shop, labels: {app: a-%d, tier: t-%d}}\nspec: {node: host-%d, addresses: [10.%d.%d.%d], interface: veth%d}\n",
			i, i%200, i%2, i%100, i>>16, i>>8&255, i&255, i)
	}
	for i := range 200 {
		fmt.Fprintf(&text, "---\napiVersion: gabion.io/v1alpha1\nkind: SegmentationPolicy\nmetadata: {name: p-%d, namespace: shop}\nspec: {mode: enforce, selector: {matchLabels: {app: a-%d}}, ingress: [{from: [{selector: {matchLabels: {tier: t-0}}}]}]}\n", i, i)
	}
	objects, problems := v1alpha1.Decode("bench", []byte(text.String()))
	if len(problems) > 0 {
		b.Fatal(problems[0])
	}
	compiled := segment.Compile(objects, segment.Options{})
	s := New(Options{Log: slog.New(slog.DiscardHandler)})
	for b.Loop() {
		s.Publish(objects, compiled)
		for i := range 100 {
			if v := s.view(fmt.Sprint("host-", i)); len(v.resources) < 2500 {
				b.Fatal(len(v.resources))
			}
		}
	}
}
