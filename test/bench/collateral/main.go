// Command collateral measures what large bodies cost their neighbours: the 99th
// percentile of small GETs sent at a fixed rate, without and with large bodies
// running, once with long judgements on Envoy's worker threads and once in the
// pool. Both variants run side by side and take turns, round by round; only the
// ratio of their increases means anything on a shared machine.
//
// The first is what GABION_TEST_ON_WORKER makes of the module; it exists for
// this comparison.
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
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/gabion-io/gabion/internal/envoybin"
)

const policy = `apiVersion: gabion.io/v1alpha1
kind: WAFPolicy
metadata: {name: default}
spec: {mode: block, maxInspectionTime: 9s}
---
apiVersion: gabion.io/v1alpha1
kind: Recording
metadata: {name: default}
spec: {percent: 0}
`

// figure is one line of the result; times in milliseconds, the median of rounds.
type figure struct {
	Variant  string  `json:"variant"`
	Quiet    float64 `json:"quiet_p99_ms"`
	Loaded   float64 `json:"loaded_p99_ms"`
	Increase float64 `json:"increase_ms"`
	Bodies   int     `json:"bodies"` // answered while GETs were measured
}

func main() {
	rounds := flag.Int("rounds", 5, "rounds of each variant")
	length := flag.Duration("for", 4*time.Second, "length of one measurement")
	rate := flag.Int("rate", 100, "GETs a second")
	senders := flag.Int("bodies", 4, "large bodies at a time")
	size := flag.Int("size", 1<<20, "bytes of a large body")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *rounds, *length, *rate, *senders, *size); err != nil {
		fmt.Fprintln(os.Stderr, "bench-collateral:", err)
		os.Exit(1)
	}
}

type variant struct {
	name, base    string
	close         func()
	quiet, loaded []float64
	bodies        int
}

func run(ctx context.Context, rounds int, length time.Duration, rate, senders, size int) error {
	if _, err := envoybin.Find(ctx, ""); err != nil {
		return err
	}
	var variants []*variant
	defer func() {
		for _, v := range variants {
			v.close()
		}
	}()
	for name, env := range map[string]string{"on the worker": "GABION_TEST_ON_WORKER=1", "in the pool": ""} {
		v, err := start(ctx, name, env)
		if err != nil {
			return err
		}
		variants = append(variants, v)
	}
	body := largeForm(size)
	for _, v := range variants { // warm
		post(ctx, v.base, body)
	}
	for range rounds {
		for _, v := range variants {
			v.quiet = append(v.quiet, p99(gets(ctx, v.base, rate, length)))
			loaded, n := underLoad(ctx, v.base, rate, length, senders, body)
			v.loaded, v.bodies = append(v.loaded, p99(loaded)), v.bodies+n
		}
	}
	out := json.NewEncoder(os.Stdout)
	increase := map[string]float64{}
	for _, v := range variants {
		f := figure{Variant: v.name, Quiet: median(v.quiet), Loaded: median(v.loaded), Bodies: v.bodies}
		f.Increase = f.Loaded - f.Quiet
		increase[v.name] = f.Increase
		if err := out.Encode(f); err != nil {
			return err
		}
	}
	return out.Encode(map[string]float64{"increase_ratio": increase["in the pool"] / increase["on the worker"]})
}

func underLoad(ctx context.Context, base string, rate int, length time.Duration, senders int, body string) (took []time.Duration, bodies int) {
	ctx, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	var mu sync.Mutex
	for range senders {
		wg.Go(func() {
			for ctx.Err() == nil {
				if post(ctx, base, body) {
					mu.Lock()
					bodies++
					mu.Unlock()
				}
			}
		})
	}
	took = gets(ctx, base, rate, length)
	stop()
	wg.Wait()
	return took, bodies
}

// gets sends at a fixed rate, whether or not answers come: what waits counts
// from when it was due.
func gets(ctx context.Context, base string, rate int, length time.Duration) (took []time.Duration) {
	client := &http.Client{Timeout: time.Minute, Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	defer client.CloseIdleConnections()
	var wg sync.WaitGroup
	var mu sync.Mutex
	tick := time.NewTicker(time.Second / time.Duration(rate))
	defer tick.Stop()
	for end := time.Now().Add(length); time.Now().Before(end); {
		due := <-tick.C
		wg.Go(func() {
			req, err := http.NewRequestWithContext(ctx, "GET", base+"/search?q=tea", nil)
			if err != nil {
				return
			}
			res, err := client.Do(req)
			if err != nil {
				return
			}
			_, _ = io.Copy(io.Discard, res.Body)
			res.Body.Close()
			mu.Lock()
			took = append(took, time.Since(due))
			mu.Unlock()
		})
	}
	wg.Wait()
	return took
}

func post(ctx context.Context, base, body string) bool {
	req, err := http.NewRequestWithContext(ctx, "POST", base+"/echo", strings.NewReader(body))
	if err != nil {
		return false
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	_, _ = io.Copy(io.Discard, res.Body)
	res.Body.Close()
	if res.StatusCode != http.StatusOK {
		fmt.Fprintf(os.Stderr, "bench-collateral: a large body was answered %d\n", res.StatusCode)
	}
	return res.StatusCode == http.StatusOK
}

func largeForm(size int) string {
	var b strings.Builder
	for i := 0; b.Len() < size-100; i++ {
		fmt.Fprintf(&b, "field_%d=some+words+about+order+%d+and+address+%d&", i, i*7919, i)
	}
	return b.String() + "last=1"
}

func p99(took []time.Duration) float64 {
	if len(took) == 0 {
		return 0
	}
	slices.Sort(took)
	return float64(took[(len(took)*99)/100].Microseconds()) / 1000
}

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	return v[len(v)/2]
}

// start runs `gabion up` in front of its own demo application.
func start(ctx context.Context, name, env string) (*variant, error) {
	dir, err := os.MkdirTemp("", "gabion-collateral-")
	if err != nil {
		return nil, err
	}
	file := filepath.Join(dir, "policy.yaml")
	if err := os.WriteFile(file, []byte(policy), 0o600); err != nil {
		return nil, err
	}
	listen, err := freeAddress()
	if err != nil {
		return nil, err
	}
	admin, err := freeAddress()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(filepath.Join("bin", "gabion"), "up", "--agent=false", "--state", filepath.Join(dir, "state"), "--transport", "module",
		"--listen", listen, "--admin", admin, "--concurrency", "2", "-f", file)
	cmd.Env = append(os.Environ(), env)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start gabion: %w", err)
	}
	v := &variant{name: name, base: "http://" + listen, close: func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
		_ = os.RemoveAll(dir)
	}}
	for end := time.Now().Add(2 * time.Minute); ; time.Sleep(100 * time.Millisecond) {
		res, err := http.Get(v.base + "/search?q=tea")
		if err == nil {
			res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return v, nil
			}
		}
		if time.Now().After(end) || ctx.Err() != nil {
			v.close()
			return nil, fmt.Errorf("%s did not come up", name)
		}
	}
}

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}
