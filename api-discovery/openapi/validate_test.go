package openapi

import (
	"fmt"
	"strings"

	"github.com/pb33f/libopenapi"
	validator "github.com/pb33f/libopenapi-validator"
	"github.com/pb33f/libopenapi/datamodel"
)

// Validate says what in an OpenAPI 3 document is against the specification.
func Validate(document []byte) (problems []Problem, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("validate document: %v", r)
		}
	}()
	doc, err := libopenapi.NewDocumentWithConfiguration(document, &datamodel.DocumentConfiguration{SkipExternalRefResolution: true})
	if err != nil {
		return nil, fmt.Errorf("validate document: %w", err)
	}
	defer doc.Release()
	v, errs := validator.NewValidator(doc)
	if len(errs) > 0 {
		return nil, fmt.Errorf("validate document: %w", errs[0])
	}
	ok, found := v.ValidateDocument()
	if ok {
		return nil, nil
	}
	for _, f := range found {
		if len(f.SchemaValidationErrors) == 0 {
			problems = append(problems, Problem{Where: "document", What: strings.TrimSpace(f.Message + ": " + f.Reason)})
		}
		for _, s := range f.SchemaValidationErrors {
			problems = append(problems, Problem{Where: s.FieldPath, What: s.Reason})
		}
	}
	return problems, nil
}
