package main

import (
	"context"
	"log/slog"

	"github.com/spf13/cobra"

	"github.com/gabion-io/gabion/filters/extproc"
)

type filterOptions struct{ listen, xds, node string }

func newFilter(a *app) *cobra.Command {
	var o filterOptions
	c := &cobra.Command{
		Use:   "filter",
		Short: "Run the filter beside an Envoy that cannot load the module (ext_proc)",
		Long: `filter serves Envoy's external processing protocol on a Unix socket and judges
with the same engines as the module inside Envoy. It takes its policies from the
control plane and keeps the last good ones on disk, so it starts and serves while
the control plane is away. 'gabion up --transport extproc' runs it for you.`,
		Example: `  gabion filter                                       # sockets of the default state directory
  gabion filter --listen /run/gabion/filter.sock --xds /run/gabion/ads.sock`,
		Args: args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error { return runFilter(c.Context(), a, o) },
	}
	f := c.Flags()
	f.StringVar(&a.state, "state", "", "state directory (default $GABION_STATE, then ~/.local/state/gabion)")
	f.StringVar(&o.listen, "listen", "", "Unix socket to serve Envoy on (default: in the state directory)")
	f.StringVar(&o.xds, "xds", "", "Unix socket of the control plane (default: in the state directory)")
	f.StringVar(&o.node, "node", "", "name under which the control plane knows this filter (default: filter-HOSTNAME)")
	return c
}

// runFilter is the composition root of the filter as a process of its own.
func runFilter(ctx context.Context, a *app, o filterOptions) error {
	l, err := openLayout(stateDir(a.state, a.env))
	if err != nil {
		return err
	}
	return extproc.Run(ctx, extproc.Options{
		Listen: firstOf(o.listen, l.filterSocket()),
		XDS:    firstOf(o.xds, l.adsSocket()),
		State:  l.filterState(),
		Node:   firstOf(o.node, filterNode()),
		Log:    newLog(a.err, logLevel(a.env, slog.LevelInfo)),
	})
}

// filterNode is the name under which the control plane knows this machine's
// filter.
func filterNode() string { return "filter-" + hostname() }

func firstOf(given, fallback string) string {
	if given != "" {
		return given
	}
	return fallback
}
