//go:build cgo

package main

/*
#include <stdbool.h>
#include <stdint.h>

static __thread int64_t went_round; // by this thread of Envoy's, in ns

static bool due(int64_t now, int64_t every) {
	if (now - went_round < every) return false;
	went_round = now;
	return true;
}
*/
import "C"

import (
	"runtime"
	"time"
)

// roundEvery is less than the 10 ms after which Go's monitor thread takes for
// stuck what has scheduled nothing.
const roundEvery = 8 * time.Millisecond

// started is what times are counted from.
var started = time.Now()

// goRound lets Go's scheduler go round, now and then. All hooks of a thread run on
// one goroutine, and so schedule nothing by themselves. Of that the monitor thread
// thinks it hangs: whenever it looks and the thread is back in Envoy, it takes the
// processor away that stood ready for the next hook, and goes on looking every
// 20 µs. A request cost a twentieth more. Other streams of the thread wait meanwhile;
// makeRoom keeps that short.
func goRound() {
	if C.due(C.int64_t(time.Since(started)), C.int64_t(roundEvery)) {
		runtime.Gosched()
	}
}
