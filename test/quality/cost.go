package main

import (
	"fmt"
	"slices"
	"syscall"
	"time"

	"github.com/gabion-io/gabion/filters"
	"github.com/gabion-io/gabion/filters/waf"
	"github.com/gabion-io/gabion/internal/rawhttp"
)

// costPart compares what harmless traffic costs under both profiles: engine
// only, whole transactions, in turn on the same requests. Only the ratio means
// anything on a shared machine.
func costPart(profile string) error {
	var heads []*filters.RequestHead
	var bodies [][]byte
	for _, b := range benign(1000) {
		r, err := rawhttp.Parse(b.raw)
		if err != nil {
			return fmt.Errorf("%s: %w", b.kind, err)
		}
		heads = append(heads, headOf(r))
		bodies = append(bodies, r.Body)
	}
	var engines []*waf.Engine
	for _, p := range []string{"crs", profile} {
		e, err := engineOf(p, waf.NewCompiler())
		if err != nil {
			return err
		}
		engines = append(engines, e)
	}
	best := make([]time.Duration, len(engines))
	const rounds = 4 // the first is for warming up
	for round := range rounds {
		for i, e := range engines {
			spent, err := clock(e, heads, bodies)
			if err != nil {
				return err
			}
			if round == 1 || round > 1 && spent < best[i] {
				best[i] = spent
			}
		}
	}
	n := time.Duration(len(heads))
	fmt.Printf("cost, engine only, mix of %d harmless requests: crs %v, %s %v a request, ratio %.2f\n\n", n, (best[0] / n).Round(time.Microsecond), profile,
		(best[1] / n).Round(time.Microsecond), float64(best[1])/float64(best[0]))
	return nil
}

func clock(e *waf.Engine, heads []*filters.RequestHead, bodies [][]byte) (time.Duration, error) {
	start := cpuTime()
	for i, h := range heads {
		t := e.Begin("cost")
		t.RequestHeaders(h)
		err := t.RequestBody(bodies[i], false)
		t.Logging()
		t.Close()
		if err != nil {
			return 0, err
		}
	}
	return cpuTime() - start, nil
}

// cpuTime is what the process has used: the clock on the wall says little on a
// shared machine.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func headOf(r *rawhttp.Request) *filters.RequestHead {
	h := &filters.RequestHead{Method: r.Method, Scheme: "http", Authority: r.Authority, Path: r.Path, Proto: r.Proto,
		Headers: slices.Grow([]filters.Header(nil), len(r.Headers))}
	for _, f := range r.Headers {
		h.Headers = append(h.Headers, filters.Header(f))
	}
	return h
}
