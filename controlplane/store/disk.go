package store

import (
	"fmt"
	"sync"
	"syscall"
	"time"
)

// telemetryStops is the used fraction of the disk at which telemetry is refused
// so that resources can still be written.
const telemetryStops = 0.90

// diskGuard remembers how full the disk is; asked at most every two seconds.
type diskGuard struct {
	dir string
	ask func(dir string) (float64, error) // nil: unknown, never full
	now func() time.Time

	mu    sync.Mutex
	asked time.Time
	used  float64
}

func newDiskGuard(dir string, ask func(string) (float64, error), now func() time.Time) *diskGuard {
	if ask == nil && dir != "" {
		ask = diskUsed
	}
	return &diskGuard{dir: dir, ask: ask, now: now}
}

// DiskFull tells of a directory's disk what holds for telemetry in it: nothing more
// is to be written, so that resources can be.
func DiskFull(dir string) func() bool { return newDiskGuard(dir, nil, time.Now).full }

func (g *diskGuard) usedFraction() float64 {
	if g.ask == nil {
		return 0
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if now := g.now(); g.asked.IsZero() || now.Sub(g.asked) >= 2*time.Second {
		if used, err := g.ask(g.dir); err == nil {
			g.used = used
		}
		g.asked = now
	}
	return g.used
}

func (g *diskGuard) full() bool { return g.usedFraction() >= telemetryStops }

// diskUsed is what df shows: blocks reserved for root count as neither used nor free.
func diskUsed(dir string) (float64, error) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return 0, fmt.Errorf("ask for free space of %s: %w", dir, err)
	}
	used := float64(st.Blocks - st.Bfree)
	if used+float64(st.Bavail) == 0 {
		return 0, nil
	}
	return used / (used + float64(st.Bavail)), nil
}
