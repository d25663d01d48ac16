package crs

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/gabion-io/gabion/controlplane/xds/xdstest"
	"github.com/gabion-io/gabion/filters"
	"github.com/gabion-io/gabion/filters/chain"
	"github.com/gabion-io/gabion/filters/extproc"
	"github.com/gabion-io/gabion/internal/envoybin/envoybintest"
	"github.com/gabion-io/gabion/waf-rules/regression"
)

// startSuite runs Envoy with a listener "detect" as upstream runs the suite and
// a listener "block" as a product would: paranoia level 1, blocking.
func startSuite(t *testing.T, byExtProc bool) *Envoy {
	t.Helper()
	binary := envoybintest.Need(t)
	detect, err := Policy(filters.ModeDetect, Settings(4))
	if err != nil {
		t.Fatal(err)
	}
	block, err := Policy(filters.ModeBlock, Settings(1))
	if err != nil {
		t.Fatal(err)
	}
	o := EnvoyOptions{Binary: binary, Dir: t.TempDir(), Policies: map[string]filters.Policy{"detect": detect, "block": block}}
	if byExtProc {
		o.ExtProc = startFilter(t, o.Policies)
	} else {
		o.ModuleDir = moduleDir(t)
	}
	e, err := StartEnvoy(o)
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

// startFilter runs the filter beside Envoy, with its tables from disk.
func startFilter(t *testing.T, policies map[string]filters.Policy) (socket string) {
	t.Helper()
	dir := t.TempDir()
	table, err := suiteTable(policies)
	if err != nil {
		t.Fatal(err)
	}
	kept, err := json.Marshal(object{"format": 1, "tables": list{object{"name": xdstest.TableName, "version": "1", "table": string(table)}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "tables.json"), kept, 0o600); err != nil {
		t.Fatal(err)
	}
	socket = filepath.Join(dir, "filter.sock")
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- extproc.Run(ctx, extproc.Options{Listen: socket, State: dir, Node: "crs"}) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("filter: %v", err)
		}
	})
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if _, err := os.Stat(socket); err == nil {
			return socket
		}
		if time.Now().After(end) {
			t.Fatal("the filter does not listen")
		}
	}
}

func moduleDir(t *testing.T) string {
	t.Helper()
	if dir := os.Getenv("GABION_MODULE_DIR"); dir != "" {
		return dir
	}
	dir := t.TempDir()
	cmd := exec.Command("go", "build", "-buildmode=c-shared", "-tags", "coraza.disabled_operators.inspectFile",
		"-o", filepath.Join(dir, "libgabion.so"), "github.com/gabion-io/gabion/filters/module")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=1")
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
	e := startSuite(t, false)
	natively := judges(t)
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
		if !excused {
			agree(t, c, natively, detect, block)
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

// TestEnvoyExtProc holds the other transport to the same verdicts.
func TestEnvoyExtProc(t *testing.T) {
	if testing.Short() {
		t.Skip("the whole suite takes a minute: run without -short")
	}
	cases, err := regression.Load()
	if err != nil {
		t.Fatal(err)
	}
	e := startSuite(t, true)
	natively, excuses, first := judges(t), EnvoyExcuses(), firstLevel(t)
	inParallel(len(cases), func(i int) {
		c := &cases[i]
		if _, excused := excuses[c.ID]; excused {
			return
		}
		detect, block := e.Through("detect"), e.Through("block")
		for _, s := range c.Stages {
			if _, err := detect.Do(&s.Request); err != nil {
				t.Errorf("%s: %v", c.ID, err)
			}
		}
		attack(c, block, first)
		agree(t, c, natively, detect, block)
	})
	if !e.Alive() {
		t.Error("Envoy ended")
	}
}

// judges are the engine without Envoy, by listener.
func judges(t *testing.T) map[string]*chain.Judge {
	return map[string]*chain.Judge{
		"detect": judge(t, filters.ModeDetect, Settings(4)),
		"block":  judge(t, filters.ModeBlock, Settings(1)),
	}
}

// agree holds what was seen through listeners against the engine without Envoy.
func agree(t *testing.T, c *regression.Case, natively map[string]*chain.Judge, through ...*Through) {
	for _, d := range through {
		for _, s := range d.Seen {
			if diff := differs(natively[d.listener], s); diff != "" {
				t.Errorf("%s, %s: %s", c.ID, d.listener, diff)
			}
		}
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
