// Command sensitive measures internal/sensitive on labelled values: how much of
// what it reports is right (precision), how much of what is there it reports
// (recall), and what a JSON body costs. The values come from package corpus,
// which shares no code with what is measured.
//
// A finding counts from Likely on. It is right if its kind is the label's; a
// second kind on the same value is as wrong as one on a value with none.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/gabion-io/gabion/internal/sensitive"
	"github.com/gabion-io/gabion/test/bench/sensitive/corpus"
)

// tally counts outcomes.
type tally struct {
	Right  int `json:"right"`
	Wrong  int `json:"wrong"`
	Missed int `json:"missed"`
}

func (t tally) precision() float64 { return share(t.Right, t.Right+t.Wrong) }
func (t tally) recall() float64    { return share(t.Right, t.Right+t.Missed) }

func share(n, of int) float64 {
	if of == 0 {
		return 1
	}
	return float64(n) / float64(of)
}

// figures are what one seed gives.
type figures struct {
	Seed      uint64           `json:"seed"`
	Cases     int              `json:"cases"`
	Precision float64          `json:"precision"`
	Recall    float64          `json:"recall"`
	Kinds     map[string]tally `json:"kinds,omitempty"`
	Misses    map[string]int   `json:"misses,omitempty"` // false findings by group of near-misses
	Examples  []string         `json:"-"`
}

func main() {
	seeds := flag.String("seeds", "1,2,3", "seeds, parted by commas")
	n := flag.Int("n", 200, "cases of each kind, and of each near-miss")
	verbose := flag.Bool("v", false, "print every wrong answer")
	cost := flag.Bool("cost", true, "measure what a JSON body costs")
	flag.Parse()
	if err := run(*seeds, *n, *verbose, *cost); err != nil {
		fmt.Fprintln(os.Stderr, "bench-sensitive:", err)
		os.Exit(1)
	}
}

func run(seeds string, n int, verbose, cost bool) error {
	out := json.NewEncoder(os.Stdout)
	for s := range strings.SplitSeq(seeds, ",") {
		var seed uint64
		if _, err := fmt.Sscan(s, &seed); err != nil {
			return fmt.Errorf("read seed %q: %w", s, err)
		}
		f := measure(corpus.Make(seed, n))
		f.Seed = seed
		if verbose {
			fmt.Fprintln(os.Stderr, strings.Join(f.Examples, "\n"))
		}
		if err := out.Encode(f); err != nil {
			return err
		}
	}
	if !cost {
		return nil
	}
	return out.Encode(measureCost())
}

// measure classifies every case.
func measure(cases []corpus.Case) figures {
	f := figures{Cases: len(cases), Kinds: map[string]tally{}, Misses: map[string]int{}}
	var all tally
	for _, c := range cases {
		var got []string
		for _, x := range sensitive.Classify(nil, c.Name, c.Value) {
			if x.Confidence >= sensitive.Likely {
				got = append(got, x.Kind.String())
			}
		}
		t := f.Kinds[c.Kind]
		switch {
		case c.Kind == "":
		case slices.Contains(got, c.Kind):
			t.Right++
			all.Right++
		default:
			t.Missed++
			all.Missed++
			f.Examples = append(f.Examples, fmt.Sprintf("missed %s: %s=%q", c.Kind, c.Name, c.Value))
		}
		for _, g := range got {
			if g == c.Kind {
				continue
			}
			t.Wrong++
			all.Wrong++
			if c.Kind == "" {
				f.Misses[c.Group]++
			}
			f.Examples = append(f.Examples, fmt.Sprintf("wrong %s: %s=%q is %s%s", g, c.Name, c.Value, c.Kind, c.Group))
		}
		if c.Kind != "" {
			f.Kinds[c.Kind] = t
		}
	}
	f.Precision, f.Recall = all.precision(), all.recall()
	return f
}
