package main

import (
	"fmt"
	"net/http"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/gabion-io/gabion/controlplane/server"
	"github.com/gabion-io/gabion/segmentation"
)

func newSegEdges(a *app) *cobra.Command {
	var f flowFlags
	c := &cobra.Command{
		Use:   "edges",
		Short: "List who talks to whom, newest first",
		Long: `List edges: flows folded by source, destination and service, with the hardest
verdict that any of them met. What both ends of an edge reported is counted once.
The last line says which agents report, since when, and what was lost.`,
		Example: `  gabion seg edges --since 1h
  gabion seg edges -n shop --verdict denied
  gabion seg edges --from app=web --to shop/cart-0 -o json
  gabion seg edges --to 0.0.0.0/0 --port 443`,
		Args: args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			q, err := f.query(a.now())
			if err != nil {
				return usageOf(c, err)
			}
			cl, err := a.dial()
			if err != nil {
				return err
			}
			q.Set("limit", strconv.Itoa(f.limit))
			var list server.EdgeList
			if err := cl.call(c.Context(), request{method: http.MethodGet, path: "/api/v1/segmentation/edges", query: q}, &list); err != nil {
				return err
			}
			if done, err := a.structured(list); done {
				return err
			}
			return a.showEdges(list)
		},
	}
	f.add(c, 100, 10_000)
	return a.outputs(a.remote(c), "table", "json", "yaml")
}

func (a *app) showEdges(list server.EdgeList) error {
	if len(list.Items) == 0 {
		fmt.Fprintln(a.out, "no edges")
		a.showCoverageOf(list.Coverage)
		return nil
	}
	t := newTable(a.out, "SOURCE", "DESTINATION", "SERVICE", "VERDICT", "FLOWS", "ANSWERED", "BYTES", "LAST", "RULE")
	for i := range list.Items {
		e := &list.Items[i]
		verdict := e.Verdict.String()
		switch {
		case e.Denied > 0 && e.Denied < e.Flows:
			verdict = fmt.Sprintf("%d denied", e.Denied)
		case e.Audited > 0 && e.Audited < e.Flows && e.Denied == 0:
			verdict = fmt.Sprintf("%d audited", e.Audited)
		}
		t.row(e.Src.String(), e.Dst.String(), serviceText(e.Protocol, e.Port), verdict, count(e.Flows), count(e.Answered),
			bytesText(int64(e.Bytes)), ago(a.now(), e.Last), e.Rule)
	}
	if err := t.flush(); err != nil {
		return err
	}
	if list.Total > len(list.Items) {
		fmt.Fprintf(a.out, "… and %d older ones: --limit, or narrow it\n", list.Total-len(list.Items))
	}
	a.showCoverageOf(list.Coverage)
	return nil
}

func serviceText(p segmentation.Protocol, port uint16) string {
	return segmentation.Ports{Protocol: p, From: port, To: port}.String()
}
