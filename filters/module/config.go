//go:build cgo

package main

import (
	"crypto/sha256"
	"log/slog"
	"os"
	"runtime"
	"sync"

	"github.com/gabion-io/gabion/filters"
	"github.com/gabion-io/gabion/filters/chain"
)

// module is the process-wide part: Envoy may hold several configurations (an
// old one drains while a new one serves), all share the compiled policies.
type module struct {
	log     *slog.Logger
	runtime *chain.Runtime
	// onWorker keeps every judgement on Envoy's threads, to measure what leaving
	// them gains.
	onWorker bool

	mu   sync.Mutex
	live map[[sha256.Size]byte]*config

	streams streams
}

func newModule(log *slog.Logger, validating bool) *module {
	o := chain.Options{Log: log}
	if validating {
		o.Spools = noSpools{} // `envoy --mode validate` must leave no files
	}
	return &module{log: log, runtime: chain.NewRuntime(o), onWorker: os.Getenv(onWorkerVariable) != "", live: map[[sha256.Size]byte]*config{}}
}

// onWorkerVariable is an environment variable for measurements only.
const onWorkerVariable = "GABION_TEST_ON_WORKER"

// makeRoom lets Go run on twice as many threads as there are processors. Long
// bodies are judged on at most half of them (chain's pool), so a hook, which holds up a
// whole worker, always finds one free. Without it each hook waits for all bodies
// to have had their turn, 10 ms each: eight bodies of 1 MiB kept Envoy from
// answering anybody for 20 s.
func makeRoom() { runtime.GOMAXPROCS(2 * runtime.GOMAXPROCS(0)) }

// config is one loaded filters.Table. Envoy may ask for equal content several
// times (once a worker, once an update that changes nothing): they share it.
type config struct {
	module      *module
	table       *chain.Table
	sum         [sha256.Size]byte
	refs        int
	bufferLimit uint64
}

// bufferSlack is room beyond the inspected bytes: what Envoy reads at once, so
// that the chunk that crosses the limit does not cost the client a 413.
const bufferSlack = 1 << 20

// load compiles content, or returns the live configuration of equal content.
func (m *module) load(content []byte) (*config, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	sum := sha256.Sum256(content)
	if c := m.live[sum]; c != nil {
		c.refs++
		return c, nil
	}
	table, err := m.runtime.Load(content)
	if err != nil {
		return nil, err
	}
	t := table.Config()
	c := &config{module: m, table: table, sum: sum, refs: 1, bufferLimit: heldBytes(t) + bufferSlack}
	m.live[sum] = c
	m.log.Info("loaded a filter table", "listener", t.Listener, "bindings", len(t.Bindings), "policies", len(t.Policies))
	return c, nil
}

func (c *config) release() {
	c.module.mu.Lock()
	defer c.module.mu.Unlock()
	if c.refs--; c.refs > 0 {
		return
	}
	delete(c.module.live, c.sum)
	c.table.Release()
}

// heldBytes is the most of a body that any policy of the table may hold.
func heldBytes(t *filters.Table) uint64 {
	var most int64
	for _, p := range t.Policies {
		most = max(most, p.RequestBody.MostHeld(), p.APIBody(), p.ResponseBody.MostHeld())
	}
	return uint64(most)
}

// policy is the policy in force under key; its zero value when there is none.
func (c *config) policy(key string) filters.Policy {
	t := c.table.Config()
	return t.Policies[t.Bindings[key].Policy]
}

// routeConfig is what a route carries: its key into the table.
type routeConfig struct{ key string }

// noSpools opens nothing and drops everything.
type noSpools struct{}

type noEvents struct{}
type noRecords struct{}

func (noSpools) Events(filters.Spool) (chain.EventSink, error)       { return noEvents{}, nil }
func (noSpools) Recordings(filters.Record) (chain.RecordSink, error) { return noRecords{}, nil }
func (noEvents) Append([]byte) bool                                  { return true }
func (noEvents) Close() error                                        { return nil }
func (noRecords) Append(*chain.Recorded) bool                        { return true }
func (noRecords) Close() error                                       { return nil }
