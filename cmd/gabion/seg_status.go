package main

import (
	"fmt"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/gabion-io/gabion/controlplane/server"
)

func newSegStatus(a *app) *cobra.Command {
	var since string
	c := &cobra.Command{
		Use:   "status",
		Short: "Show policies, what they denied or would deny, and which agents report",
		Long: `Show every segmentation policy with its mode, how many workloads it selects, and
how many flows it denied, or would have denied had it been enforced; and every host
whose agent reports, since when, and what was lost or refused.`,
		Example: "  gabion seg status --since 24h\n  gabion seg status -o json",
		Args:    args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			q, err := sinceQuery(c, since, a.now())
			if err != nil {
				return err
			}
			cl, err := a.dial()
			if err != nil {
				return err
			}
			var s server.SegmentationStatus
			if err := cl.call(c.Context(), request{method: http.MethodGet, path: "/api/v1/segmentation/status", query: q}, &s); err != nil {
				return err
			}
			if done, err := a.structured(s); done {
				return err
			}
			return a.showSegStatus(s)
		},
	}
	c.Flags().StringVar(&since, "since", "", "look at flows seen since: 90s, 1h, 7d, or a time")
	return a.outputs(a.remote(c), "table", "json", "yaml")
}

func (a *app) showSegStatus(s server.SegmentationStatus) error {
	fmt.Fprintf(a.out, "%s, %s\n", plural(s.Workloads, "workload", "workloads"), plural(len(s.Policies), "policy", "policies"))
	if len(s.Policies) > 0 {
		fmt.Fprintln(a.out)
		t := newTable(a.out, "POLICY", "MODE", "WORKLOADS", "DENIED", "WOULD DENY", "LAST")
		for _, p := range s.Policies {
			t.row(p.Policy, p.Mode.String(), fmt.Sprint(p.Workloads), count(p.Denied), count(p.WouldDeny), ago(a.now(), p.Last))
		}
		if err := t.flush(); err != nil {
			return err
		}
	}
	if len(s.Coverage.Agents) > 0 {
		fmt.Fprintln(a.out)
		t := newTable(a.out, "HOST", "STATE", "SINCE", "LAST", "ROWS", "LOST", "REFUSED", "REPEATED")
		for _, h := range s.Coverage.Agents {
			state := "reports"
			if h.Quiet {
				state = "quiet"
			}
			t.row(h.Host, state, ago(a.now(), h.Since), ago(a.now(), h.Last), count(h.Rows), count(h.Lost), count(h.Refused), count(h.Repeated))
		}
		if err := t.flush(); err != nil {
			return err
		}
	}
	a.showCoverageOf(s.Coverage)
	return nil
}
