package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"

	pb33f "github.com/pb33f/libopenapi"
	"github.com/pb33f/libopenapi-validator/schema_validation" // the whole takes minutes to compile
	"github.com/pb33f/libopenapi/datamodel"
)

// libopenapi reads a document, builds its model, which resolves every reference,
// and holds it against the schema of OpenAPI.
func libopenapi(document []byte) (problems []string, err error) {
	doc, err := pb33f.NewDocumentWithConfiguration(document, &datamodel.DocumentConfiguration{SkipExternalRefResolution: true})
	if err != nil {
		return nil, fmt.Errorf("libopenapi: %w", err)
	}
	defer doc.Release()
	if _, err := doc.BuildV3Model(); err != nil {
		return nil, fmt.Errorf("libopenapi: build the model: %w", err)
	}
	if ok, found := schema_validation.ValidateOpenAPIDocument(doc); !ok {
		for _, f := range found {
			problems = append(problems, "libopenapi: "+strings.TrimSpace(f.Message+": "+f.Reason))
			for _, s := range f.SchemaValidationErrors {
				problems = append(problems, "libopenapi: "+s.FieldPath+": "+s.Reason)
			}
		}
	}
	return problems, nil
}

// errNoValidator: Python has no openapi-spec-validator.
var errNoValidator = errors.New("openapi-spec-validator is missing: scripts/setup test installs it")

const python = `
import json, sys
try:
    from openapi_spec_validator import OpenAPIV31SpecValidator
    import yaml
except ImportError:
    sys.exit(3)
document = yaml.load(sys.stdin.buffer, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
errors = [e.json_path + ": " + e.message[:300] for e in OpenAPIV31SpecValidator(document).iter_errors()]
print("\n".join(errors))
sys.exit(1 if errors else 0)
`

func specValidator(document []byte) (problems []string, err error) {
	c := exec.Command("python3", "-c", python)
	c.Env = append(os.Environ(), "PYTHONPATH=../../.tools/python") // where scripts/setup puts it
	c.Stdin = bytes.NewReader(document)
	out, err := c.CombinedOutput()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return nil, nil
	case errors.Is(err, exec.ErrNotFound), errors.As(err, &exit) && exit.ExitCode() == 3:
		return nil, errNoValidator
	}
	for line := range strings.Lines(string(out)) {
		problems = append(problems, "openapi-spec-validator: "+strings.TrimSpace(line))
	}
	return problems, nil
}
