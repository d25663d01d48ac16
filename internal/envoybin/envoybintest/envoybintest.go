// Package envoybintest gives tests the Envoy they need. It is not for anything
// that ships; every test may import it.
package envoybintest

import (
	"os"
	"testing"

	"github.com/gabion-io/gabion/internal/envoybin"
)

// Need gives the path of an Envoy that gabion can drive. Without one it skips
// the test, or fails it where everything must run (GABION_REQUIRE is set).
func Need(t testing.TB) (path string) {
	t.Helper()
	b, err := envoybin.Find(t.Context(), "")
	if err == nil {
		return b.Path
	}
	if os.Getenv("GABION_REQUIRE") != "" {
		t.Fatal(err)
	}
	t.Skip(err)
	return ""
}
