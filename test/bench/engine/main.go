// Command engine measures the rule engine alone: whole transactions, stock and
// fast in turn on the same requests, in one process. Stock is the rule engine as
// it comes, with its own operators: it is compiled before anything of ours is
// registered.
//
// It prints one JSON line per case. Only ratios mean anything on a shared
// machine.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"runtime/pprof"
	"slices"
	"strings"
	"time"

	"github.com/gabion-io/gabion/filters"
	"github.com/gabion-io/gabion/filters/waf"
	wafrules "github.com/gabion-io/gabion/waf-rules"
)

// figure is one case's line.
type figure struct {
	Case        string  `json:"case"`
	StockMicros float64 `json:"stock_us"`
	FastMicros  float64 `json:"fast_us"`
	Ratio       float64 `json:"ratio"` // stock / fast
	Allocs      float64 `json:"allocs"`
	StockAllocs float64 `json:"stock_allocs"`
	FloorMicros float64 `json:"floor_us,omitempty"` // with every rule of the rule set removed
	Balanced    float64 `json:"balanced_us"`        // fast, with the default profile
	ToCRS       float64 `json:"balanced_to_crs"`    // balanced / fast
	Requests    int     `json:"requests"`
}

type message struct {
	head *filters.RequestHead
	body []byte
}

func main() {
	rounds := flag.Int("rounds", 3, "rounds; each case's figure is the best of them")
	requests := flag.Int("requests", 2000, "different requests per case and round")
	scale := flag.Int("slow", 8, "stock runs only every nth request of the expensive cases")
	profile := flag.String("cpuprofile", "", "only profile the fast engine on the one case of -only, and write it here")
	tuned := flag.Bool("balanced", false, "with -cpuprofile: profile the balanced rules instead of crs")
	only := flag.String("only", "", "run the cases whose name contains this")
	values := flag.Int("values", 0, "show the engine so many values that never come again, and nothing else")
	flag.Parse()
	err := run(*rounds, *requests, *scale, *values, *only, *profile, *tuned)
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench-engine:", err)
		os.Exit(1)
	}
}

func run(rounds, requests, scale, values int, only, profile string, tuned bool) error {
	stock, err := compile(waf.NewStockCompiler(), wafrules.ProfileCRS, false)
	if err != nil {
		return err
	}
	floor, err := compile(waf.NewStockCompiler(), wafrules.ProfileCRS, true)
	if err != nil {
		return err
	}
	compiler := waf.NewCompiler()
	fast, err := compile(compiler, wafrules.ProfileCRS, false)
	if err != nil {
		return err
	}
	balanced, err := compile(waf.NewCompiler(), wafrules.ProfileBalanced, false) // with a memory of its own
	if err != nil {
		return err
	}
	if values > 0 {
		return flood(os.Stdout, stock, fast, compiler, values)
	}
	if profile != "" {
		if tuned {
			fast = balanced
		}
		return profileFast(fast, requests*rounds, only, profile)
	}
	out := json.NewEncoder(os.Stdout)
	for _, c := range cases() {
		if !strings.Contains(c.name, only) {
			continue
		}
		f, err := measure(c, engines{stock, fast, floor, balanced}, rounds, requests, scale)
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		if err := out.Encode(f); err != nil {
			return err
		}
	}
	return nil
}

// engines are what is compared.
type engines struct{ stock, fast, floor, balanced *waf.Engine }

func compile(c *waf.Compiler, profile string, bare bool) (*waf.Engine, error) {
	s := wafrules.Defaults()
	s.Profile = profile
	if bare {
		s.Rules = []string{`SecRuleRemoveById "911000-999999"`}
	}
	return c.Compile(waf.Config{Settings: s, Limits: wafrules.Limits{RequestBody: 1 << 20}})
}

// profileFast writes a profile of one engine on one case: a file holds one.
func profileFast(fast *waf.Engine, requests int, only, profile string) error {
	list := cases()
	at := slices.IndexFunc(list, func(c kind) bool { return strings.Contains(c.name, only) })
	if at < 0 {
		return fmt.Errorf("no case is named like %q", only)
	}
	f, err := os.Create(profile)
	if err != nil {
		return err
	}
	defer f.Close()
	rnd := rand.New(rand.NewPCG(1, uint64(len(list[at].name))))
	pool := newPool(rnd)
	if _, _, err := clock(fast, list[at].generate(rnd, pool, requests)); err != nil { // warm
		return err
	}
	messages := list[at].generate(rnd, pool, requests)
	if err := pprof.StartCPUProfile(f); err != nil {
		return err
	}
	defer pprof.StopCPUProfile()
	_, _, err = clock(fast, messages)
	return err
}

// measure runs the engines in turn, round by round, on the same requests.
func measure(c kind, e engines, rounds, requests, scale int) (figure, error) {
	if !c.heavy {
		scale = 1
	}
	rnd := rand.New(rand.NewPCG(1, uint64(len(c.name))))
	pool := newPool(rnd)
	for _, m := range c.generate(rnd, pool, requests/2) { // warm
		for _, warmed := range []*waf.Engine{e.fast, e.balanced} {
			if err := once(warmed, m); err != nil {
				return figure{}, err
			}
		}
	}
	var stocks, fasts, floors, balanced, allocs, stockAllocs []float64
	for range rounds {
		messages := c.generate(rnd, pool, requests)
		some := messages[:len(messages)/scale]
		us, a, err := clock(e.stock, some)
		if err != nil {
			return figure{}, err
		}
		stocks, stockAllocs = append(stocks, us), append(stockAllocs, a)
		if us, a, err = clock(e.fast, messages); err != nil {
			return figure{}, err
		}
		fasts, allocs = append(fasts, us), append(allocs, a)
		if us, _, err = clock(e.balanced, messages); err != nil {
			return figure{}, err
		}
		balanced = append(balanced, us)
		if us, _, err = clock(e.floor, some); err != nil {
			return figure{}, err
		}
		floors = append(floors, us)
	}
	f := figure{Case: c.name, StockMicros: slices.Min(stocks), FastMicros: slices.Min(fasts), FloorMicros: slices.Min(floors), Balanced: slices.Min(balanced),
		Allocs: slices.Min(allocs), StockAllocs: slices.Min(stockAllocs), Requests: rounds * requests}
	f.Ratio, f.ToCRS = f.StockMicros/f.FastMicros, f.Balanced/f.FastMicros
	return f, nil
}

// clock gives microseconds and allocations per message.
func clock(e *waf.Engine, messages []message) (us, allocs float64, err error) {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	start := cpuTime()
	for _, m := range messages {
		if err := once(e, m); err != nil {
			return 0, 0, err
		}
	}
	spent := cpuTime() - start
	runtime.ReadMemStats(&after)
	n := float64(len(messages))
	return float64(spent) / float64(time.Microsecond) / n, float64(after.Mallocs-before.Mallocs) / n, nil
}

// once is a whole transaction.
func once(e *waf.Engine, m message) error {
	t := e.Begin("bench")
	defer t.Close()
	t.RequestHeaders(m.head)
	if err := t.RequestBody(m.body, false); err != nil {
		return err
	}
	t.ResponseHeaders(&filters.ResponseHead{Status: 200})
	if err := t.ResponseBody(nil); err != nil {
		return err
	}
	t.Logging()
	return nil
}
