// Command api measures the learner: it makes traffic of published and of small
// descriptions of APIs, learns from it, and compares what was learned with what
// was described. Nothing but exchanges passes from one to the other.
package main

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/gabion-io/gabion/api-discovery/learn"
	"github.com/gabion-io/gabion/internal/exchange"
)

func main() {
	spec := flag.String("spec", ".cache/bench-api/node_modules/@octokit/openapi/generated/api.github.com.deref.json", "OpenAPI description in JSON")
	n := flag.Int("n", 100_000, "exchanges")
	seeds := flag.String("seeds", "1", "comma-separated seeds")
	only := flag.String("styles", "", "comma-separated styles of values; all when empty")
	apis := flag.String("apis", "", "comma-separated small APIs; \"none\" for none, all when empty")
	least := flag.Int("least", 5, "operations sent at least so often count")
	zipf := flag.Float64("zipf", 1.1, "exponent over operations")
	bodies := flag.Bool("bodies", false, "with JSON bodies")
	verbose := flag.Bool("v", false, "print what was missed")
	flag.Parse()
	if err := run(*spec, *n, *seeds, *only, *apis, *least, *zipf, *bodies, *verbose); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(spec string, n int, seeds, only, apis string, least int, zipf float64, bodies, verbose bool) error {
	header(os.Stdout)
	measure := func(name string, ops []operation, st style, n int, seed uint64) {
		g := newGenerator(ops, st, seed, zipf)
		g.bodies = bodies
		l := learn.New(learn.Limits{})
		door := &exchange.Door{}
		var o exchange.Observation
		for range n {
			raw := g.next()
			door.Observe(&raw, &o)
			l.Add(&o)
		}
		s := scoreOf(l.Conclude(nil)[0], g.sent, least)
		s.row(os.Stdout, name, st.name, seed, n)
		if verbose {
			for _, m := range s.misses {
				fmt.Println("   ", m)
			}
		}
	}
	for _, text := range strings.Split(seeds, ",") {
		seed, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			return fmt.Errorf("read seeds: %w", err)
		}
		if spec != "none" {
			ops, err := readSpec(spec)
			if err != nil {
				return err
			}
			for _, st := range styles() {
				if only == "" || slices.Contains(strings.Split(only, ","), st.name) {
					measure("github", ops, st, n, seed)
				}
			}
		}
		for _, a := range smallAPIs() {
			if apis != "" && !slices.Contains(strings.Split(apis, ","), a.name) {
				continue
			}
			for _, count := range []int{len(a.operations) * 12, 5000, 50_000} {
				measure(a.name, a.operations, styles()[1], count, seed)
			}
		}
	}
	return nil
}
