package main

import (
	"encoding/json"
	"io"
	"math/rand/v2"
	"runtime"

	"github.com/gabion-io/gabion/filters/waf"
)

// flooding is the line about values that never come again: whether they make the
// fast engine slow, and what it keeps of them.
type flooding struct {
	Case        string  `json:"case"`
	Values      int     `json:"values"`
	StockMicros float64 `json:"stock_us"` // of every 20th batch
	FastMicros  float64 `json:"fast_us"`  // of the same requests
	Ratio       float64 `json:"ratio"`
	LastRatio   float64 `json:"ratio_at_the_end"` // of the last batch that both judged
	KeptMiB     float64 `json:"kept_mib_most"`    // what the memory of values says it takes
	HeapMiB     float64 `json:"heap_mib"`         // live at the end, beyond the start: both engines
}

const (
	floodBatch = 200 // requests
	floodWidth = 10  // values in each
	floodEvery = 20
)

// flood shows n values, each once.
func flood(out io.Writer, stock, fast *waf.Engine, compiler *waf.Compiler, n int) error {
	rnd := rand.New(rand.NewPCG(7, 7))
	generate := each(1, random)
	pool := newPool(rnd)
	f := flooding{Case: "unique random values"}
	before := liveHeap()
	both := 0
	for batch := 0; f.Values < n; batch++ {
		messages := generate(rnd, pool, floodBatch)
		us, _, err := clock(fast, messages)
		if err != nil {
			return err
		}
		f.Values += floodBatch * floodWidth
		f.KeptMiB = max(f.KeptMiB, float64(compiler.Stats().Bytes)/(1<<20))
		if batch%floodEvery != 0 {
			continue
		}
		slow, _, err := clock(stock, messages)
		if err != nil {
			return err
		}
		both++
		f.StockMicros += slow
		f.FastMicros += us
		f.LastRatio = slow / us
	}
	f.StockMicros /= float64(both)
	f.FastMicros /= float64(both)
	f.Ratio = f.StockMicros / f.FastMicros
	f.HeapMiB = liveHeap() - before
	return json.NewEncoder(out).Encode(f)
}

// liveHeap is in MiB.
func liveHeap() float64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc) / (1 << 20)
}
