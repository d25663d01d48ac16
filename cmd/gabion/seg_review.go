package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/gabion-io/gabion/controlplane/proposal"
)

func newSegReview(a *app) *cobra.Command {
	var since string
	c := &cobra.Command{
		Use:   "review PROPOSAL",
		Short: "Show what a proposed policy allows, why, and what it would break",
		Long: `Show a proposed policy: every rule with the flows behind it, how complete the
learning is, what it would have denied and allowed of the edges that are kept had it
been enforced, how far somebody in one of its workloads would reach before and after,
and the difference from what is in force.`,
		Example: "  gabion seg review latest\n  gabion seg review 01JB40 --since 7d\n  gabion proposal show 01JB40 -o yaml | gabion seg export -f - --to kubernetes",
		Args:    args(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, given []string) error {
			q, err := sinceQuery(c, since, a.now())
			if err != nil {
				return err
			}
			return a.onProposal(func(ctx context.Context, cl *client, p proposal.Proposal) error {
				if p.Network == nil {
					return withHint(fmt.Errorf("%s is a proposal of kind %s", p.ID, p.Kind), "'gabion proposal show %s' shows it", p.ID)
				}
				if p.State == proposal.Proposed {
					r, err := a.rehearse(ctx, cl, request{method: http.MethodPost, path: proposalPath(p.ID, "rehearse"), query: q})
					if err != nil {
						return err
					}
					if err := cl.call(ctx, request{method: http.MethodGet, path: proposalPath(p.ID)}, &p); err != nil {
						return errors.Join(fmt.Errorf("read the proposal after its rehearsal"), err)
					}
					p.Rehearsal = &r
				}
				if done, err := a.structured(p); done {
					return err
				}
				a.showPolicyProposal(p)
				if p.Rehearsal != nil {
					a.showNetworkRehearsal(*p.Rehearsal)
				}
				fmt.Fprintf(a.out, "\nAgainst what is in force\n%s", a.coloured(p.Patch))
				a.reviewNext(p)
				return nil
			})(c, given)
		},
	}
	c.Flags().StringVar(&since, "since", "", "rehearse on edges seen since: 24h, 7d, or a time (default all that are kept)")
	return a.outputs(a.remote(c), "table", "json", "yaml")
}

// showPolicyProposal prints a proposed policy, rule by rule.
func (a *app) showPolicyProposal(p proposal.Proposal) {
	e := p.Network
	fmt.Fprintln(a.out, a.paint(bold, "Proposal "+p.ID)+": "+printable(p.Title))
	fmt.Fprintf(a.out, "  state     %s\n  author    %s, %s\n  policy    %s, revision %d\n", p.State, p.Author, ago(a.now(), p.Created), p.Base, p.Base.Revision)
	fmt.Fprintf(a.out, "  selects   %s: %s\n", printable(e.Selects), plural(e.Workloads, "workload", "workloads"))
	fmt.Fprintf(a.out, "  evidence  %s, %s to %s UTC\n", p.Evidence.Supplied, e.Begin.UTC().Format("2006-01-02 15:04"), e.End.UTC().Format("2006-01-02 15:04"))
	fmt.Fprintf(a.out, "  complete  %s\n", completeText(e.Complete))
	for _, s := range []struct {
		name string
		side proposal.NetworkSide
	}{{"Ingress", e.Ingress}, {"Egress", e.Egress}} {
		if !s.side.Governed {
			fmt.Fprintf(a.out, "\n  %s: not governed by it\n", s.name)
			continue
		}
		fmt.Fprintf(a.out, "\n  %s: %s\n", s.name, completeText(s.side.Complete))
		if len(s.side.Rules) == 0 {
			fmt.Fprintln(a.out, "    nothing was seen: nothing is allowed")
		}
		for i, r := range s.side.Rules {
			fmt.Fprintf(a.out, "    [%d] %s\n        %s\n", i, printable(r.Rule), printable(r.Why))
		}
	}
	a.showLines("Shown apart, not learned", e.Anomalies)
}

func completeText(c proposal.CompletenessOf) string {
	if c.Sightings == 0 {
		return "nothing was seen"
	}
	return fmt.Sprintf("the next sighting is of an unseen edge with %s (90 %%: %s to %s)", percent(c.Unseen), percent(c.Low), percent(c.High))
}

// showNetworkRehearsal prints what a policy would have done to recorded edges.
func (a *app) showNetworkRehearsal(r proposal.Rehearsal) {
	n := r.Network
	fmt.Fprintf(a.out, "\n%s of %s, as if it were enforced\n", a.paint(bold, "Rehearsal"), plural(n.Edges, "recorded edge", "recorded edges"))
	fmt.Fprintf(a.out, "  newly denied   %d\n  newly allowed  %d\n  unchanged      %d\n", n.Denied, n.Allowed, n.Edges-n.Denied-n.Allowed)
	if r.Coverage.Data {
		fmt.Fprintf(a.out, "  coverage       %s\n", r.Coverage.Summary)
	} else {
		fmt.Fprintf(a.out, "  %s %s\n", a.paint(yellow, "no data:"), r.Coverage.Summary)
	}
	for _, s := range []struct {
		title string
		list  []proposal.NetworkChange
	}{{"Newly denied", n.WasDenied}, {"Newly allowed", n.NowOpen}} {
		if len(s.list) == 0 {
			continue
		}
		fmt.Fprintf(a.out, "\n  %s, for example\n", s.title)
		t := newTable(a.out, "  SOURCE", "DESTINATION", "SERVICE", "FLOWS", "BY")
		for _, x := range s.list {
			t.row("  "+x.Src, x.Dst, x.Service, count(x.Flows), x.Rule)
		}
		_ = t.flush()
	}
	fmt.Fprintf(a.out, "\n  Blast radius: what an attacker in a workload reaches, of %s on %s anybody serves\n", plural(n.Workloads, "workload", "workloads"), plural(n.Ports, "port", "ports"))
	t := newTable(a.out, "  FROM", "WORKLOADS BEFORE", "AFTER", "PORTS BEFORE", "AFTER")
	for _, x := range n.Reach[:min(len(n.Reach), 10)] {
		t.row("  "+x.From, fmt.Sprint(x.WorkloadsBefore), fmt.Sprint(x.WorkloadsAfter), fmt.Sprint(x.PortsBefore), fmt.Sprint(x.PortsAfter))
	}
	_ = t.flush()
}

func (a *app) reviewNext(p proposal.Proposal) {
	name := p.Base.Namespace + "/" + p.Base.Name
	switch p.State {
	case proposal.Proposed:
		fmt.Fprintf(a.out, "\nWrite it, in mode observe:  %[1]s proposal accept %[2]s\nThen, step by step:         %[1]s seg mode %[3]s audit\n", a.self, p.ID, name)
	case proposal.Accepted:
		fmt.Fprintf(a.out, "\nAccepted. Next:  %s seg mode %s audit\n", a.self, name)
	case proposal.Rejected:
	}
}
