package main

import (
	"fmt"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/gabion-io/gabion/controlplane/proposal"
	"github.com/gabion-io/gabion/controlplane/server"
)

// newPropose learns exclusions; it is `waf propose`, and `proposal suggest` for
// those who look there.
func newPropose(a *app, name string) *cobra.Command {
	var req server.SuggestRequest
	var since string
	var span time.Duration
	command := "gabion waf propose"
	c := &cobra.Command{
		Use:   name,
		Short: "Learn exclusions from the stored events",
		Long: `Look for parameters in which rules misfire (a comment field, a token in one cookie)
and propose an exclusion for each, by operation and parameter: rehearsed on what was
recorded, and with its price, the attacks of the regression suite that it would let
pass when they are sent in that very parameter of that operation.

Evidence is counted by client network, for each rule by itself: enough different ones,
over enough time. Events that match several classes of attack or a strong rule never
count, nor does anything from a network that sent one which the exclusions do not
explain, nor clients most of whose traffic would be denied, nor clients that never
pass in an operation where others do.

Nothing changes: review with 'gabion proposal show', write with 'gabion proposal accept'.
What was rejected is proposed again only when later events would be enough alone.`,
		Example: "  " + command + "\n  " + command + " --since 14d --route default/shop\n  " + command + " --min-clients 10 --min-hours 12 --min-span 48h -o json",
		Args:    args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			if since != "" {
				t, err := moment(since, a.now())
				if err != nil {
					return usageOf(c, fmt.Errorf("--since: %w", err))
				}
				req.Since = t.UTC()
			}
			if span != 0 {
				req.MinSpan = span.String()
			}
			return a.propose(c, req)
		},
	}
	f := c.Flags()
	f.StringVar(&since, "since", "", "events looked at: 24h, 7d (the default), or a time")
	f.StringVar(&req.Route, "route", "", "only for this route, for example default/shop (default all)")
	f.IntVar(&req.MinClients, "min-clients", 0, "client networks it takes, for each rule (default 5)")
	f.IntVar(&req.MinHours, "min-hours", 0, "different hours they first came in (default 5)")
	f.DurationVar(&span, "min-span", 0, "time from the first of them to the last (default 24h)")
	f.IntVar(&req.Limit, "limit", 0, "proposals at most (default 20)")
	return a.outputs(a.remote(c), "table", "json")
}

func (a *app) propose(c *cobra.Command, req server.SuggestRequest) error {
	cl, err := a.dial()
	if err != nil {
		return err
	}
	var list server.SuggestionList
	if err := cl.call(c.Context(), request{method: http.MethodPost, path: "/api/v1/proposals/suggest", body: req}, &list); err != nil {
		return err
	}
	if a.output == "json" {
		return writeJSON(a.out, list)
	}
	if len(list.Items) == 0 {
		fmt.Fprintln(a.out, "nothing to suggest: no false positive shows in the events of enough different clients")
	} else if err := a.showSuggestions(list.Items); err != nil {
		return err
	}
	l := list.Looked
	fmt.Fprintf(a.out, "\n%s looked at: %d that one parameter explains, %d of them proposed or decided before; %d alarming, which never count.\n",
		plural(l.Events, "event", "events"), l.Voices, l.Known, l.Alarming)
	if l.Unnamed > 0 {
		fmt.Fprintf(a.out, "%s explained by no parameter, but by something wider (the body, the URI, a name that was redacted), or by another site's address: whoever wants that excluded asks for it with '%s waf exclude EVENT'.\n",
			plural(l.Unnamed, "event is", "events are"), a.self)
	}
	if l.Discredited > 0 {
		fmt.Fprintf(a.out, "Nothing was learned from %s that sent what looks like an attack.\n", plural(l.Discredited, "client network", "client networks"))
	}
	if len(list.Items) > 0 {
		fmt.Fprintf(a.out, "\nReview one:  %[1]s proposal show %[2]s\nWrite it:    %[1]s proposal accept %[2]s\n", a.self, list.Items[0].ID)
	}
	return nil
}

// showSuggestions prints a line a proposal: what it is about, who spoke for it,
// what it does to recorded traffic and what it costs.
func (a *app) showSuggestions(items []proposal.Proposal) error {
	t := newTable(a.out, "PROPOSAL", "OPERATION", "PARAMETER", "RULES", "EVIDENCE", "WOULD PASS", "OPENS")
	for _, p := range items {
		x := p.Exclusions[0]
		at := x.Method + " " + x.Host + x.Path
		if x.Method == "" {
			at = "any " + x.Host + x.Path
		}
		rules := ""
		for i, r := range p.Evidence.Rules {
			if i > 0 {
				rules += " "
			}
			rules += fmt.Sprint(r.Rule)
		}
		passed := "not recorded"
		if p.Rehearsal != nil && p.Rehearsal.Coverage.Data {
			passed = fmt.Sprintf("%d of %d", p.Rehearsal.NewlyPassed, p.Rehearsal.Judged)
		}
		e := p.Evidence
		t.row(p.ID, cut(at, 48), cut(x.Target, 40), cut(rules, 40), fmt.Sprintf("%d clients, %d hours", e.Clients, e.Hours), passed, priceText(e.Opens))
	}
	return t.flush()
}

// priceText is what detection loses in the proposal's parameter.
func priceText(o proposal.Opens) string {
	if o.Error != "" {
		return "unknown"
	}
	text := fmt.Sprintf("%d of %d, %.2f points", o.Opened, o.Denied, o.Points)
	if !o.Complete {
		text += fmt.Sprintf(" (%d of %d tried)", o.Tried, o.Attacks)
	}
	return text
}
