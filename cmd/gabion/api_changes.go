package main

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gabion-io/gabion/api-discovery"
	"github.com/gabion-io/gabion/api-discovery/changes"
	"github.com/gabion-io/gabion/controlplane/server"
)

// changing is one `gabion api changes`.
type changing struct {
	strict   bool
	service  string
	from, to int64
}

func newAPIChanges(a *app) *cobra.Command {
	var f changing
	c := &cobra.Command{
		Use:   "changes --service SERVICE [--from N] [--to N] | changes OLD NEW",
		Short: "Say what changed in an API, and what breaks callers",
		Long: `Say what changed between two revisions of what a service was observed to have, or
between two OpenAPI 3 documents: what breaks existing callers, what may break some,
and the rest, each with the name of its rule.

Without --from it begins at the latest revision, without --to it ends now. References
to other files are not followed. What was learned says what came so far: that a field
became optional may only mean that more was seen.`,
		Example: `  gabion api changes --service shop
  gabion api changes --service shop --from 3 --to 5
  gabion api changes openapi-monday.yaml openapi-tuesday.yaml
  gabion api changes old.yaml new.yaml -o json --fail-on-breaking`,
		Args: args(cobra.MaximumNArgs(2)),
		RunE: func(c *cobra.Command, files []string) error {
			list, err := a.listChanges(c, f, files)
			if err == nil {
				err = a.printChanges(list)
			}
			if err != nil {
				return err
			}
			if f.strict && len(list) > 0 && list[0].Level == apidiscovery.Breaking {
				return errors.New("callers of the old API would fail with the new one")
			}
			return nil
		},
	}
	fl := c.Flags()
	fl.BoolVar(&f.strict, "fail-on-breaking", false, "exit with an error when a change breaks callers")
	fl.StringVar(&f.service, "service", "", "of this service: shop, or default/shop")
	fl.Int64Var(&f.from, "from", 0, "revision to begin at (default: the latest)")
	fl.Int64Var(&f.to, "to", 0, "revision to end at (default: what is observed now)")
	return a.outputs(a.remote(c), "table", "json")
}

func (a *app) listChanges(c *cobra.Command, f changing, files []string) ([]apidiscovery.Change, error) {
	switch {
	case f.service == "" && len(files) == 2:
		return a.changes(files[0], files[1])
	case f.service == "" || len(files) > 0:
		return nil, usageOf(c, errors.New("name two documents, or a service with --service"))
	}
	cl, err := a.dial()
	if err != nil {
		return nil, err
	}
	q := url.Values{"service": {f.service}}
	if f.from == 0 {
		var kept server.RevisionsOfAPI
		if err := cl.call(c.Context(), request{method: http.MethodGet, path: "/api/v1/apis/revisions", query: q}, &kept); err != nil {
			return nil, err
		}
		if len(kept.Items) == 0 {
			return nil, withHint(errors.New("no revision is kept yet"), "one is kept each day; 'gabion api revisions %s --keep' keeps one now", f.service)
		}
		f.from = kept.Items[0].Revision
	}
	q.Set("from", strconv.FormatInt(f.from, 10))
	q.Set("to", strconv.FormatInt(f.to, 10))
	var list server.ChangeList
	err = cl.call(c.Context(), request{method: http.MethodGet, path: "/api/v1/apis/changes", query: q}, &list)
	return list.Items, err
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
	return changes.Between(old, revised)
}

func (a *app) printChanges(list []apidiscovery.Change) error {
	if a.output == "json" {
		return writeJSON(a.out, append([]apidiscovery.Change{}, list...))
	}
	if len(list) == 0 {
		fmt.Fprintln(a.out, "nothing changed for callers")
		return nil
	}
	t := newTable(a.out, "LEVEL", "OPERATION", "CHANGE", "RULE")
	for _, c := range list {
		t.row(string(c.Level), strings.TrimSpace(c.Operation+" "+c.Path), cut(strings.ReplaceAll(c.Text, "\n", " "), 120), c.ID)
	}
	return t.flush()
}
