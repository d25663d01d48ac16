// Command learn measures segmentation/learn on generated topologies whose intent
// is known: how much of what is meant it allows, how much it allows beyond that,
// whether attacks slip in, how often its intervals hold, and what it costs.
//
// It is a benchmark, no test: it prints one JSON line a topology.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"

	"github.com/gabion-io/gabion/segmentation/learn"
)

func main() {
	seed := flag.Uint64("seed", 1, "seed of the first topology")
	count := flag.Int("topologies", 24, "how many topologies, each with the next seed")
	spaces := flag.Int("spaces", 4, "namespaces of a topology")
	size := flag.Int("roles", 12, "roles of a namespace at most")
	other := flag.Bool("foreign", false, "topologies by other rules: few workloads, other labels, edges that say less, other scans")
	intervalsOnly := flag.Bool("intervals", false, "measure how often intervals hold, instead of what is learned")
	dumpTo := flag.String("dump", "", "write the first topology to this directory, as gabion seg learn reads it, and stop")
	workloads := flag.Int("workloads", 0, "with -dump: a world of so many workloads, instead of -spaces and -roles")
	edges := flag.Int("edges", 1_000_000, "with -workloads: and about so many edges")
	sum := flag.Bool("sum", false, "print one line for all topologies, with the worst seeds")
	verbose := flag.Bool("v", false, "show the anomalies too")
	flag.Parse()
	if *dumpTo != "" {
		t, records := large(*seed, *workloads, *edges)
		if *workloads == 0 {
			t = newTopology(*seed, *spaces, *size)
			records = append(append(t.traffic(), t.attacks()...), t.noise()...)
		}
		if err := dump(*dumpTo, t.all(), records); err != nil {
			fmt.Fprintln(os.Stderr, "learn:", err)
			os.Exit(1)
		}
		return
	}
	out := json.NewEncoder(os.Stdout)
	var scores []score
	for n := range *count {
		s := *seed + uint64(n)
		if *intervalsOnly {
			_ = out.Encode(intervals(newTopology(s, *spaces, *size), s))
			continue
		}
		var got score
		var draft learn.Draft
		if *other {
			f := newForeign(s, *spaces, *size)
			got, draft = measure(f.topology, f.observe(), s)
		} else {
			t := newTopology(s, *spaces, *size)
			got, draft = measure(t, append(append(t.traffic(), t.attacks()...), t.noise()...), s)
		}
		if scores = append(scores, got); !*sum {
			_ = out.Encode(got)
		}
		if *verbose {
			for _, f := range got.Wrong {
				fmt.Fprintln(os.Stderr, "  ", f)
			}
			for _, p := range draft.Proposals {
				fmt.Fprintln(os.Stderr, "  ", p.Policy.Name, len(p.Members), &p.Policy.Subject)
			}
			for _, a := range draft.Anomalies {
				fmt.Fprintf(os.Stderr, "  %s %s: %s (%d edges)\n", a.Shape, endText(a.Source), a.Why, len(a.Edges))
			}
		}
	}
	if *sum && len(scores) > 0 {
		_ = out.Encode(summarise(scores))
	}
}
