// Package changes names what changed from one OpenAPI document to another, and
// what of it breaks those who call. The rules are oasdiff's.
//
// It knows no traffic and no specification of ours: documents in, changes out,
// breaking ones first. It is apart from api-discovery/openapi because the library
// and its model of OpenAPI are large. Compositions may import it.
package changes

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/oasdiff/oasdiff/checker"
	"github.com/oasdiff/oasdiff/diff"
	"github.com/oasdiff/oasdiff/load"

	"github.com/gabion-io/gabion/api-discovery"
)

// maxDocument is the size of a document in bytes up to which one is read.
const maxDocument = 64 << 20

// Between names what changed from one OpenAPI 3 document to another, breaking
// changes first.
func Between(before, after []byte) ([]apidiscovery.Change, error) {
	old, err := loadForDiff(before, "the old document")
	if err != nil {
		return nil, err
	}
	revised, err := loadForDiff(after, "the new document")
	if err != nil {
		return nil, err
	}
	report, sources, err := diff.GetWithOperationsSourcesMap(diff.NewConfig(), old, revised)
	if err != nil {
		return nil, fmt.Errorf("compare documents: %w", err)
	}
	localizer := checker.NewDefaultLocalizer()
	var list []apidiscovery.Change
	for _, c := range checker.CheckBackwardCompatibilityUntilLevel(checker.NewConfig(checker.GetAllChecks()), report, sources, checker.INFO) {
		level := apidiscovery.Informs
		switch c.GetLevel() {
		case checker.ERR:
			level = apidiscovery.Breaking
		case checker.WARN:
			level = apidiscovery.MayBreak
		}
		list = append(list, apidiscovery.Change{Level: level, ID: c.GetId(), Operation: c.GetOperation(), Path: c.GetPath(), Text: c.GetUncolorizedText(localizer)})
	}
	rank := []apidiscovery.ChangeLevel{apidiscovery.Breaking, apidiscovery.MayBreak, apidiscovery.Informs}
	slices.SortStableFunc(list, func(a, b apidiscovery.Change) int {
		return cmp.Or(slices.Index(rank, a.Level)-slices.Index(rank, b.Level), cmp.Compare(a.Path, b.Path), cmp.Compare(a.Operation, b.Operation), cmp.Compare(a.ID, b.ID), cmp.Compare(a.Text, b.Text))
	})
	return list, nil
}

// loadForDiff follows no reference out of the document.
func loadForDiff(document []byte, name string) (info *load.SpecInfo, err error) {
	if len(document) > maxDocument {
		return nil, fmt.Errorf("read %s: it has %d bytes, more than %d", name, len(document), maxDocument)
	}
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("read %s: %v", name, r)
		}
	}()
	loader := openapi3.NewLoader()
	loader.IsExternalRefsAllowed = false
	spec, err := loader.LoadFromData(document)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	if spec.Paths == nil {
		spec.Paths = openapi3.NewPaths()
	}
	info = &load.SpecInfo{Url: name, Spec: spec}
	if spec.Info != nil {
		info.Version = spec.Info.Version
	}
	return info, nil
}
