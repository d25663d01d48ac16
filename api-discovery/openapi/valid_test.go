package openapi

import (
	"bytes"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
)

// valid holds that a document is OpenAPI by every validator there is: that of
// libopenapi, kin-openapi, and openapi-spec-validator if Python has it.
func valid(t *testing.T, document []byte) {
	t.Helper()
	problems, err := Validate(document)
	if err != nil || len(problems) > 0 {
		t.Errorf("libopenapi: %v %v\n%s", err, problems, document)
	}
	loader := openapi3.NewLoader()
	doc, err := loader.LoadFromData(document)
	if err != nil {
		t.Fatalf("kin-openapi: %v\n%s", err, document)
	}
	if err := doc.Validate(loader.Context); err != nil {
		t.Errorf("kin-openapi: %v\n%s", err, document)
	}
	validPython(t, document)
}

const pythonValidator = `
import sys, json
try:
    from openapi_spec_validator import OpenAPIV31SpecValidator
except ImportError:
    sys.exit(3)
import yaml
document = yaml.safe_load(sys.stdin)
errors = [e.json_path + ": " + e.message for e in OpenAPIV31SpecValidator(document).iter_errors()]
print("\n".join(errors))
sys.exit(1 if errors else 0)
`

func validPython(t *testing.T, document []byte) {
	t.Helper()
	c := exec.Command("python3", "-c", pythonValidator)
	c.Env = append(os.Environ(), "PYTHONPATH=../../.tools/python") // where scripts/setup puts it
	c.Stdin = bytes.NewReader(document)
	out, err := c.CombinedOutput()
	if err == nil {
		return
	}
	exit, ran := err.(*exec.ExitError)
	if !ran || exit.ExitCode() == 3 {
		if os.Getenv("GABION_REQUIRE") != "" {
			t.Fatalf("openapi-spec-validator is missing: run scripts/setup test (%v)", err)
		}
		t.Log("openapi-spec-validator is missing: not asked")
		return
	}
	t.Errorf("openapi-spec-validator: %v\n%s", err, strings.TrimSpace(string(out)))
}
