package main

import (
	"net/http"

	"github.com/spf13/cobra"
)

func newDelete(a *app) *cobra.Command {
	var namespace string
	var w writeFlags
	c := &cobra.Command{
		Use:   "delete KIND NAME",
		Short: "Delete a resource",
		Long: `Delete a resource that the store owns. Its revisions are kept: 'gabion rollback'
brings it back. One that a file owns is deleted in that file, with --write.`,
		Example: `  gabion delete wafpolicy shop
  gabion delete waf shop --dry-run
  gabion delete waf shop --write        # written in a file: edit it`,
		Args:              args(cobra.ExactArgs(2)),
		ValidArgsFunction: completeKinds,
		RunE: func(c *cobra.Command, given []string) error {
			n, err := resolveName(given[0], given[1], namespace)
			if err != nil {
				return err
			}
			return a.change(c.Context(), request{method: http.MethodDelete, path: n.path(), query: w.query()}, w)
		},
	}
	w.add(c)
	return a.outputs(a.remote(namespaced(c, &namespace)), "table", "json")
}
