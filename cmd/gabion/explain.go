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

	"github.com/gabion-io/gabion/controlplane/compile"
	"github.com/gabion-io/gabion/controlplane/ingest"
	"github.com/gabion-io/gabion/controlplane/server"
)

func newExplain(a *app) *cobra.Command {
	var method, rule string
	c := &cobra.Command{
		Use:   "explain ROUTE | HOST/PATH",
		Short: "Say which policies govern a route, and why",
		Long: `Say which policies govern a route, which of them set each field and what it
overrode, and which of their rules can do nothing there.

Name a route (shop, or default/shop), or the traffic: a host with a path, or a URL.`,
		Example: `  gabion explain shop
  gabion explain shop.example.com/cart --method POST
  gabion explain http://127.0.0.1:8080/api/search`,
		Args: args(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, given []string) error {
			cl, err := a.dial()
			if err != nil {
				return err
			}
			e, asHost, err := explain(c.Context(), cl, given[0], rule, method)
			if err != nil {
				return err
			}
			if asHost {
				fmt.Fprintf(a.err, "gabion: no route is called %s; this is what governs requests to a host of that name\n", given[0])
			}
			if a.output == "json" {
				return writeJSON(a.out, e)
			}
			return a.showExplanation(e)
		},
	}
	c.Flags().StringVar(&method, "method", "GET", "method of the traffic")
	c.Flags().StringVar(&rule, "rule", "", "name or index of one of the route's rules (default all)")
	return a.outputs(a.remote(c), "table", "json")
}

// explain asks for a route when the words look like one, and else for traffic.
// What no route is called may still be a host without a dot.
func explain(ctx context.Context, cl *client, asked, rule, method string) (out server.Explanation, asHost bool, err error) {
	ask := func(q url.Values) error {
		return cl.call(ctx, request{method: http.MethodGet, path: "/api/v1/explain", query: q}, &out)
	}
	host, path, looksLikeRoute := splitAsked(asked)
	traffic := url.Values{"host": {host}, "path": {path}, "method": {method}}
	if !looksLikeRoute {
		return out, false, ask(traffic)
	}
	q := url.Values{"route": {asked}}
	if rule != "" {
		q.Set("rule", rule)
	}
	err = ask(q)
	var remote *remoteError
	if errors.As(err, &remote) && remote.status == http.StatusNotFound {
		if ask(traffic) == nil {
			return out, true, nil
		}
	}
	return out, false, err
}

func splitAsked(asked string) (host, path string, looksLikeRoute bool) {
	rest := asked
	for _, scheme := range []string{"http://", "https://"} {
		rest = strings.TrimPrefix(rest, scheme)
	}
	host, path, _ = strings.Cut(rest, "/")
	looksLikeRoute = rest == asked && strings.Count(asked, "/") <= 1 && !strings.ContainsAny(host, ".:") && !strings.HasSuffix(asked, "/")
	return host, "/" + path, looksLikeRoute
}

func (a *app) showExplanation(e server.Explanation) error {
	for i, r := range e.Rules {
		if i > 0 {
			fmt.Fprintln(a.out)
		}
		fmt.Fprintln(a.out, a.paint(bold, fmt.Sprintf("%s, rule %s, on listener %s", r.Route, r.Rule, r.Listener)))
		if len(r.Policies) == 0 {
			fmt.Fprintln(a.out, "  governed by no policy: nothing is inspected here")
		} else {
			fmt.Fprintln(a.out, "  governed by, least specific first:")
		}
		for _, p := range r.Policies {
			fmt.Fprintf(a.out, "    %-9s %s\n", p.Level, p.Policy)
		}
		for _, fields := range [][]compile.Field{r.Fields, r.API} {
			if err := a.showFields(fields); err != nil {
				return err
			}
		}
		if len(r.Conditions) > 0 {
			fmt.Fprintln(a.out, "\n  To look at, rules that can do nothing among them:")
			a.warn(r.Conditions)
		}
	}
	return a.showEfforts(e.Filters)
}

// showFields is what each field of an effective policy came to.
func (a *app) showFields(fields []compile.Field) error {
	if len(fields) == 0 {
		return nil
	}
	fmt.Fprintln(a.out)
	t := newTable(a.out, "  FIELD", "VALUE", "FROM", "INSTEAD OF")
	for _, f := range fields {
		value := strings.TrimSuffix(cut(string(f.Value), 60), "null")
		var others []string
		for _, o := range f.Others {
			others = append(others, fmt.Sprintf("%s (%s, %s)", cut(string(o.Value), 40), o.Policy, o.Why))
		}
		from := f.From
		if f.Locked != "" {
			from += ", locked by " + f.Locked
		}
		t.row("  "+f.Path, value, from, strings.Join(others, "; "))
	}
	return t.flush()
}

// showEfforts says how much of the engine's work was saved, by proxy.
func (a *app) showEfforts(filters []ingest.Effort) error {
	if len(filters) == 0 {
		return nil
	}
	fmt.Fprintln(a.out, "\n  The engine's work in the running filters, over all routes since they began:")
	t := newTable(a.out, "  PROXY", "VALUES", "KNOWN", "ASKED", "RULES", "SKIPPED", "REMEMBERED", "AT")
	for _, f := range filters {
		t.row("  "+f.Proxy, fmt.Sprint(f.Values), share(f.Known, f.Values), fmt.Sprint(f.Asked), fmt.Sprint(f.Rules),
			share(f.Skipped, f.Rules), fmt.Sprintf("%d (%d KiB)", f.Remembered, f.Bytes>>10), f.At.Format(time.TimeOnly))
	}
	return t.flush()
}

func share(part, whole uint64) string {
	if whole == 0 {
		return "-"
	}
	return fmt.Sprintf("%.1f%%", 100*float64(part)/float64(whole))
}
