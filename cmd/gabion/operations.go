package main

import (
	"github.com/gabion-io/gabion/api-discovery"
	"github.com/gabion-io/gabion/api-discovery/changes"
	"github.com/gabion-io/gabion/api-discovery/learn"
	"github.com/gabion-io/gabion/api-discovery/openapi"
	"github.com/gabion-io/gabion/api-discovery/risk"
	"github.com/gabion-io/gabion/controlplane/inventory"
)

// fold is the learner as the inventory knows it.
type fold struct{ *learn.Learner }

func (f fold) Merge(o inventory.Fold) { f.Learner.Merge(o.(fold).Learner) }

// operationLearning makes folds.
type operationLearning struct{ limits learn.Limits }

func (l operationLearning) New() inventory.Fold { return fold{learn.New(l.limits)} }

func (l operationLearning) Decode(b []byte) (inventory.Fold, error) {
	learner, err := learn.Decode(b)
	return fold{learner}, err
}

// documents are descriptions of APIs as the inventory reads and compares them.
type documents struct {
	owners *risk.Owners // who asked for which object; nil: unknown
}

func (documents) Parse(body []byte, service, name string) (apidiscovery.Spec, []string, error) {
	spec, problems, err := openapi.Parse(body, openapi.Options{Service: service, Name: name})
	texts := make([]string, len(problems))
	for i, p := range problems {
		texts[i] = p.String()
	}
	return spec, texts, err
}

func (documents) Render(spec apidiscovery.Spec, json bool) ([]byte, error) {
	format := openapi.YAML
	if json {
		format = openapi.JSON
	}
	return openapi.Render(spec, format)
}

func (documents) Compare(declared, observed apidiscovery.Spec) []apidiscovery.Drift {
	return openapi.Compare(declared, observed)
}

func (d documents) Findings(observed apidiscovery.Spec) []apidiscovery.Finding {
	return risk.Findings(observed, d.owners)
}

func (documents) Changes(before, after []byte) ([]apidiscovery.Change, error) {
	return changes.Between(before, after)
}
