package crs

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/gabion-io/gabion/filters"
	"github.com/gabion-io/gabion/filters/chain"
	"github.com/gabion-io/gabion/internal/envoybin"
	"github.com/gabion-io/gabion/waf-rules/regression"
)

// startSuite runs Envoy with a listener "detect" as upstream runs the suite and
// a listener "block" as a product would: paranoia level 1, blocking.
func startSuite(t *testing.T) *Envoy {
	t.Helper()
	b, err := envoybin.Find(context.Background(), "")
	if err != nil {
		if os.Getenv("GABION_REQUIRE") == "1" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	detect, err := Policy(filters.ModeDetect, Settings(4))
	if err != nil {
		t.Fatal(err)
	}
	block, err := Policy(filters.ModeBlock, Settings(1))
	if err != nil {
		t.Fatal(err)
	}
	e, err := StartEnvoy(EnvoyOptions{Binary: b.Path, ModuleDir: moduleDir(t), Dir: t.TempDir(),
		Policies: map[string]filters.Policy{"detect": detect, "block": block}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		e.Close()
		if t.Failed() {
			t.Logf("Envoy said:\n%s", e.Said())
		}
	})
	return e
}

func moduleDir(t *testing.T) string {
	t.Helper()
	if dir := os.Getenv("GABION_MODULE_DIR"); dir != "" {
		return dir
	}
	dir := t.TempDir()
	cmd := exec.Command("go", "build", "-buildmode=c-shared", "-tags", "coraza.disabled_operators.inspectFile",
		"-o", filepath.Join(dir, "libgabion.so"), "github.com/gabion-io/gabion/filters/module")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build the module: %v\n%s", err, out)
	}
	return dir
}

// TestEnvoy runs the whole suite through a real Envoy with the module, and
// holds what it finds against what the same engine finds without Envoy.
func TestEnvoy(t *testing.T) {
	if testing.Short() {
		t.Skip("the whole suite takes a minute: run without -short")
	}
	cases, err := regression.Load()
	if err != nil {
		t.Fatal(err)
	}
	e := startSuite(t)
	natively := map[string]*chain.Judge{
		"detect": judge(t, filters.ModeDetect, Settings(4)),
		"block":  judge(t, filters.ModeBlock, Settings(1)),
	}
	excuses, first := EnvoyExcuses(), firstLevel(t)
	results, blocked := make([]Result, len(cases)), make([]tally, len(cases))
	inParallel(len(cases), func(i int) {
		c := &cases[i]
		detect, block := e.Through("detect"), e.Through("block")
		x, excused := excuses[c.ID]
		results[i] = Run(c, detect, nil)
		if excused {
			results[i] = x.apply(results[i], detect.Seen)
		}
		blocked[i] = attack(c, block, first)
		for name, d := range map[string]*Through{"detect": detect, "block": block} {
			for _, s := range d.Seen {
				if diff := differs(natively[name], s); diff != "" && !excused {
					t.Errorf("%s, %s: %s", c.ID, name, diff)
				}
			}
		}
	})
	for id := range excuses {
		if !slices.ContainsFunc(cases, func(c regression.Case) bool { return c.ID == id }) {
			t.Errorf("there is no case %s to excuse", id)
		}
	}
	var sum Summary
	for _, r := range results {
		sum.Add(r)
	}
	report(os.Stdout, blocked)
	sum.Print(os.Stdout)
	if sum.Failed > 0 || sum.Passed < 4576 {
		t.Errorf("%v", &sum)
	}
	if !e.Alive() {
		t.Error("Envoy ended")
	}
}

// workers is how many cases are under way at a time: most of them wait for the
// access log.
const workers = 16

func inParallel(n int, f func(i int)) {
	var wg sync.WaitGroup
	next := make(chan int)
	for range workers {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := range next {
				f(i)
			}
		}()
	}
	for i := range n {
		next <- i
	}
	close(next)
	wg.Wait()
}
