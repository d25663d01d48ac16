package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/gabion-io/gabion/controlplane/server"
	"github.com/gabion-io/gabion/controlplane/store"
	"github.com/gabion-io/gabion/filters"
)

func newEvent(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:   "event ID",
		Short: "Show the evidence of one event, and what to do about it",
		Long: `Show the evidence of one event. The beginning of its id is enough when no other
begins so; latest is the newest.`,
		Example: `  gabion waf event 01JB3XQK
  gabion waf event latest
  gabion waf event 01JB3XQK5ZT0 -o json`,
		Args: args(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, given []string) error {
			cl, err := a.dial()
			if err != nil {
				return err
			}
			e, err := findEvent(c.Context(), cl, given[0])
			if err != nil {
				return err
			}
			if a.output == "json" {
				return writeJSON(a.out, e)
			}
			if e.Process != nil {
				a.showEnd(e.Event)
			} else {
				a.showEvent(e.Event)
			}
			return nil
		},
	}
	return a.outputs(a.remote(c), "table", "json")
}

// latest stands for the newest event or proposal where an id is asked for.
const latest = "latest"

// findEvent accepts an id, an unambiguous beginning of one, or latest.
func findEvent(ctx context.Context, cl *client, id string) (e store.StoredEvent, err error) {
	const list = "'gabion waf events' lists them"
	if id == latest {
		var page server.EventList
		r := request{method: http.MethodGet, path: "/api/v1/events", query: url.Values{"limit": {"1"}}}
		if err := cl.call(ctx, r, &page); err != nil {
			return e, err
		}
		if len(page.Items) == 0 {
			return e, withHint(errors.New("there are no events yet"), "'gabion status' says which proxies report")
		}
		return page.Items[0], nil
	}
	if len(id) < 4 { // what the control plane accepts
		return e, withHint(usageError{fmt.Errorf("event %q: give at least 4 characters of its id", id)}, list)
	}
	err = cl.call(ctx, request{method: http.MethodGet, path: "/api/v1/events/" + url.PathEscape(id)}, &e)
	var refused *remoteError
	if errors.As(err, &refused) && refused.status == http.StatusNotFound {
		err = withHint(err, list)
	}
	return e, err
}

// showEvent is a card: what happened, why, what block mode would do, what next.
func (a *app) showEvent(e filters.Event) {
	line := func(label, text string) {
		if text != "" {
			fmt.Fprintf(a.out, "  %-9s %s\n", label, printable(text))
		}
	}
	fmt.Fprintln(a.out, a.paint(bold, "Event "+e.ID))
	line("time", e.Time.Local().Format(time.DateTime)+" ("+ago(a.now(), e.Time)+")")
	line("request", strings.TrimSpace(e.Method+" "+e.Host+e.Path))
	line("client", e.Client)
	line("route", routeText(e))
	line("policy", policyText(e))
	line("proxy", e.Proxy)
	line("partial", e.Partial)
	fmt.Fprintln(a.out)
	fmt.Fprintf(a.out, "  %s: %s\n", a.decision(e.Decision), decisionText(e))
	if e.Reason != "" {
		fmt.Fprintf(a.out, "  because: %s\n", printable(e.Reason))
	}
	fmt.Fprintln(a.out)
	a.showViolations(e.API)
	for _, m := range e.Matches {
		a.showMatch(m)
	}
	if e.MoreMatches > 0 {
		fmt.Fprintf(a.out, "  and %d more matches that are not listed\n\n", e.MoreMatches)
	}
	a.nextSteps(e)
}

func routeText(e filters.Event) string {
	if e.RouteRule == "" {
		return e.Route
	}
	return e.Route + ", rule " + e.RouteRule
}

func policyText(e filters.Event) string {
	policy := e.Policy
	if policy == "" {
		policy = "built-in defaults"
	}
	return fmt.Sprintf("%s (mode %s)", policy, e.Mode)
}

func decisionText(e filters.Event) string {
	switch {
	case e.Decision == filters.Denied:
		return fmt.Sprintf("the client got status %d; inbound score %d", e.Status, e.Score)
	case e.WouldBe > 0:
		return fmt.Sprintf("passed; block mode would have answered %d; inbound score %d", e.WouldBe, e.Score)
	}
	return fmt.Sprintf("passed, and block mode would have let it pass too; inbound score %d", e.Score)
}

func (a *app) showMatch(m filters.Match) {
	points := ""
	if m.Score > 0 {
		points = fmt.Sprintf("  +%d", m.Score)
	}
	fmt.Fprintf(a.out, "  rule %s  %s%s\n", a.paint(bold, fmt.Sprint(m.Rule)), printable(m.Message), points)
	where := printable(m.Variable)
	if m.Read != "" {
		where += " (" + printable(m.Read) + ")"
	}
	if m.Value != "" {
		fmt.Fprintf(a.out, "    %s = %s\n", where, printable(m.Value))
	} else {
		fmt.Fprintf(a.out, "    %s\n", where)
	}
	if len(m.Tags) > 0 {
		fmt.Fprintf(a.out, "    %s\n", a.paint(dim, printable(strings.Join(m.Tags, " "))))
	}
	fmt.Fprintln(a.out)
}

func (a *app) nextSteps(e filters.Event) {
	if len(e.Matches) == 0 {
		return
	}
	fmt.Fprintln(a.out, "If this request is harmless, propose the narrowest fix:")
	fmt.Fprintf(a.out, "  %s waf exclude %s\n", a.self, e.ID)
	fmt.Fprintln(a.out, "What the first rule looks for:")
	fmt.Fprintf(a.out, "  %s waf rules %d\n", a.self, e.Matches[0].Rule)
}
