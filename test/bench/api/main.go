// Command api measures the learner: it makes traffic of published and of small
// descriptions of APIs, learns from it, and compares what was learned with what
// was described. Nothing but exchanges passes from one to the other.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/gabion-io/gabion/api-discovery/learn"
	"github.com/gabion-io/gabion/internal/exchange"
)

func main() {
	spec := flag.String("spec", ".tools/bench-api/node_modules/@octokit/openapi/generated/api.github.com.json", "OpenAPI description in JSON")
	n := flag.Int("n", 100_000, "exchanges")
	seeds := flag.String("seeds", "1", "comma-separated seeds")
	only := flag.String("styles", "", "comma-separated styles of values; all when empty")
	apis := flag.String("apis", "", "comma-separated small APIs; \"none\" for none, all when empty")
	counts := flag.String("counts", "12x,5000,50000", "exchanges of the small APIs; 12x is twelve an operation")
	least := flag.Int("least", 5, "operations sent at least so often count")
	zipf := flag.Float64("zipf", 1.1, "exponent over operations")
	bodies := flag.Bool("bodies", false, "with JSON bodies")
	catchAll := flag.Bool("catch-all", false, "scanners are answered with a page, whatever they try")
	fast := flag.Bool("speed", false, "measure speed and memory instead")
	document := flag.Bool("document", false, "judge the OpenAPI document that is made of it")
	write := flag.String("write", "", "write that document to this file")
	verbose := flag.Bool("v", false, "print what was missed")
	flag.Parse()
	if *fast {
		ops, err := readSpec(*spec)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		speed(os.Stdout, ops, 1, *n)
		ops = nil
		memory(os.Stdout, 10_000, 20)
		return
	}
	b := bench{spec: *spec, n: *n, seeds: *seeds, only: *only, apis: *apis, counts: *counts, least: *least, zipf: *zipf, bodies: *bodies, catchAll: *catchAll, document: *document, write: *write, verbose: *verbose}
	if err := b.run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// bench is what was asked for.
type bench struct {
	spec, seeds, only, apis, counts, write string
	n, least                               int
	zipf                                   float64
	bodies, catchAll, document, verbose    bool
}

func (b *bench) run() error {
	if b.document {
		documentHeader(os.Stdout)
	} else {
		header(os.Stdout)
	}
	for _, text := range strings.Split(b.seeds, ",") {
		seed, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			return fmt.Errorf("read seeds: %w", err)
		}
		if err := b.published(seed); err != nil {
			return err
		}
		if err := b.small(seed); err != nil {
			return err
		}
	}
	return nil
}

// published measures with the description that was named.
func (b *bench) published(seed uint64) error {
	if b.spec == "none" {
		return nil
	}
	ops, err := readSpec(b.spec)
	if err != nil {
		return err
	}
	name, _, _ := strings.Cut(filepath.Base(b.spec), ".json")
	for _, st := range styles() {
		if b.only == "" || slices.Contains(strings.Split(b.only, ","), st.name) {
			if err := b.measure(name, ops, st, b.n, seed); err != nil {
				return err
			}
		}
	}
	return nil
}

// small measures with the descriptions of apis.go.
func (b *bench) small(seed uint64) error {
	for _, a := range smallAPIs() {
		if b.apis != "" && !slices.Contains(strings.Split(b.apis, ","), a.name) {
			continue
		}
		for _, text := range strings.Split(b.counts, ",") {
			count, err := strconv.Atoi(strings.TrimSuffix(text, "x"))
			if err != nil {
				return fmt.Errorf("read counts: %w", err)
			}
			if strings.HasSuffix(text, "x") {
				count *= len(a.operations)
			}
			if err := b.measure(a.name, a.operations, styles()[1], count, seed); err != nil {
				return err
			}
		}
	}
	return nil
}

func (b *bench) measure(name string, ops []operation, st style, n int, seed uint64) error {
	g := newGenerator(ops, st, seed, b.zipf)
	g.bodies, g.catchAll = b.bodies, b.catchAll
	l := learn.New(learn.Limits{})
	door := &exchange.Door{}
	for range n {
		var o exchange.Observation
		raw := g.next()
		door.Observe(&raw, &o)
		l.Add(&o)
	}
	spec := l.Conclude(nil)[0]
	var misses []string
	if b.document {
		d, err := judgeDocument(spec, g.sent, b.least, b.bodies, b.write)
		if err != nil {
			return err
		}
		d.row(os.Stdout, name, st.name, seed, n)
		misses = d.misses
	} else {
		s := scoreOf(spec, g.sent, b.least)
		s.row(os.Stdout, name, st.name, seed, n)
		misses = s.misses
	}
	if b.verbose {
		for _, m := range misses {
			fmt.Println("   ", m)
		}
	}
	return nil
}
