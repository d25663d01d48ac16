package flowlog

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/gabion-io/gabion/segmentation"
	"github.com/gabion-io/gabion/segmentation/bpf"
)

// Opener is the process that opened a flow.
type Opener struct {
	PID        uint32 // of the host
	Executable string // its path; the command's name where that could not be read any more
	Cgroup     string // path below the v2 root; empty where it could not be read
}

// Openers watches events and remembers who opened flows of late. An event is of a
// sample: most rows have an opener, not all.
type Openers struct {
	events *Events
	done   chan struct{}

	mu           sync.Mutex
	now, earlier map[openKey]Opener // since the last Turn, and before it
}

// openKey is a row as its source sees it.
type openKey struct {
	workload uint32
	to       netip.Addr
	protocol uint8
	port     uint16
}

// maxOpeners are remembered between two turns.
const maxOpeners = 16384

// NewOpeners begins to watch. There can be one.
func NewOpeners(m Maps) (*Openers, error) {
	e, err := NewEvents(m)
	if err != nil {
		return nil, err
	}
	o := &Openers{events: e, done: make(chan struct{}), now: map[openKey]Opener{}, earlier: map[openKey]Opener{}}
	go o.watch()
	return o, nil
}

// Close ends the watch.
func (o *Openers) Close() error {
	err := o.events.Close()
	<-o.done
	return err
}

func (o *Openers) watch() {
	defer close(o.done)
	for {
		e, err := o.events.Next(time.Time{})
		switch {
		case errors.Is(err, os.ErrClosed):
			return
		case err != nil || e.Process == nil:
			continue
		}
		who := openerOf(e.Process)
		o.mu.Lock()
		if len(o.now) < maxOpeners {
			o.now[openKey{e.Workload, e.To.Addr(), e.Protocol, e.ToPort}] = who
		}
		o.mu.Unlock()
	}
}

// openerOf looks up what the kernel did not say. A process that has ended leaves
// its name.
func openerOf(p *bpf.Process) Opener {
	name, _, _ := strings.Cut(string(p.Command[:]), "\x00")
	o := Opener{PID: p.PID, Executable: name}
	if path, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", p.PID)); err == nil {
		o.Executable = strings.TrimSuffix(path, " (deleted)")
	}
	if b, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", p.PID)); err == nil {
		for line := range strings.Lines(string(b)) {
			if path, ok := strings.CutPrefix(line, "0::"); ok {
				o.Cgroup = strings.TrimSpace(path)
			}
		}
	}
	return o
}

// Settle waits until the events that there are have been seen, and not for long.
func (o *Openers) Settle() {
	for end := time.Now().Add(50 * time.Millisecond); o.events.ring.AvailableBytes() > 0 && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
}

// Turn forgets what was seen before the turn before.
func (o *Openers) Turn() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.earlier, o.now = o.now, map[openKey]Opener{}
}

// Of says who opened one of a workload's flows to an address, if that was seen.
func (o *Openers) Of(workload uint32, to netip.Addr, p segmentation.Protocol, port uint16) (Opener, bool) {
	if o == nil {
		return Opener{}, false
	}
	k := openKey{workload, to, uint8(p), port}
	o.mu.Lock()
	defer o.mu.Unlock()
	if who, ok := o.now[k]; ok {
		return who, true
	}
	who, ok := o.earlier[k]
	return who, ok
}
