package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/gabion-io/gabion/controlplane/server"
	"github.com/gabion-io/gabion/controlplane/store"
	"github.com/gabion-io/gabion/filters"
)

// eventFlags narrow events.
type eventFlags struct {
	since, until                                string
	route, decision, policy, host, path, method string
	client                                      string
	rule, limit                                 int
	follow                                      bool
	api                                         bool // of API protection only
}

func newEvents(a *app) *cobra.Command {
	var f eventFlags
	c := &cobra.Command{
		Use:   "events",
		Short: "List security events, newest first",
		Long: `List security events, newest first. The decision is what the filter did: 'deny',
or 'detect' when it passed and block mode would have denied it, or 'allow' when
rules matched and block mode would have let it pass too. 'ended' is no decision: Envoy,
or the filter beside it, ended though nobody asked it to, and gabion up started it
again.`,
		Example: `  gabion waf events --since 1h
  gabion waf events --decision deny --route shop
  gabion waf events --rule 942100 -o json
  gabion waf events --decision ended          # when nothing was judged
  gabion waf events --follow`,
		Args: args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error { return a.events(c, f) },
	}
	f.register(c)
	c.Flags().IntVar(&f.rule, "rule", 0, "with a match of this rule")
	return a.outputs(a.remote(c), "table", "json")
}

// events lists or follows the events that flags select.
func (a *app) events(c *cobra.Command, f eventFlags) error {
	q, err := f.query(a.now())
	if err != nil {
		return usageOf(c, err)
	}
	cl, err := a.dial()
	if err != nil {
		return err
	}
	if f.follow {
		show := a.printEvent
		if f.api {
			show = a.printAPIEvent
		}
		return feed[store.StoredEvent]{"/api/v1/events", "event", show}.follow(c.Context(), a, cl, q, f.since != "")
	}
	return a.listEvents(c.Context(), cl, q, f)
}

// register adds the flags that narrow events of every kind.
func (f *eventFlags) register(c *cobra.Command) {
	fl := c.Flags()
	fl.StringVar(&f.since, "since", "", "only later ones: 90s, 1h, 7d, or a time like 2026-01-31T15:04:05Z")
	fl.StringVar(&f.until, "until", "", "only earlier ones, written the same way")
	fl.StringVar(&f.route, "route", "", "of this route: shop, or default/shop")
	fl.StringVar(&f.decision, "decision", "", "with this decision: "+strings.Join(f.decisions(), ", "))
	fl.StringVar(&f.policy, "policy", "", "of this policy: default/shop")
	fl.StringVar(&f.host, "host", "", "of this host")
	fl.StringVar(&f.path, "path", "", "of this path")
	fl.StringVar(&f.method, "method", "", "of this method")
	fl.StringVar(&f.client, "client", "", "of this client, as events show it")
	fl.IntVar(&f.limit, "limit", 50, "how many at most")
	fl.BoolVar(&f.follow, "follow", false, "wait for new ones and print them as they arrive")
}

// decisions are those that events of the kind have.
func (f eventFlags) decisions() []string {
	all := []string{string(filters.Allow), string(filters.Detect), string(filters.Denied)}
	if !f.api {
		all = append(all, string(filters.Ended))
	}
	return all
}

func (f eventFlags) query(now time.Time) (url.Values, error) {
	q := url.Values{}
	for name, text := range map[string]string{"since": f.since, "until": f.until} {
		if err := setMoment(q, name, name, text, now); err != nil {
			return nil, err
		}
	}
	if f.decision != "" && !slices.Contains(f.decisions(), f.decision) {
		return nil, fmt.Errorf("--decision %q: it is one of %s", f.decision, strings.Join(f.decisions(), ", "))
	}
	if f.limit < 1 {
		return nil, errors.New("--limit: at least 1")
	}
	route, policy := f.route, f.policy
	if route != "" && !strings.Contains(route, "/") {
		route = "default/" + route
	}
	if policy != "" && !strings.Contains(policy, " ") {
		if !strings.Contains(policy, "/") {
			policy = "default/" + policy
		}
		if f.api {
			policy = "APIPolicy " + policy
		} else {
			policy = "WAFPolicy " + policy
		}
	}
	for name, text := range map[string]string{
		"route": route, "decision": f.decision, "policy": policy, "host": f.host, "path": f.path, "method": f.method, "client": f.client,
	} {
		if text != "" {
			q.Set(name, text)
		}
	}
	if f.rule != 0 {
		q.Set("rule", strconv.Itoa(f.rule))
	}
	if f.api {
		q.Set("api", "true")
	}
	return q, nil
}

func (a *app) listEvents(ctx context.Context, cl *client, q url.Values, f eventFlags) error {
	limit := f.limit
	var items []store.StoredEvent
	for len(items) < limit {
		q.Set("limit", strconv.Itoa(min(limit-len(items), 1000)))
		var page server.EventList
		if err := cl.call(ctx, request{method: http.MethodGet, path: "/api/v1/events", query: q}, &page); err != nil {
			return err
		}
		items = append(items, page.Items...)
		if page.Next == "" {
			break
		}
		q.Set("cursor", page.Next)
	}
	if a.output == "json" {
		if items == nil {
			items = []store.StoredEvent{}
		}
		return writeJSON(a.out, map[string]any{"items": items})
	}
	if len(items) == 0 {
		return a.noEvents(ctx, cl)
	}
	columns, row := eventColumns(), a.eventRow
	if f.api {
		columns, row = apiEventColumns(), a.apiEventRow
	}
	t := newTable(a.out, columns...)
	for _, e := range items {
		t.row(row(e)...)
	}
	if err := t.flush(); err != nil {
		return err
	}
	if a.terminal() {
		fmt.Fprintf(a.out, "\n%s\n", a.paint(dim, a.self+" waf event ID shows the evidence of one"))
	}
	return nil
}

// noEvents never lets missing data look like peace.
func (a *app) noEvents(ctx context.Context, cl *client) error {
	fmt.Fprintln(a.out, "no events")
	var s server.Status
	if err := cl.call(ctx, request{method: http.MethodGet, path: "/api/v1/status"}, &s); err != nil {
		return err
	}
	connected, lost := 0, uint64(0)
	for _, p := range s.Proxies {
		if p.Connected {
			connected++
		}
	}
	for _, c := range s.Coverage {
		lost += c.Lost
	}
	switch {
	case connected == 0:
		fmt.Fprintln(a.out, "no proxy is connected: 'gabion status' says more")
	case lost > 0:
		fmt.Fprintf(a.out, "%d records are known to be lost: 'gabion status' says where\n", lost)
	}
	return nil
}

func eventColumns() []string {
	return []string{"TIME", "EVENT", "DECISION", "SCORE", "RULES", "METHOD", "HOST", "PATH", "ROUTE", "CLIENT"}
}

func (a *app) eventRow(e store.StoredEvent) []string {
	at := e.Time.Local().Format("Jan 02 15:04:05")
	if e.Process != nil { // no rule, no request: what there is to say stands where paths do
		return []string{at, e.ID, string(e.Decision), "", "", "", "", "(" + endText(e.Event) + ")", "", ""}
	}
	return []string{
		at, e.ID, string(e.Decision), strconv.Itoa(e.Score),
		cut(ruleText(e.Event), 40), e.Method, cut(e.Host, 40), cut(e.Path, 48), e.Route, cut(e.Client, 12),
	}
}

// ruleText lists the distinct rules that caused an event.
func ruleText(e filters.Event) string {
	var ids []string
	for _, m := range e.Matches {
		if id := strconv.Itoa(m.Rule); !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	text := strings.Join(ids, ",")
	if e.MoreMatches > 0 {
		text += fmt.Sprintf(",+%d", e.MoreMatches)
	}
	return text
}

func (a *app) printEvent(e *store.StoredEvent) error {
	if a.output == "json" {
		return json.NewEncoder(a.out).Encode(e)
	}
	row := a.eventRow(*e)
	for i := range row {
		row[i] = printable(row[i])
	}
	what := row[7]
	if e.Process == nil {
		what = fmt.Sprintf("%3s  %s  %s %s%s", row[3], row[4], row[5], row[6], row[7])
	}
	_, err := fmt.Fprintf(a.out, "%s  %s  %-6s  %s\n", row[0], row[1], a.decision(e.Decision), what)
	return err
}

func (a *app) decision(d filters.Decision) string {
	switch d {
	case filters.Denied, filters.Ended:
		return a.paint(red, string(d))
	case filters.Detect:
		return a.paint(yellow, string(d))
	}
	return string(d)
}
