package crs

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestDebugIsOutOfReach: nothing that ships sets filters.Table.Debug, which
// would let raw values into events.
func TestDebugIsOutOfReach(t *testing.T) {
	sets := regexp.MustCompile(`\bDebug\s*:|\.Debug\s*=[^=]`)
	for _, area := range []string{"cmd", "controlplane", "filters", "internal", "waf-rules"} {
		err := filepath.WalkDir(filepath.Join("..", "..", area), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			if strings.Contains(string(text), "gabion/filters\"") && sets.Match(text) {
				t.Errorf("%s sets a field Debug", path)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}
