package verdicttest_test

import (
	"testing"

	"github.com/gabion-io/gabion/segmentation"
	"github.com/gabion-io/gabion/segmentation/verdicttest"
)

func TestScriptsAgainstEvaluate(t *testing.T) {
	verdicttest.Run(t, "testdata", func(*testing.T, segmentation.World) verdicttest.Judge { return verdicttest.Reference() })
}

// The same through the flat table; it knows connections, not requests.
func TestScriptsAgainstTheTable(t *testing.T) {
	verdicttest.Run(t, "testdata", func(t *testing.T, w segmentation.World) verdicttest.Judge {
		if t.Name() == "TestScriptsAgainstTheTable/http" {
			t.Skip("the table knows connections, not requests")
		}
		return verdicttest.Tables(w)
	})
}
