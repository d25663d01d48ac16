//go:build cgo

package main

import (
	"sync"
	"sync/atomic"
)

// streams are the exchanges on their way, by the numbers that Envoy has for them. A
// number is a place and, above it, how many streams have been there: one that is gone
// is not taken for its successor. cgo.Handle would do, but keeps them in a map: 0.7 µs
// and two allocations more for each request.
type streams struct {
	places atomic.Pointer[[]place]
	mu     sync.Mutex // of add and remove
	free   []uint32
}

type place struct {
	number uint64 // of the stream; 0: there was none yet
	stream *stream
}

// add gives s its number, which is never 0.
func (t *streams) add(s *stream) uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.free) == 0 {
		t.grow()
	}
	at := t.free[len(t.free)-1]
	t.free = t.free[:len(t.free)-1]
	p := &(*t.places.Load())[at]
	turn := uint32(p.number>>32) + 1
	if turn == 0 { // a busy place goes round in days; 0 is Envoy's word for none
		turn = 1
	}
	p.number = uint64(turn)<<32 | uint64(at)
	p.stream = s
	return p.number
}

// grow doubles the places. Others may look at theirs in the old ones meanwhile: a
// stream belongs to one thread, and is where it was.
func (t *streams) grow() {
	var old []place
	if p := t.places.Load(); p != nil {
		old = *p
	}
	places := make([]place, max(64, 2*len(old)))
	copy(places, old)
	for at := len(places) - 1; at >= len(old); at-- {
		t.free = append(t.free, uint32(at))
	}
	t.places.Store(&places)
}

// get is the stream of a number. It panics for one that is gone, as cgo.Handle does.
func (t *streams) get(number uint64) *stream {
	p := &(*t.places.Load())[uint32(number)]
	if p.stream == nil || p.number != number {
		panic("there is no such stream any more")
	}
	return p.stream
}

// remove is get, and forgets the number.
func (t *streams) remove(number uint64) *stream {
	s := t.get(number)
	t.mu.Lock()
	defer t.mu.Unlock()
	(*t.places.Load())[uint32(number)].stream = nil
	t.free = append(t.free, uint32(number))
	return s
}
