package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"time"

	"github.com/gabion-io/gabion/controlplane/ir"
	"github.com/gabion-io/gabion/controlplane/reconcile"
	"github.com/gabion-io/gabion/internal/atomicfile"
	"github.com/gabion-io/gabion/internal/supervise"
)

// proxyLimits is what `gabion serve` tells `gabion up` about the proxy as a
// process: the root ListenerPolicy's spec.proxy. It is a file, because the two
// are different processes and Envoy needs it before it can ask anybody.
type proxyLimits struct {
	MaxConnections uint64 `json:"maxConnections"`
	MemoryLimit    int64  `json:"memoryLimit"` // bytes
}

// writeProxyLimits keeps the file as the resources say.
func writeProxyLimits(l layout, log *slog.Logger) func(*reconcile.State) {
	var last ir.Proxy
	written := false
	return func(s *reconcile.State) {
		now := s.Compiled.IR.Proxy
		if written && now == last {
			return
		}
		b, err := json.Marshal(proxyLimits{now.MaxConnections, now.MemoryLimit})
		if err == nil {
			err = atomicfile.Write(l.proxyLimits(), b, 0o600)
		}
		if err != nil {
			log.Error("the proxy's limits were not passed on", "error", err)
			return
		}
		last, written = now, true
	}
}

func readProxyLimits(l layout) (p proxyLimits, err error) {
	b, err := os.ReadFile(l.proxyLimits())
	if err == nil {
		err = json.Unmarshal(b, &p)
	}
	if err != nil {
		return p, fmt.Errorf("read the proxy's limits: %w", err)
	}
	return p, nil
}

// pressureEvery is how often the memory of Envoy's process is looked at.
const pressureEvery = 500 * time.Millisecond

// followMemory tells Envoy's overload manager how full its memory is. Envoy's own
// heap monitor cannot see Go's heap, which lives in the same process; the
// resident size of the process is what the machine cares about.
func followMemory(ctx context.Context, g *supervise.Group, l layout, log *slog.Logger) {
	last := ""
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(pressureEvery):
		}
		limits, err := readProxyLimits(l)
		if err != nil || limits.MemoryLimit <= 0 {
			continue
		}
		pressure := float64(residentBytes(pidOf(g, "envoy"))) / float64(limits.MemoryLimit)
		text := strconv.FormatFloat(min(max(pressure, 0), 1), 'f', 2, 64)
		if text == last {
			continue
		}
		if err := atomicfile.Write(l.memoryPressure(), []byte(text), 0o600); err != nil {
			log.Error("Envoy was not told of its memory", "error", err)
			continue
		}
		if pressure >= 0.9 {
			log.Warn("Envoy is near its memory limit", "resident", text, "limit", limits.MemoryLimit)
		}
		last = text
	}
}

func pidOf(g *supervise.Group, name string) int {
	for _, s := range g.Status() {
		if s.Name == name {
			return s.PID
		}
	}
	return 0
}

// residentBytes is 0 for a process that does not run.
func residentBytes(pid int) int64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0
	}
	fields := bytes.Fields(b)
	if len(fields) < 2 {
		return 0
	}
	pages, err := strconv.ParseInt(string(fields[1]), 10, 64)
	if err != nil {
		return 0
	}
	return pages * int64(os.Getpagesize())
}
