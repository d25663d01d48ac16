//go:build gabionfault

package extproc

import "os"

// fault panics in builds made for the test that panics are survived, at the
// place named by GABION_TEST_PANIC.
func fault(where string) {
	if os.Getenv("GABION_TEST_PANIC") == where {
		panic("injected into " + where)
	}
}
