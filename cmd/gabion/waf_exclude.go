package main

import (
	"net/http"

	"github.com/spf13/cobra"

	"github.com/gabion-io/gabion/controlplane/proposal"
	"github.com/gabion-io/gabion/controlplane/server"
)

func newExclude(a *app) *cobra.Command {
	var req server.ProposeRequest
	c := &cobra.Command{
		Use:   "exclude EVENT...",
		Short: "Propose the narrowest exclusion that lets these events pass",
		Long: `Make a proposal from events: the narrowest exclusion that would have let them
pass, with its evidence: which other events it would let pass as well, and which
attacks of the regression suite it would open. Nothing changes until the proposal
is accepted. An event is named by its id, the beginning of it, or latest.`,
		Example: `  gabion waf exclude 01JB3XQK
  gabion waf exclude latest
  gabion waf exclude 01JB3XQK 01JB3XQM --dry-run
  gabion waf exclude 01JB3XQK --full          # try every attack of the suite`,
		Args: args(cobra.MinimumNArgs(1)),
		RunE: func(c *cobra.Command, given []string) error {
			cl, err := a.dial()
			if err != nil {
				return err
			}
			for _, id := range given {
				e, err := findEvent(c.Context(), cl, id)
				if err != nil {
					return err
				}
				req.Events = append(req.Events, e.ID)
			}
			var p proposal.Proposal
			if err := cl.call(c.Context(), request{method: http.MethodPost, path: "/api/v1/proposals", body: req}, &p); err != nil {
				return err
			}
			if a.output == "json" {
				return writeJSON(a.out, p)
			}
			a.showProposal(p)
			if !req.DryRun {
				a.proposalNext(p)
			}
			return nil
		},
	}
	c.Flags().BoolVar(&req.Full, "full", false, "try every attack of the regression suite, however long it takes")
	c.Flags().BoolVar(&req.DryRun, "dry-run", false, "show the proposal and do not keep it")
	return a.outputs(a.remote(c), "table", "json")
}
