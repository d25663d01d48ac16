package chain

import (
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"
)

// Inline is how long judging may be expected to take on the thread that shows a
// message: whatever is longer belongs into the pool, see Later.
const Inline = 2 * time.Millisecond

const (
	// maxQueued bounds the judgements that wait, and maxQueuedBytes what they hold.
	maxQueued      = 512
	maxQueuedBytes = 64 << 20
	// shareOfQueue is the part of either that one client may take: 1/n.
	shareOfQueue = 2
)

// pool judges what takes long, on few goroutines. Short judgements do not wait
// for long ones, and clients take turns. It holds no goroutine while idle.
type pool struct {
	size    int // goroutines at most
	long    int // of them, those that may be busy with what is not short
	failed  func(panicked any, stack []byte)
	refused atomic.Uint64

	mu      sync.Mutex
	running int
	longRun int
	queued  int
	bytes   int64
	classes [3]lane
	clients map[string]*usage // of the queue
}

// usage is what a client has waiting.
type usage struct {
	jobs  int
	bytes int64
}

// lane is one class of judgements: of each client in order, the clients in turn.
type lane struct {
	turns []string
	jobs  map[string][]*job
	pass  uint64 // virtual time: the lane with the least goes first
}

type job struct {
	client string
	bytes  int64
	class  int
	run    func()
	done   func(failed bool)
}

// strides: of ten judgements that could begin, about seven are short.
var strides = [3]uint64{3, 8, 24}

func newPool(size int, failed func(any, []byte)) *pool {
	p := &pool{size: max(1, size), long: max(1, size-1), failed: failed, clients: map[string]*usage{}}
	for i := range p.classes {
		p.classes[i].jobs = map[string][]*job{}
	}
	return p
}

// classOf sorts by what a judgement is expected to take.
func classOf(cost time.Duration) int {
	switch {
	case cost < 20*time.Millisecond:
		return 0
	case cost < 150*time.Millisecond:
		return 1
	}
	return 2
}

// submit queues a job; false: the queue is full, or the client's part of it.
func (p *pool) submit(j *job) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	u := p.clients[j.client]
	if u == nil {
		u = &usage{}
	}
	if p.queued >= maxQueued || p.bytes+j.bytes > maxQueuedBytes || u.jobs >= maxQueued/shareOfQueue ||
		u.jobs > 0 && u.bytes+j.bytes > maxQueuedBytes/shareOfQueue {
		p.refused.Add(1)
		return false
	}
	p.clients[j.client] = u
	u.jobs, u.bytes = u.jobs+1, u.bytes+j.bytes
	p.queued, p.bytes = p.queued+1, p.bytes+j.bytes
	l := &p.classes[j.class]
	if len(l.turns) == 0 {
		l.pass = max(l.pass, p.virtualTime()) // no credit for having been idle
	}
	if len(l.jobs[j.client]) == 0 {
		l.turns = append(l.turns, j.client)
	}
	l.jobs[j.client] = append(l.jobs[j.client], j)
	if p.running < p.size {
		p.running++
		go p.work()
	}
	return true
}

// virtualTime is the least pass of a lane with jobs.
func (p *pool) virtualTime() uint64 {
	least := uint64(0)
	for i := range p.classes {
		if l := &p.classes[i]; len(l.turns) > 0 && (least == 0 || l.pass < least) {
			least = l.pass
		}
	}
	return least
}

// work does jobs until there is none that may begin.
func (p *pool) work() {
	for {
		j := p.next()
		if j == nil {
			return
		}
		p.do(j)
		p.mu.Lock()
		if j.class > 0 {
			p.longRun--
		}
		p.mu.Unlock()
	}
}

// next takes a job out of the queue; nil ends the goroutine.
func (p *pool) next() *job {
	p.mu.Lock()
	defer p.mu.Unlock()
	best := -1
	for i := range p.classes {
		if len(p.classes[i].turns) == 0 || i > 0 && p.longRun >= p.long {
			continue
		}
		if best < 0 || p.classes[i].pass < p.classes[best].pass {
			best = i
		}
	}
	if best < 0 {
		p.running--
		return nil
	}
	l := &p.classes[best]
	l.pass += strides[best]
	client := l.turns[0]
	l.turns = l.turns[1:]
	j := l.jobs[client][0]
	if rest := l.jobs[client][1:]; len(rest) > 0 {
		l.jobs[client] = rest
		l.turns = append(l.turns, client)
	} else {
		delete(l.jobs, client)
	}
	if best > 0 {
		p.longRun++
	}
	p.queued, p.bytes = p.queued-1, p.bytes-j.bytes
	u := p.clients[client]
	if u.jobs, u.bytes = u.jobs-1, u.bytes-j.bytes; u.jobs == 0 {
		delete(p.clients, client)
	}
	return j
}

// do runs a job and tells of its end, whatever happens.
func (p *pool) do(j *job) {
	failed := p.guard(j.run)
	p.guard(func() { j.done(failed) })
}

func (p *pool) guard(f func()) (failed bool) {
	defer func() {
		if v := recover(); v != nil {
			failed = true
			p.failed(v, debug.Stack())
		}
	}()
	f()
	return false
}
