package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/gabion-io/gabion/controlplane/server"
	"github.com/gabion-io/gabion/controlplane/store"
)

func newSegFlows(a *app) *cobra.Command {
	var f flowFlags
	var follow bool
	c := &cobra.Command{
		Use:   "flows",
		Short: "List recent flows, newest first",
		Long: `List recent flows as the agents reported them: each line is what a workload's flows
with one peer came to in a few seconds, judged at one end, with the rule that
decided and, where it is known, the process that opened one of them. With --follow
they are printed as they arrive.`,
		Example: `  gabion seg flows --since 10m --verdict denied
  gabion seg flows --from shop/web-0 --port 5432 -o json
  gabion seg flows --follow -l app=db`,
		Args: args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			q, err := f.query(a.now())
			if err != nil {
				return usageOf(c, err)
			}
			if follow && a.output == "yaml" {
				return usageOf(c, errors.New("--follow prints lines: -o table or -o json"))
			}
			cl, err := a.dial()
			if err != nil {
				return err
			}
			if follow {
				return feed[store.Flow]{"/api/v1/segmentation/flows", "flow", a.printFlow}.follow(c.Context(), a, cl, q, f.since != "")
			}
			return a.listFlows(c.Context(), cl, q, f.limit)
		},
	}
	f.add(c, 100, 100_000)
	c.Flags().BoolVar(&follow, "follow", false, "wait for new ones and print them as they arrive")
	return a.outputs(a.remote(c), "table", "json", "yaml")
}

func (a *app) listFlows(ctx context.Context, cl *client, q url.Values, limit int) error {
	all := server.FlowList{Items: []store.Flow{}}
	for len(all.Items) < limit {
		q.Set("limit", strconv.Itoa(min(limit-len(all.Items), 1000)))
		var page server.FlowList
		if err := cl.call(ctx, request{method: http.MethodGet, path: "/api/v1/segmentation/flows", query: q}, &page); err != nil {
			return err
		}
		if all.Items, all.Coverage = append(all.Items, page.Items...), page.Coverage; all.Now == "" {
			all.Now = page.Now
		}
		if all.Next = page.Next; page.Next == "" {
			break
		}
		q.Set("cursor", page.Next)
	}
	if done, err := a.structured(all); done {
		return err
	}
	if len(all.Items) == 0 {
		fmt.Fprintln(a.out, "no flows")
		a.showCoverageOf(all.Coverage)
		return nil
	}
	t := newTable(a.out, "TIME", "SOURCE", "DESTINATION", "SERVICE", "VERDICT", "AT", "FLOWS", "BYTES", "PROCESS", "RULE")
	for i := range all.Items {
		t.row(flowCells(&all.Items[i])...)
	}
	if err := t.flush(); err != nil {
		return err
	}
	a.showCoverageOf(all.Coverage)
	return nil
}

// flowCells is a flow as a person reads it.
func flowCells(f *store.Flow) []string {
	at := "source"
	if f.Direction.String() == "ingress" {
		at = "destination"
	}
	verdict := f.Verdict.String()
	if f.Reason != "" && f.Reason != verdict {
		verdict += ": " + f.Reason
	}
	process := ""
	if f.Process != "" {
		process = fmt.Sprintf("%s[%d]", filepath.Base(f.Process), f.PID)
	}
	return []string{
		f.Last.Local().Format("Jan 02 15:04:05"), f.Src.String(), f.Dst.String(), serviceText(f.Protocol, f.Port), verdict, at,
		count(f.Flows), bytesText(int64(f.Bytes)), process, f.Rule,
	}
}

func (a *app) printFlow(f *store.Flow) error {
	if a.output == "json" {
		return json.NewEncoder(a.out).Encode(f)
	}
	c := flowCells(f)
	for i := range c {
		c[i] = printable(c[i])
	}
	who := ""
	if c[8] != "" {
		who = " by " + c[8]
	}
	_, err := fmt.Fprintf(a.out, "%s  %-7s  %s → %s  %s%s  %s\n", c[0], a.verdictText(f.Verdict), c[1], c[2], c[3], who, c[9])
	return err
}
