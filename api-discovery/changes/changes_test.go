package changes

import (
	"slices"
	"strings"
	"testing"

	"github.com/gabion-io/gabion/api-discovery"
)

const changesBefore = `openapi: 3.1.0
info: {title: Shop, version: "1"}
paths:
  /orders:
    get:
      parameters: [{name: limit, in: query, schema: {type: integer}}]
      responses: {"200": {description: ok, content: {application/json: {schema: {type: object, required: [total], properties: {total: {type: integer}, note: {type: string}}}}}}}
  /old:
    get: {responses: {"200": {description: ok}}}
`

func TestChanges(t *testing.T) {
	after := strings.NewReplacer("required: [total], ", "", "{name: limit, in: query, schema: {type: integer}}", "{name: limit, in: query, required: true, schema: {type: string, enum: [few, many]}}",
		"  /old:\n    get: {responses: {\"200\": {description: ok}}}\n", "  /new:\n    get: {responses: {\"200\": {description: ok}}}\n").Replace(changesBefore)
	changes, err := Between([]byte(changesBefore), []byte(after))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []struct {
		level apidiscovery.ChangeLevel
		id    string
	}{
		{apidiscovery.Breaking, "api-path-removed-without-deprecation"}, {apidiscovery.Breaking, "request-parameter-became-required"}, {apidiscovery.Breaking, "response-property-became-optional"}, {apidiscovery.Informs, "endpoint-added"},
	} {
		if !slices.ContainsFunc(changes, func(c apidiscovery.Change) bool { return c.Level == want.level && c.ID == want.id && c.Text != "" }) {
			t.Errorf("no %s %s in %+v", want.level, want.id, changes)
		}
	}
	if changes[0].Level != apidiscovery.Breaking || changes[len(changes)-1].Level != apidiscovery.Informs {
		t.Errorf("not in order: %+v", changes)
	}
	if same, err := Between([]byte(changesBefore), []byte(changesBefore)); err != nil || len(same) > 0 {
		t.Error(same, err)
	}
	if _, err := Between([]byte("nonsense: ["), []byte(changesBefore)); err == nil || !strings.Contains(err.Error(), "the old document") {
		t.Error(err)
	}
}

// A reference must not make us read a file or ask a host.
func TestChangesFollowNoReferenceOut(t *testing.T) {
	doc := strings.Replace(changesBefore, "{type: integer}}]", "{$ref: '../../go.mod#/x'}}]", 1)
	if _, err := Between([]byte(doc), []byte(changesBefore)); err == nil {
		t.Error("a reference out of the document was followed")
	}
}

func FuzzChanges(f *testing.F) {
	f.Add([]byte(changesBefore), []byte(changesBefore))
	f.Fuzz(func(t *testing.T, a, b []byte) {
		if len(a)+len(b) < 8192 {
			_, _ = Between(a, b)
		}
	})
}
