package learn

import (
	"math/bits"
	"time"
)

// Flows are bursty: a thousand in one minute say hardly more than one. So what is
// counted is in how many windows of time an edge was seen.
const (
	maxWindows     = 128
	shortestWindow = 10 * time.Second
)

// windows cut the observation into equal parts.
type windows struct {
	begin, end, length int64 // nanoseconds
	count              int
}

// newWindows covers the time from the first to the last edge.
func newWindows(begin, end int64) windows {
	d := max(end-begin, 0)
	count := min(int(d/int64(shortestWindow))+1, maxWindows)
	return windows{begin, end, d/int64(count) + 1, count}
}

func (w windows) of(at int64) int {
	return min(max(int((at-w.begin)/w.length), 0), w.count-1)
}

func (w windows) observed() time.Duration { return time.Duration(w.length * int64(w.count)) }

// seen is a set of windows.
type seen [maxWindows / 64]uint64

func (s *seen) add(n int) { s[n/64] |= 1 << (n % 64) }

func (s *seen) join(o seen) {
	for i := range s {
		s[i] |= o[i]
	}
}

func (s *seen) count() (n int) {
	for _, w := range s {
		n += bits.OnesCount64(w)
	}
	return n
}

// below counts the windows before one.
func (s *seen) below(n int) (count int) {
	for i, w := range s {
		switch {
		case n >= 64*(i+1):
			count += bits.OnesCount64(w)
		case n > 64*i:
			count += bits.OnesCount64(w & (1<<(n-64*i) - 1))
		}
	}
	return count
}

// mark adds the windows of a record: that of its first flow, that of its last,
// and, spread evenly, as many between them as it has flows for.
func (s *seen) mark(w windows, r span) {
	from, to := w.of(r.first), w.of(r.last)
	s.add(from)
	s.add(to)
	between := to - from - 1
	if between <= 0 || r.count <= 2 {
		return
	}
	n := int(min(r.count-2, uint64(between)))
	for i := 1; i <= n; i++ {
		s.add(from + i*(between+1)/(n+1))
	}
}
