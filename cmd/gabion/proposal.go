package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/gabion-io/gabion/controlplane/api/v1alpha1"
	"github.com/gabion-io/gabion/controlplane/proposal"
	"github.com/gabion-io/gabion/controlplane/server"
)

func newProposal(a *app) *cobra.Command {
	return group("proposal", "Review proposals: list, show, rehearse, accept, reject",
		`A proposal is a candidate resource with its evidence. It enforces nothing until a
person accepts it, which writes the resource. A proposal is named by its id, the
beginning of it, or latest.`,
		newProposalList(a), newProposalShow(a), newPropose(a, "suggest"), newProposalRehearse(a), newProposalAccept(a), newProposalReject(a))
}

func proposalPath(id string, more ...string) string {
	return strings.Join(append([]string{"/api/v1/proposals", url.PathEscape(id)}, more...), "/")
}

func newProposalList(a *app) *cobra.Command {
	var state string
	c := &cobra.Command{
		Use:     "list",
		Short:   "List proposals, newest first",
		Example: "  gabion proposal list\n  gabion proposal list --show accepted",
		Args:    args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			q := url.Values{}
			switch state {
			case "proposed", "accepted", "rejected":
				q.Set("state", state)
			case "all":
			default:
				return usageOf(c, fmt.Errorf("--show %q: it is one of proposed, accepted, rejected, all", state))
			}
			cl, err := a.dial()
			if err != nil {
				return err
			}
			var list server.ProposalList
			if err := cl.call(c.Context(), request{method: http.MethodGet, path: "/api/v1/proposals", query: q}, &list); err != nil {
				return err
			}
			return a.showProposals(list)
		},
	}
	c.Flags().StringVar(&state, "show", "proposed", "proposed, accepted, rejected or all")
	return a.outputs(a.remote(c), "table", "json")
}

func (a *app) showProposals(list server.ProposalList) error {
	if a.output == "json" {
		return writeJSON(a.out, list)
	}
	if len(list.Items) == 0 {
		fmt.Fprintln(a.out, "no proposals; 'gabion waf exclude EVENT' makes one from an event, 'gabion seg propose' from flows, 'gabion api propose' from operations")
		return nil
	}
	t := newTable(a.out, "PROPOSAL", "STATE", "AGE", "AUTHOR", "TARGET", "REHEARSED", "TITLE")
	for _, p := range list.Items {
		rehearsed := "no"
		if p.Rehearsal != nil {
			rehearsed = fmt.Sprintf("%s, -%d +%d", ago(a.now(), p.Rehearsal.At), p.Rehearsal.NewlyPassed, p.Rehearsal.NewlyBlocked)
		}
		t.row(p.ID, string(p.State), age(a.now(), p.Created), p.Author, p.Base.String(), rehearsed, p.Title)
	}
	return t.flush()
}

func newProposalShow(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:     "show PROPOSAL",
		Short:   "Show a proposal with its evidence and its last rehearsal",
		Example: "  gabion proposal show 01JB40\n  gabion proposal show 01JB40 -o yaml     # the resource it would write",
		Args:    args(cobra.ExactArgs(1)),
		RunE: a.onProposal(func(ctx context.Context, cl *client, p proposal.Proposal) error {
			return a.printProposal(p, func() { a.proposalNext(p) })
		}),
	}
	return a.outputs(a.remote(c), "table", "yaml", "json")
}

// onProposal finds the proposal that a command names and does something with it.
func (a *app) onProposal(do func(context.Context, *client, proposal.Proposal) error) func(*cobra.Command, []string) error {
	return func(c *cobra.Command, given []string) error {
		cl, err := a.dial()
		if err != nil {
			return err
		}
		p, err := findProposal(c.Context(), cl, given[0])
		if err != nil {
			return err
		}
		return do(c.Context(), cl, p)
	}
}

// findProposal accepts an id, an unambiguous beginning of one, or latest.
func findProposal(ctx context.Context, cl *client, prefix string) (p proposal.Proposal, err error) {
	var list server.ProposalList
	if err := cl.call(ctx, request{method: http.MethodGet, path: "/api/v1/proposals"}, &list); err != nil {
		return p, err
	}
	if prefix == latest && len(list.Items) > 0 { // newest first
		return list.Items[0], nil
	}
	var found []proposal.Proposal
	for _, p := range list.Items {
		if strings.EqualFold(p.ID, prefix) {
			return p, nil
		}
		if len(p.ID) >= len(prefix) && strings.EqualFold(p.ID[:len(prefix)], prefix) {
			found = append(found, p)
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return p, withHint(fmt.Errorf("there is no proposal %s", prefix), "'gabion proposal list --show all' lists them")
	}
	return p, fmt.Errorf("%d proposals begin with %s, %s and %s among them; give more of the id", len(found), prefix, found[0].ID, found[len(found)-1].ID)
}

func newProposalRehearse(a *app) *cobra.Command {
	var since string
	c := &cobra.Command{
		Use:     "rehearse PROPOSAL",
		Short:   "Try a proposal on recorded traffic",
		Example: "  gabion proposal rehearse 01JB40 --since 24h",
		Args:    args(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, given []string) error {
			q, err := sinceQuery(c, since, a.now())
			if err != nil {
				return err
			}
			cl, err := a.dial()
			if err != nil {
				return err
			}
			p, err := findProposal(c.Context(), cl, given[0])
			if err != nil {
				return err
			}
			r, err := a.rehearse(c.Context(), cl, request{method: http.MethodPost, path: proposalPath(p.ID, "rehearse"), query: q})
			if err != nil {
				return err
			}
			if a.output == "json" {
				return writeJSON(a.out, r)
			}
			a.showRehearsal(r)
			fmt.Fprintf(a.out, "\nAccept it:  %s proposal accept %s\n", a.self, p.ID)
			return nil
		},
	}
	c.Flags().StringVar(&since, "since", "", "exchanges from then on: 1h, 7d, or a time (default all)")
	return a.outputs(a.remote(c), "table", "json")
}

func newProposalAccept(a *app) *cobra.Command {
	var write bool
	c := &cobra.Command{
		Use:   "accept PROPOSAL",
		Short: "Write the proposal's resource",
		Long: `Write the resource that a proposal stands for. When a file owns the name, nothing
is written and the patch is printed; with --write the file is edited, and the
proposal closes when the control plane has read it.`,
		Example: "  gabion proposal accept 01JB40\n  gabion proposal accept 01JB40 --write",
		Args:    args(cobra.ExactArgs(1)),
		RunE: a.onProposal(func(ctx context.Context, cl *client, p proposal.Proposal) error {
			return a.accept(ctx, cl, p, write)
		}),
	}
	c.Flags().BoolVar(&write, "write", false, "edit the file of a resource that a file owns")
	return a.outputs(a.remote(c), "table", "json")
}

func (a *app) accept(ctx context.Context, cl *client, p proposal.Proposal, write bool) error {
	r := request{method: http.MethodPost, path: proposalPath(p.ID, "accept")}
	var out server.Acceptance
	if err := cl.call(ctx, r, &out); err != nil {
		return err
	}
	if out.File != "" && !out.Written && out.Proposal.State != proposal.Accepted {
		if !write {
			return a.acceptRefused(p, out)
		}
		key := v1alpha1.Key{Kind: p.Base.Kind, Namespace: p.Base.Namespace, Name: p.Base.Name}
		if err := editFile(out.File, key, []byte(out.Proposal.Candidate)); err != nil {
			return err
		}
		fmt.Fprintf(a.err, "%s: %s edited\n", out.File, p.Base)
		var err error
		if out, err = acceptOnceRead(ctx, cl, r); err != nil {
			return err
		}
	}
	if a.output == "json" {
		if err := writeJSON(a.out, out); err != nil {
			return err
		}
		return a.rollout(out.Rollout)
	}
	fmt.Fprintf(a.out, "accepted: %s\n", printable(p.Title))
	if out.Revision == 0 { // written before, or by somebody else
		return nil
	}
	served := ""
	if inForce(out.Rollout) {
		served = " and in force"
	}
	fmt.Fprintf(a.out, "%s is at revision %d%s\nTake it back:  %s rollback %s %s/%s\n", p.Base, out.Revision, served, a.self, p.Base.Kind, p.Base.Namespace, p.Base.Name)
	if served != "" {
		return nil
	}
	return a.rollout(out.Rollout)
}

// acceptRefused shows the change to make in the file that owns the resource.
func (a *app) acceptRefused(p proposal.Proposal, out server.Acceptance) error {
	if a.output == "json" {
		if err := writeJSON(a.out, out); err != nil {
			return err
		}
	} else {
		fmt.Fprintf(a.out, "%s is owned by %s: not changed\n%s", p.Base, out.File, a.coloured(out.Patch))
	}
	return withHint(errors.New("nothing was changed: a file owns the resource"), "edit the file and accept again, or run the command again with --write")
}

// acceptOnceRead accepts again until the control plane has read the edited file.
func acceptOnceRead(ctx context.Context, cl *client, r request) (out server.Acceptance, err error) {
	for range 40 {
		if err = cl.call(ctx, r, &out); err == nil && out.Proposal.State == proposal.Accepted {
			return out, nil
		}
		select {
		case <-ctx.Done():
			return out, ctx.Err()
		case <-time.After(250 * time.Millisecond):
		}
	}
	if err == nil {
		err = errors.New("the control plane has not read the edited file")
	}
	return out, withHint(err, "the file is edited; accept again to close the proposal")
}

func newProposalReject(a *app) *cobra.Command {
	var reason string
	c := &cobra.Command{
		Use:     "reject PROPOSAL",
		Short:   "Close a proposal without writing",
		Example: `  gabion proposal reject 01JB40 --reason "the parameter is free text on purpose"`,
		Args:    args(cobra.ExactArgs(1)),
		RunE: a.onProposal(func(ctx context.Context, cl *client, p proposal.Proposal) error {
			var out proposal.Proposal
			r := request{method: http.MethodPost, path: proposalPath(p.ID, "reject"), body: server.RejectRequest{Reason: reason}}
			if err := cl.call(ctx, r, &out); err != nil {
				return err
			}
			if a.output == "json" {
				return writeJSON(a.out, out)
			}
			fmt.Fprintf(a.out, "rejected: %s\n", out.Title)
			return nil
		}),
	}
	c.Flags().StringVar(&reason, "reason", "", "why, for those who look later")
	return a.outputs(a.remote(c), "table", "json")
}

// printProposal prints a proposal in the form that was asked for; next says, to a
// person, what may follow.
func (a *app) printProposal(p proposal.Proposal, next func()) error {
	switch a.output {
	case "json":
		return writeJSON(a.out, p)
	case "yaml":
		_, err := fmt.Fprint(a.out, p.Candidate)
		return err
	}
	a.showProposal(p)
	if p.Rehearsal != nil {
		a.showRehearsal(*p.Rehearsal)
	}
	next()
	return nil
}

// showProposal prints what is proposed and its evidence.
func (a *app) showProposal(p proposal.Proposal) {
	if p.API != nil {
		a.showAPIProposal(p)
		return
	}
	if p.Network != nil {
		a.showPolicyProposal(p)
		fmt.Fprintf(a.out, "\n%s", a.coloured(p.Patch))
		return
	}
	fmt.Fprintln(a.out, a.paint(bold, "Proposal "+p.ID)+": "+printable(p.Title))
	fmt.Fprintf(a.out, "  state     %s\n  author    %s, %s\n  target    %s, revision %d\n", p.State, p.Author, ago(a.now(), p.Created), p.Base, p.Base.Revision)
	if p.DecidedBy != "" {
		fmt.Fprintf(a.out, "  decided   by %s, %s %s\n", p.DecidedBy, ago(a.now(), p.Decided), printable(p.Reason))
	}
	e := p.Evidence
	fmt.Fprintf(a.out, "\n  Evidence, supplied by %s\n", e.Supplied)
	fmt.Fprintf(a.out, "    covers   %s of %s%s\n", plural(e.Covered, "event", "events"), plural(e.Clients, "client", "clients"), whenSeen(e))
	for _, r := range e.Rules {
		fmt.Fprintf(a.out, "    rule     %d: %s of %s in %s; opens %d\n", r.Rule, plural(r.Events, "event", "events"), plural(r.Clients, "client", "clients"), plural(r.Forms, "form", "forms"), e.Opens.Rules[r.Rule])
	}
	fmt.Fprintf(a.out, "    replayed %d of them: %d would pass, %d still denied, %d were not recorded\n", e.Replay.Recorded, e.Replay.Passed, len(e.Replay.StillDenied), e.Replay.NotRecorded)
	fmt.Fprintf(a.out, "    others   %d of %s would pass as well (%s)\n", e.Others.WouldPass, plural(e.Others.Checked, "other event", "other events"), plural(e.Others.Clients, "client", "clients"))
	fmt.Fprintf(a.out, "    opens    %s\n", opensText(e.Opens))
	for _, n := range e.Notes {
		fmt.Fprintf(a.out, "    note     %s\n", printable(n))
	}
	if data, err := json.Marshal(e.Others.Sample); err == nil && len(e.Others.Sample) > 0 {
		fmt.Fprintf(a.out, "    sample   %s\n", data)
	}
	fmt.Fprintf(a.out, "\n%s", a.coloured(p.Patch))
}

// whenSeen is the time that learned evidence is spread over.
func whenSeen(e proposal.Evidence) string {
	if e.Hours == 0 {
		return ""
	}
	return fmt.Sprintf(", in %s from %s to %s", plural(e.Hours, "hour", "hours"), e.First.UTC().Format("2006-01-02 15:04"), e.Last.UTC().Format("2006-01-02 15:04"))
}

func opensText(o proposal.Opens) string {
	if o.Error != "" {
		return "unknown: " + o.Error
	}
	text := fmt.Sprintf("%d of the %d attacks tried there that are denied today, %.2f points of detection", o.Opened, o.Denied, o.Points)
	if !o.Complete {
		text += fmt.Sprintf(" (%d of %d tried; --full tries all)", o.Tried, o.Attacks)
	}
	if len(o.IDs) > 0 {
		shown := o.IDs[:min(len(o.IDs), 8)]
		text += ": " + strings.Join(shown, ", ")
		if more := o.Opened - len(shown); more > 0 {
			text += " and " + strconv.Itoa(more) + " more"
		}
	}
	return text
}

func (a *app) proposalNext(p proposal.Proposal) {
	if p.State != proposal.Proposed {
		return
	}
	fmt.Fprintf(a.out, "\nTry it on recorded traffic:  %[1]s proposal rehearse %[2]s\nWrite it:                    %[1]s proposal accept %[2]s\n", a.self, p.ID)
}
