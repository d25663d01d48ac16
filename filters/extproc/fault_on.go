//go:build gabionfault

package extproc

import (
	"os"
	"sync"
)

// fault does what a build made for tests is told to: it panics at the place named
// by GABION_TEST_PANIC, and at that of GABION_TEST_FATAL it does what Go's runtime
// ends the process for.
func fault(where string) {
	if os.Getenv("GABION_TEST_FATAL") == where {
		new(sync.Mutex).Unlock()
	}
	if os.Getenv("GABION_TEST_PANIC") == where {
		panic("injected into " + where)
	}
}
