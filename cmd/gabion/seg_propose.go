package main

import (
	"fmt"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/gabion-io/gabion/controlplane/proposal"
	"github.com/gabion-io/gabion/controlplane/server"
)

func newSegPropose(a *app) *cobra.Command {
	var since string
	var req server.LearnRequest
	c := &cobra.Command{
		Use:   "propose",
		Short: "Learn policies from the edges that are kept",
		Long: `Propose a policy for every group of workloads that talk alike: what was seen, and
nothing else, in both directions. What policies in force allow already is not
proposed again: new edges amend, as a proposal of their own. Attempts that nobody
answered are no evidence; what has the shape of an attack is shown, and not learned.

Nothing changes: review with 'gabion seg review', write with 'gabion proposal accept'.
Asked again, an open proposal is brought up to date.`,
		Example: `  gabion seg propose
  gabion seg propose --since 7d -n shop
  gabion seg propose -o json`,
		Args: args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			if since != "" {
				t, err := moment(since, a.now())
				if err != nil {
					return usageOf(c, fmt.Errorf("--since: %w", err))
				}
				req.Since = t.UTC()
			}
			cl, err := a.dial()
			if err != nil {
				return err
			}
			var list server.PolicyProposals
			if err := cl.call(c.Context(), request{method: http.MethodPost, path: "/api/v1/segmentation/propose", body: req}, &list); err != nil {
				return err
			}
			if done, err := a.structured(list); done {
				return err
			}
			return a.showPolicyProposals(list)
		},
	}
	c.Flags().StringVar(&since, "since", "", "edges seen since: 24h, 7d, or a time (default all that are kept)")
	c.Flags().StringVarP(&req.Namespace, "namespace", "n", "", "policies of this namespace only")
	return a.outputs(a.remote(c), "table", "json", "yaml")
}

func (a *app) showPolicyProposals(list server.PolicyProposals) error {
	l := list.Looked
	if len(list.Items) == 0 {
		fmt.Fprintln(a.out, "nothing to propose")
	} else {
		t := newTable(a.out, "PROPOSAL", "POLICY", "WORKLOADS", "INGRESS", "EGRESS", "RARE", "NEXT UNSEEN", "90 %")
		for _, p := range list.Items {
			e := p.Network
			t.row(p.ID, p.Base.Namespace+"/"+p.Base.Name, fmt.Sprint(e.Workloads), sideText(e.Ingress), sideText(e.Egress), fmt.Sprint(rareIn(e)),
				percent(e.Complete.Unseen), percent(e.Complete.Low)+" to "+percent(e.Complete.High))
		}
		if err := t.flush(); err != nil {
			return err
		}
	}
	fmt.Fprintf(a.out, "\n%s looked at", plural(l.Edges, "edge", "edges"))
	if !l.Begin.IsZero() {
		fmt.Fprintf(a.out, ", %s to %s UTC", l.Begin.UTC().Format("2006-01-02 15:04"), l.End.UTC().Format("2006-01-02 15:04"))
	}
	fmt.Fprintf(a.out, "\n  not learned  %d unanswered, %d of the shape of an attack, %d beyond the bound\n", l.Unanswered, l.Held, l.Dropped)
	if l.Silent > 0 {
		fmt.Fprintf(a.out, "  not seen     %s: nothing is proposed for what was never looked at\n", plural(l.Silent, "workload", "workloads"))
	}
	if l.Known > 0 || len(l.Unused) > 0 {
		fmt.Fprintf(a.out, "  known        %d that policies in force allow; %s of these long unused\n", l.Known, plural(len(l.Unused), "rule", "rules"))
	}
	a.showLines("Shown apart, not learned: these look like attacks or need a look", l.Anomalies)
	a.showLines("Rules in force that no edge used in the last eight days", l.Unused)
	a.showCoverageOf(list.Coverage)
	if len(list.Items) > 0 {
		fmt.Fprintf(a.out, "Review one:  %s seg review %s\n", a.self, list.Items[0].ID)
	}
	return nil
}

// showLines prints some lines under a title.
func (a *app) showLines(title string, lines []string) {
	if len(lines) == 0 {
		return
	}
	fmt.Fprintf(a.out, "\n%s\n", a.paint(yellow, title))
	for i, l := range lines {
		if i == 10 {
			fmt.Fprintf(a.out, "  … and %d more, all with -o json\n", len(lines)-i)
			return
		}
		fmt.Fprintf(a.out, "  %s\n", printable(l))
	}
}

func sideText(s proposal.NetworkSide) string {
	if !s.Governed {
		return "not governed"
	}
	return plural(len(s.Rules), "rule", "rules")
}

func rareIn(e *proposal.NetworkEvidence) (n int) {
	for _, s := range []proposal.NetworkSide{e.Ingress, e.Egress} {
		for _, r := range s.Rules {
			if r.Rare != "" {
				n++
			}
		}
	}
	return n
}
