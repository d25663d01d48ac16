//go:build cgo

package main

import (
	"log/slog"
	"sync"
	"testing"
)

// Streams come and go on several threads, and none is taken for another.
func TestStreams(t *testing.T) {
	var all streams
	var threads sync.WaitGroup
	for range 4 {
		threads.Go(func() {
			mine := map[uint64]*stream{}
			for i := range 2000 {
				s := &stream{}
				number := all.add(s)
				if number == 0 || mine[number] != nil {
					t.Errorf("%#x is given twice, or none", number)
				}
				mine[number] = s
				for number, s := range mine {
					if all.get(number) != s {
						t.Errorf("%#x is another's", number)
					}
					if i%3 > 0 {
						if all.remove(number) != s {
							t.Errorf("%#x was another's", number)
						}
						delete(mine, number)
					}
					break
				}
			}
		})
	}
	threads.Wait()
	if n := len(*all.places.Load()); n > 4096 {
		t.Errorf("%d places for at most some 2,700 streams at a time", n)
	}
}

// A number whose stream is gone finds nothing, also when its place is taken.
func TestStreamsThatAreGone(t *testing.T) {
	var all streams
	gone := all.add(&stream{})
	all.remove(gone)
	found := func() bool { return !guard(slog.New(slog.DiscardHandler), "get", func() { all.get(gone) }) }
	if found() {
		t.Error("a stream that is gone is found")
	}
	if next := all.add(&stream{}); uint32(next) != uint32(gone) || found() {
		t.Errorf("%#x is taken for %#x, or not in its place", next, gone)
	}
}

// A place that has been taken as often as can be counted begins anew, not with 0.
func TestStreamsGoRound(t *testing.T) {
	var all streams
	last := all.remove(all.add(&stream{}))
	for at := range *all.places.Load() {
		(*all.places.Load())[at].number |= 0xffffffff << 32
	}
	if number := all.add(last); number == 0 || all.get(number) != last {
		t.Errorf("%#x after all others", number)
	}
}
