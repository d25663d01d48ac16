package waf

import (
	"hash/maphash"
	"strings"
	"sync"
	"sync/atomic"
)

const (
	verdictShards = 32
	firstVerdicts = 128
	// maxRemembered is the longest value that is remembered, in bytes.
	maxRemembered = 2 << 10
	// verdictBytes bounds what a compiler's engines remember together.
	verdictBytes = 24 << 20
)

// verdict is what is known of one value: of which predicates the answer is
// known, and which of them it matches.
type verdict struct {
	value string
	words []atomic.Uint64  // known, matches, known, …
	few   [8]atomic.Uint64 // holds words, if they are no more
}

func newVerdict(value string, words int) *verdict {
	v := &verdict{value: strings.Clone(value)}
	if v.words = v.few[:min(2*words, len(v.few))]; 2*words > len(v.few) {
		v.words = make([]atomic.Uint64, 2*words)
	}
	return v
}

func (v *verdict) known(w int) uint64   { return v.words[2*w].Load() }
func (v *verdict) matches(w int) uint64 { return v.words[2*w+1].Load() }

// learn adds answers; matches first, so that whoever sees an answer as known
// sees the right one.
func (v *verdict) learn(w int, known, matches uint64) {
	v.words[2*w+1].Or(matches)
	v.words[2*w].Or(known)
}

// verdicts remembers values, each by itself: two generations in every shard,
// the older one dropped when the younger is full.
type verdicts struct {
	seed   maphash.Seed
	shards [verdictShards]verdictShard
	limit  int // bytes of one generation of one shard
}

type verdictShard struct {
	mu         sync.Mutex
	young, old map[string]*verdict
	bytes      int
	// first holds some of young, each where its hash puts it: they are found without
	// the lock and the map.
	first [firstVerdicts]atomic.Pointer[verdict]
}

func newVerdicts(bytes int) *verdicts {
	c := &verdicts{seed: maphash.MakeSeed(), limit: bytes / verdictShards / 2}
	for i := range c.shards {
		c.shards[i].young = map[string]*verdict{}
	}
	return c
}

// place is where a value is: its shard, and its slot among the first.
func (c *verdicts) place(value string) (*verdictShard, *atomic.Pointer[verdict]) {
	h := maphash.String(c.seed, value)
	s := &c.shards[h%verdictShards]
	return s, &s.first[h/verdictShards%firstVerdicts]
}

// look gives the verdict on a value if it was asked for not long ago.
func (c *verdicts) look(value string, words int) *verdict {
	s, first := c.place(value)
	v := first.Load()
	if v == nil || v.value != value {
		s.mu.Lock()
		if v = s.young[value]; v != nil {
			first.Store(v)
		}
		s.mu.Unlock()
	}
	if v == nil || len(v.words) < 2*words {
		return nil
	}
	return v
}

// of gives the verdict on a value, with room for words words of predicates.
func (c *verdicts) of(value string, words int) *verdict {
	s, first := c.place(value)
	s.mu.Lock()
	defer s.mu.Unlock()
	v, ok := s.young[value]
	if ok && len(v.words) >= 2*words {
		return v
	}
	if !ok {
		v = s.old[value]
	}
	if v == nil || len(v.words) < 2*words {
		v = newVerdict(value, words)
	}
	size := len(value) + 16*max(words, 4) + 128 // about what the map and the headers take
	if s.bytes += size; s.bytes > c.limit {
		s.old, s.young, s.bytes = s.young, map[string]*verdict{}, size
		for i := range s.first {
			s.first[i].Store(nil)
		}
	}
	s.young[v.value] = v
	first.Store(v)
	return v
}

// size is about the bytes in use.
func (c *verdicts) size() (values, bytes int) {
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		values += len(s.young) + len(s.old)
		bytes += s.bytes
		if s.old != nil {
			bytes += c.limit
		}
		s.mu.Unlock()
	}
	return values, bytes
}
