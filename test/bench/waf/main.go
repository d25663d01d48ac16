// Command waf measures what a request costs in the proxy: Envoy plain, Envoy
// with the module, Envoy with ext_proc, and nginx with libmodsecurity on the same
// rule set, all in front of the same upstream, in one interleaved run. The figure
// that counts is CPU time of the proxy's processes per request: latency on a
// shared machine is noise, and is reported beside it.
//
// It prints one JSON line per contender and case, then a table.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
)

// contender is one proxy under test.
type contender struct {
	name  string
	base  string       // URL it listens on
	pids  func() []int // whose CPU time counts
	close func()

	upstream string // port of the application behind it
}

// figure is what one contender did in one case.
type figure struct {
	Contender string  `json:"contender"`
	Case      string  `json:"case"`
	Requests  int     `json:"requests"`
	CPUMicros float64 `json:"cpu_us_per_request"`
	P50Micros float64 `json:"p50_us"`
	P99Micros float64 `json:"p99_us"`
	RSSMiB    float64 `json:"rss_mib"`
	Other     int     `json:"not_200,omitempty"`

	cpu       time.Duration
	latencies []time.Duration
}

func main() {
	rounds := flag.Int("rounds", 12, "interleaved rounds")
	perRound := flag.Int("requests", 200, "requests per contender, case and round")
	applies := flag.Int("applies", 10, "policy changes timed")
	policies := flag.Int("policies", 20, "further policies whose memory is measured")
	connections := flag.Int("connections", 1, "kept-alive connections that send at a time")
	only := flag.String("only", "", "comma-separated contenders: plain, module, extproc, nginx (default: all)")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *rounds, *perRound, *connections, *applies, *policies, *only); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, rounds, perRound, connections, applies, policies int, only string) error {
	upstream, stopUpstream, err := startUpstream()
	if err != nil {
		return err
	}
	defer stopUpstream()
	contenders, err := startAll(ctx, upstream, only)
	for _, c := range contenders {
		defer c.close()
	}
	if err != nil {
		return err
	}
	figures, err := measure(ctx, contenders, rounds, perRound, connections)
	if err != nil {
		return err
	}
	out := json.NewEncoder(os.Stdout)
	for _, f := range figures {
		if err := out.Encode(f); err != nil {
			return err
		}
	}
	table(os.Stdout, figures)
	if err := timeApplies(ctx, contenders, applies); err != nil {
		return err
	}
	return measurePolicies(ctx, contenders, policies, rounds*perRound)
}

// startUpstream answers everything with a small JSON document, in this process,
// so that it costs the contenders the same.
func startUpstream() (string, func(), error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, `{"ok":true,"items":[{"id":1,"name":"rope"},{"id":2,"name":"lamp"}]}`)
	})}
	go srv.Serve(ln)
	return "http://" + ln.Addr().String(), func() { srv.Close() }, nil
}

// measure sends the same requests to every contender in turns.
func measure(ctx context.Context, contenders []contender, rounds, perRound, connections int) ([]*figure, error) {
	var figures []*figure
	for _, c := range mixCases() {
		row := make([]*figure, len(contenders))
		for i, k := range contenders {
			row[i] = &figure{Contender: k.name, Case: c.name}
		}
		for round := range rounds + 1 {
			for i, k := range contenders {
				m := newMix(uint64(round)) // equal requests for every contender
				f, n := row[i], perRound
				if round == 0 { // warm up: connections, caches, lazily compiled code, every value
					f, n, m.sweep = &figure{}, poolSize, true
				}
				if err := f.burst(ctx, k, n, connections, func() *http.Request { return c.make(m, k.base) }); err != nil {
					return nil, fmt.Errorf("%s, %s: %w", k.name, c.name, err)
				}
			}
		}
		for _, f := range row {
			f.finish()
		}
		figures = append(figures, row...)
	}
	return figures, nil
}

var client = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64, DisableCompression: true}, Timeout: 30 * time.Second}

// burst sends n requests, on so many kept-alive connections at a time. All are
// made first: what that costs would keep the contender waiting.
func (f *figure) burst(ctx context.Context, k contender, n, connections int, next func() *http.Request) error {
	requests := make(chan *http.Request, n)
	for range n {
		requests <- next()
	}
	close(requests)
	pids := k.pids()
	before, err := cpuTime(pids)
	if err != nil {
		return err
	}
	senders, ctx := errgroup.WithContext(ctx)
	parts := make([]figure, connections)
	for i := range parts {
		senders.Go(func() error { return parts[i].send(ctx, requests) })
	}
	if err := senders.Wait(); err != nil {
		return err
	}
	after, err := cpuTime(pids)
	if err != nil {
		return err
	}
	for _, part := range parts {
		f.latencies, f.Other = append(f.latencies, part.latencies...), f.Other+part.Other
	}
	f.cpu += after - before
	f.Requests += n
	f.RSSMiB = float64(rss(pids)) / (1 << 20)
	return nil
}

// send sends requests one after the other.
func (f *figure) send(ctx context.Context, requests <-chan *http.Request) error {
	for r := range requests {
		if err := ctx.Err(); err != nil {
			return err
		}
		began := time.Now()
		resp, err := client.Do(r)
		if err != nil {
			return err
		}
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		f.latencies = append(f.latencies, time.Since(began))
		if resp.StatusCode != http.StatusOK {
			f.Other++
		}
	}
	return nil
}

func (f *figure) finish() {
	slices.Sort(f.latencies)
	at := func(q float64) float64 {
		return float64(f.latencies[int(q*float64(len(f.latencies)-1))].Nanoseconds()) / 1000
	}
	f.CPUMicros = float64(f.cpu.Nanoseconds()) / 1000 / float64(f.Requests)
	f.P50Micros, f.P99Micros = at(0.50), at(0.99)
}

func table(w io.Writer, figures []*figure) {
	fmt.Fprintf(w, "\n| case | contender | CPU µs/request | p50 µs | p99 µs | RSS MiB | requests | not 200 |\n|---|---|---:|---:|---:|---:|---:|---:|\n")
	for _, f := range figures {
		fmt.Fprintf(w, "| %s | %s | %.0f | %.0f | %.0f | %.0f | %d | %d |\n",
			f.Case, f.Contender, f.CPUMicros, f.P50Micros, f.P99Micros, f.RSSMiB, f.Requests, f.Other)
	}
}
