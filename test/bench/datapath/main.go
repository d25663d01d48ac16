// Command datapath measures the segmentation programs: nanoseconds a packet above
// an empty program, on packets that the kernel feeds them (BPF_PROG_TEST_RUN); and
// requests between two workloads of a host, beside no program and beside nftables. It
// prints one JSON object a line; `make bench-datapath` runs it, as root. What is
// compared runs interleaved.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"slices"
	"time"
)

func main() {
	rounds := flag.Int("rounds", 7, "how often each thing is measured")
	repeat := flag.Int("repeat", 200000, "packets of one measurement")
	requests := flag.Int("requests", 1000, "requests of one measurement between namespaces; 0: none")
	flag.Parse()
	err := programs(*rounds, *repeat)
	if err == nil && *requests > 0 {
		err = endToEnd(*rounds, *requests)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench-datapath:", err)
		os.Exit(1)
	}
}

// result is one line.
type result struct {
	What  string  `json:"what"`
	Rules int     `json:"rules,omitempty"`
	P10   float64 `json:"p10"`
	P50   float64 `json:"p50"`
	Unit  string  `json:"unit"`
	Above float64 `json:"above,omitempty"` // ns above the empty program, p10
	Ratio float64 `json:"ratio,omitempty"` // to what it is compared with, p10
	To    string  `json:"to,omitempty"`
}

func (r result) print() { json.NewEncoder(os.Stdout).Encode(r) }

// quantile of measurements.
func quantile(list []time.Duration, q float64) float64 {
	s := slices.Sorted(slices.Values(list))
	return float64(s[min(len(s)-1, int(q*float64(len(s))))].Nanoseconds())
}
