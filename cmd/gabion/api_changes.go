package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gabion-io/gabion/api-discovery"
	"github.com/gabion-io/gabion/api-discovery/changes"
)

func newAPIChanges(a *app) *cobra.Command {
	var strict bool
	c := &cobra.Command{
		Use:   "changes OLD NEW [-o table|json] [--fail-on-breaking]",
		Short: "Say what changed between two OpenAPI documents, and what breaks callers",
		Long: `Say what changed between two OpenAPI 3 documents: what breaks existing callers, what
may break some, and the rest, each with the name of its rule. References to other
files are not followed. Documents that were learned say what came so far: that a field
became optional may only mean that more was seen.`,
		Example: `  gabion api changes openapi-monday.yaml openapi-tuesday.yaml
  gabion api changes old.yaml new.yaml -o json --fail-on-breaking`,
		Args: args(cobra.ExactArgs(2)),
		RunE: func(c *cobra.Command, files []string) error {
			list, err := a.changes(files[0], files[1])
			if err != nil {
				return err
			}
			if strict && len(list) > 0 && list[0].Level == apidiscovery.Breaking {
				return errors.New("callers of the old API would fail with the new one")
			}
			return nil
		},
	}
	c.Flags().BoolVar(&strict, "fail-on-breaking", false, "exit with an error when a change breaks callers")
	return a.outputs(c, "table", "json")
}

func (a *app) changes(before, after string) ([]apidiscovery.Change, error) {
	old, err := os.ReadFile(before)
	if err != nil {
		return nil, fmt.Errorf("read document: %w", err)
	}
	revised, err := os.ReadFile(after)
	if err != nil {
		return nil, fmt.Errorf("read document: %w", err)
	}
	list, err := changes.Between(old, revised)
	if err != nil {
		return nil, err
	}
	if a.output == "json" {
		enc := json.NewEncoder(a.out)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		return list, enc.Encode(append([]apidiscovery.Change{}, list...))
	}
	if len(list) == 0 {
		fmt.Fprintln(a.out, "nothing changed for callers")
		return nil, nil
	}
	t := newTable(a.out, "LEVEL", "OPERATION", "CHANGE", "RULE")
	for _, c := range list {
		t.row(string(c.Level), strings.TrimSpace(c.Operation+" "+c.Path), cut(strings.ReplaceAll(c.Text, "\n", " "), 120), c.ID)
	}
	return list, t.flush()
}
