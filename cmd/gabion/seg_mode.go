package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/gabion-io/gabion/controlplane/api/v1alpha1"
	"github.com/gabion-io/gabion/controlplane/proposal"
	"github.com/gabion-io/gabion/controlplane/server"
	"github.com/gabion-io/gabion/segmentation"
)

// The chance that the next sighting is of an unseen edge beyond which enforcing asks
// for --force: as estimated, and as high as it may be with 90 %.
const (
	lowCompleteness  = 0.05
	wideCompleteness = 0.2
)

func newSegMode(a *app) *cobra.Command {
	var namespace string
	var w writeFlags
	c := &cobra.Command{
		Use:   "mode POLICY observe|audit|enforce",
		Short: "Move a policy a step on, after a look at what it would do",
		Long: `Change the mode of a SegmentationPolicy: observe takes no part, audit lets pass and
records what it would deny, enforce denies. Before it writes it says what is known:
the flows that the policy would have denied and since when that was looked at, which
agents report, and how complete the learning was.

Enforcing is refused without --force when flows of the audit would have been denied,
when it was never audited, when no agent reports, or when the next unseen edge is
near. The way back is 'gabion rollback SegmentationPolicy POLICY'.`,
		Example: `  gabion seg mode shop/cart audit
  gabion seg mode cart enforce -n shop
  gabion seg mode shop/cart enforce --force`,
		Args: args(cobra.ExactArgs(2)),
		RunE: func(c *cobra.Command, given []string) error {
			mode, err := segmentation.ParseMode(given[1])
			if err != nil {
				return usageOf(c, err)
			}
			n, err := resolveName(v1alpha1.KindSegmentation, given[0], namespace)
			if err != nil {
				return err
			}
			return a.setMode(c.Context(), n, mode, w)
		},
	}
	w.add(c)
	c.Flags().BoolVar(&w.force, "force", false, "enforce although there are objections")
	return a.outputs(a.remote(namespaced(c, &namespace)), "table", "json")
}

func (a *app) setMode(ctx context.Context, n named, mode segmentation.Mode, w writeFlags) error {
	cl, err := a.dial()
	if err != nil {
		return err
	}
	var r server.Resource
	if err := cl.call(ctx, request{method: http.MethodGet, path: n.path()}, &r); err != nil {
		return err
	}
	objects, problems := v1alpha1.Decode("policy", r.Manifest)
	if len(problems) > 0 {
		return problems[0]
	}
	p, ok := objects[0].(*v1alpha1.SegmentationPolicy)
	if !ok {
		return fmt.Errorf("%s has no mode", r.Kind)
	}
	was := segmentation.Observe
	if p.Spec.Mode != "" {
		if was, err = segmentation.ParseMode(p.Spec.Mode); err != nil {
			return err
		}
	}
	if was == mode {
		return fmt.Errorf("%s is in mode %s already", v1alpha1.KeyOf(p), mode)
	}
	objections, err := a.checkMode(ctx, cl, v1alpha1.KeyOf(p), r.Updated, was, mode)
	if err != nil {
		return err
	}
	if mode == segmentation.Enforce && len(objections) > 0 && !w.force && !w.dryRun {
		return withHint(errors.New("nothing was changed: there are objections"), "look again with 'gabion seg flows --verdict audited', or overrule them with --force")
	}
	p.Spec.Mode = mode.String()
	text, err := v1alpha1.Encode(p)
	if err != nil {
		return err
	}
	q := w.query()
	if r.Revision > 0 {
		q.Set("revision", fmt.Sprint(r.Revision))
	}
	q.Del("force") // --force overrules the objections here, not problems of the result
	if err := a.change(ctx, request{method: http.MethodPost, path: "/api/v1/apply", query: q, body: text}, w); err != nil {
		return err
	}
	if a.output != "json" && !w.dryRun {
		fmt.Fprintf(a.out, "%s → %s. Take it back:  %s rollback SegmentationPolicy %s/%s\n", was, mode, a.self, p.Namespace, p.Name)
	}
	return nil
}

// checkMode says what is known of a policy before its mode changes, and what
// speaks against enforcing it.
func (a *app) checkMode(ctx context.Context, cl *client, key v1alpha1.Key, since time.Time, was, mode segmentation.Mode) (objections []string, err error) {
	q := url.Values{}
	if !since.IsZero() {
		q.Set("since", since.UTC().Format(time.RFC3339Nano))
	}
	var s server.SegmentationStatus
	if err := cl.call(ctx, request{method: http.MethodGet, path: "/api/v1/segmentation/status", query: q}, &s); err != nil {
		return nil, err
	}
	var st server.PolicyStatus
	for _, p := range s.Policies {
		if p.Policy == key.String() {
			st = p
		}
	}
	object := func(format string, args ...any) { objections = append(objections, fmt.Sprintf(format, args...)) }
	if st.Workloads == 0 {
		object("it selects no workload")
	}
	if why := nobodyLooks(s.Coverage.Agents); why != "" {
		object("%s: nothing is known of what it would deny", why)
	}
	switch {
	case was == segmentation.Observe:
		object("it was never audited as it is: what it would deny was not looked at")
	case was == segmentation.Audit && st.WouldDeny > 0:
		object("it would have denied %s since %s UTC", plural(st.WouldDeny, "flow", "flows"), since.UTC().Format("2006-01-02 15:04"))
	}
	learned, err := learnedAt(ctx, cl, key)
	if err != nil {
		return nil, err
	}
	if learned != nil && (learned.Complete.Unseen > lowCompleteness || learned.Complete.High > wideCompleteness) {
		object("%s", completeText(learned.Complete))
	}
	if a.output == "json" {
		return objections, nil
	}
	fmt.Fprintf(a.out, "%s: %s, %s\n", key, was, plural(st.Workloads, "workload", "workloads"))
	if was != segmentation.Observe {
		fmt.Fprintf(a.out, "  since %s UTC it denied %d, and would have denied %d\n", since.UTC().Format("2006-01-02 15:04"), st.Denied, st.WouldDeny)
	}
	fmt.Fprintf(a.out, "  coverage: %s\n", printable(s.Coverage.Summary))
	if mode == segmentation.Enforce {
		for _, o := range objections {
			fmt.Fprintf(a.out, "  %s %s\n", a.paint(yellow, "objection:"), printable(o))
		}
		a.showUnseen(learned)
	}
	return objections, nil
}

// nobodyLooks says why no agent sees what happens now; empty: some does.
func nobodyLooks(agents []server.AgentCoverage) string {
	switch {
	case len(agents) == 0:
		return "no agent has ever reported"
	case !slices.ContainsFunc(agents, func(h server.AgentCoverage) bool { return !h.Quiet }):
		return "no agent reports any more"
	}
	return ""
}

// showUnseen tells which directions are closed because nothing was seen of them.
func (a *app) showUnseen(learned *proposal.NetworkEvidence) {
	if learned == nil {
		return
	}
	for _, d := range []struct {
		name string
		side proposal.NetworkSide
	}{{"ingress", learned.Ingress}, {"egress", learned.Egress}} {
		if d.side.Governed && d.side.Complete.Sightings == 0 {
			fmt.Fprintf(a.out, "  %s: nothing was seen, and all of it is denied\n", d.name)
		}
	}
}

// learnedAt is what the newest accepted proposal of a policy rests on; nil: there is
// none.
func learnedAt(ctx context.Context, cl *client, key v1alpha1.Key) (*proposal.NetworkEvidence, error) {
	var list server.ProposalList
	q := url.Values{"state": {string(proposal.Accepted)}}
	if err := cl.call(ctx, request{method: http.MethodGet, path: "/api/v1/proposals", query: q}, &list); err != nil {
		return nil, err
	}
	for _, p := range list.Items {
		if p.Network != nil && (v1alpha1.Key{Kind: p.Base.Kind, Namespace: p.Base.Namespace, Name: p.Base.Name}) == key {
			return p.Network, nil
		}
	}
	return nil, nil
}
