package openapi

import (
	"os"
	"testing"
)

// A published description of more than 1,000 operations is read whole, written,
// and valid.
func TestLargeDocument(t *testing.T) {
	if os.Getenv("GABION_FULL") == "" {
		t.Skip("takes long: GABION_FULL=1 reads it")
	}
	const name = "../../.tools/bench-api/node_modules/@octokit/openapi/generated/api.github.com.json"
	b, err := os.ReadFile(name)
	if os.IsNotExist(err) {
		if os.Getenv("GABION_REQUIRE") != "" {
			t.Fatal("the large description is missing: run scripts/setup bench-api")
		}
		t.Skip("the large description is missing: scripts/setup bench-api fetches it")
	}
	if err != nil {
		t.Fatal(err)
	}
	spec, problems, err := Parse(b, Options{Name: name})
	if err != nil {
		t.Fatal(err)
	}
	if len(spec.Operations) < 1000 || len(problems) > 0 {
		t.Errorf("%d operations, problems: %v", len(spec.Operations), problems)
	}
	written, err := Render(spec, JSON)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d operations, %d bytes, written as %d bytes", len(spec.Operations), len(b), len(written))
	for _, d := range Compare(spec, spec) {
		t.Errorf("differs from itself: %+v", d)
		break
	}
}
