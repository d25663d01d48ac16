package main

import (
	"fmt"
	"net/http"
	"net/url"

	"github.com/spf13/cobra"

	"github.com/gabion-io/gabion/controlplane/server"
)

func newDiff(a *app) *cobra.Command {
	var paths []string
	c := &cobra.Command{
		Use:   "diff -f FILE",
		Short: "Show what applying would change, in resources and in Envoy",
		Long: `Show what applying would change: the text of the resources, the resources of Envoy
that follow from it, and the problems it would make. Nothing is written.`,
		Example: `  gabion diff -f policy.yaml
  gabion diff -f policies/ -o json`,
		Args: args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			body, err := a.readManifests(paths)
			if err != nil {
				return err
			}
			cl, err := a.dial()
			if err != nil {
				return err
			}
			q := url.Values{}
			if len(paths) == 1 {
				q.Set("name", paths[0])
			}
			var d server.Diff
			if err := cl.call(c.Context(), request{method: http.MethodPost, path: "/api/v1/diff", query: q, body: body}, &d); err != nil {
				return err
			}
			if a.output == "json" {
				return writeJSON(a.out, d)
			}
			a.showDiff(d)
			return nil
		},
	}
	return a.outputs(a.remote(manifestFlag(c, &paths, "the candidate")), "table", "json")
}

func (a *app) showDiff(d server.Diff) {
	for _, r := range d.Resources {
		ns := r.Namespace
		if ns != "" {
			ns += "/"
		}
		fmt.Fprintf(a.out, "%s %s%s: %s\n", r.Kind, ns, r.Name, r.Action)
		fmt.Fprint(a.out, a.coloured(r.Patch))
	}
	if len(d.Envoy) == 0 {
		fmt.Fprintln(a.out, "\nEnvoy: no change")
	} else {
		fmt.Fprintf(a.out, "\nEnvoy: %d of its resources change\n", len(d.Envoy))
	}
	for _, e := range d.Envoy {
		fmt.Fprintf(a.out, "%s %s: %s\n", e.Type, e.Name, e.Action)
		fmt.Fprint(a.out, a.coloured(e.Patch))
	}
	if len(d.Conditions) > 0 {
		fmt.Fprintln(a.out, "\nNew problems, apply would refuse this:")
		a.warn(d.Conditions)
	}
}
