//go:build cgo && gabionfault

package main

import (
	"os"
	"strings"
	"sync"
	"time"
)

// fault does what a build made for tests is told to: it panics at the place named
// by GABION_TEST_PANIC, at that of GABION_TEST_FATAL it does what Go's runtime ends
// the process for, and at that of GABION_TEST_WAIT ("place=file") it waits until the
// file is gone.
func fault(where string) {
	if os.Getenv("GABION_TEST_FATAL") == where {
		new(sync.Mutex).Unlock()
	}
	if os.Getenv("GABION_TEST_PANIC") == where {
		panic("injected into " + where)
	}
	place, file, _ := strings.Cut(os.Getenv("GABION_TEST_WAIT"), "=")
	for place == where {
		if _, err := os.Stat(file); err != nil {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}
