package main

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gabion-io/gabion/controlplane/server"
	"github.com/gabion-io/gabion/segmentation"
)

func newSegGraph(a *app) *cobra.Command {
	var f flowFlags
	var by string
	c := &cobra.Command{
		Use:   "graph",
		Short: "Draw who talks to whom",
		Long: `Draw edges as a graph: workloads in groups, namespaces as boxes. Written for
Graphviz (dot), for pages that show Mermaid, or as JSON. What was denied is drawn
red and dashed, what audited policies would deny orange and dotted; when there are
too many edges to look at, those with the fewest flows are left out, and a comment
says how many.`,
		Example: `  gabion seg graph --since 1h -o dot | dot -Tsvg > graph.svg
  gabion seg graph -n shop -o mermaid
  gabion seg graph --by namespace -o json`,
		Args: args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			q, err := f.query(a.now())
			if err != nil {
				return usageOf(c, err)
			}
			if !slices.Contains([]string{"workload", "app", "namespace"}, by) {
				return usageOf(c, fmt.Errorf("--by %q: it is one of workload, app, namespace", by))
			}
			cl, err := a.dial()
			if err != nil {
				return err
			}
			q.Set("by", by)
			q.Set("limit", strconv.Itoa(f.limit))
			var g server.Graph
			if err := cl.call(c.Context(), request{method: http.MethodGet, path: "/api/v1/segmentation/graph", query: q}, &g); err != nil {
				return err
			}
			switch a.output {
			case "json":
				return writeJSON(a.out, g)
			case "mermaid":
				return drawMermaid(a.out, g)
			}
			return drawDot(a.out, g)
		},
	}
	f.add(c, 200, 2000)
	c.Flags().StringVar(&by, "by", "app", "what is drawn as one: workload, app (by its label), namespace")
	return a.outputs(a.remote(c), "dot", "mermaid", "json")
}

// remarks are what a picture does not show; every line of them is a comment.
func remarks(g server.Graph) []string {
	out := []string{"coverage: " + printable(g.Coverage.Summary)}
	if g.Left > 0 {
		out = append(out, fmt.Sprintf("%d edges with the fewest flows are left out", g.Left))
	}
	if len(g.Edges) == 0 {
		out = append(out, "no edges")
	}
	return out
}

// edgeLabel says what goes over an edge, and what became of it: colour is never
// the only sign.
func edgeLabel(e server.GraphEdge, newline string) string {
	parts := []string{strings.Join(e.Ports, ", "), plural(e.Flows, "flow", "flows")}
	if e.Denied > 0 {
		parts = append(parts, fmt.Sprintf("%d denied", e.Denied))
	}
	if e.Audited > 0 {
		parts = append(parts, fmt.Sprintf("%d would be denied", e.Audited))
	}
	return strings.Join(parts, newline)
}

func nodeLabel(n server.GraphNode, newline string) string {
	if n.Workloads > 1 {
		return n.Name + newline + fmt.Sprintf("%d workloads", n.Workloads)
	}
	return n.Name
}

// drawing is the nodes in their namespaces, by number: names are never written as
// identifiers.
type drawing struct {
	number map[string]int
	spaces []string // "" is outside, and last
	nodes  map[string][]server.GraphNode
}

func newDrawing(g server.Graph) drawing {
	d := drawing{number: map[string]int{}, nodes: map[string][]server.GraphNode{}}
	for i, n := range g.Nodes {
		d.number[n.ID] = i
		if !slices.Contains(d.spaces, n.Namespace) {
			d.spaces = append(d.spaces, n.Namespace)
		}
		d.nodes[n.Namespace] = append(d.nodes[n.Namespace], n)
	}
	slices.SortFunc(d.spaces, func(a, b string) int {
		if (a == "") != (b == "") {
			return len(b) - len(a)
		}
		return strings.Compare(a, b)
	})
	return d
}

// drawDot writes Graphviz' language (https://graphviz.org/doc/info/lang.html).
func drawDot(out io.Writer, g server.Graph) error {
	var b strings.Builder
	for _, r := range remarks(g) {
		fmt.Fprintf(&b, "// %s\n", r)
	}
	b.WriteString("digraph segmentation {\n  rankdir=LR\n  node [shape=box, style=rounded, fontname=\"sans-serif\"]\n  edge [fontname=\"sans-serif\", fontsize=10]\n")
	d := newDrawing(g)
	for i, space := range d.spaces {
		indent := "  "
		if space != "" {
			fmt.Fprintf(&b, "  subgraph cluster_%d {\n    label=%s\n", i, dotText(space))
			indent = "    "
		}
		for _, n := range d.nodes[space] {
			fmt.Fprintf(&b, "%sn%d [label=%s]\n", indent, d.number[n.ID], dotText(nodeLabel(n, "\n")))
		}
		if space != "" {
			b.WriteString("  }\n")
		}
	}
	for _, e := range g.Edges {
		style := ""
		switch e.Verdict {
		case segmentation.Denied:
			style = ", color=red, style=dashed"
		case segmentation.Audited:
			style = ", color=orange, style=dotted"
		case segmentation.Allowed:
		}
		fmt.Fprintf(&b, "  n%d -> n%d [label=%s%s]\n", d.number[e.From], d.number[e.To], dotText(edgeLabel(e, "\n")), style)
	}
	b.WriteString("}\n")
	_, err := io.WriteString(out, b.String())
	return err
}

// dotText is a quoted string of dot, in which a backslash begins an escape.
func dotText(s string) string {
	lines := strings.Split(s, "\n")
	for i := range lines {
		lines[i] = strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(printable(lines[i]))
	}
	return `"` + strings.Join(lines, `\n`) + `"`
}

// drawMermaid writes a Mermaid flowchart (https://mermaid.js.org/syntax/flowchart.html).
func drawMermaid(out io.Writer, g server.Graph) error {
	var b strings.Builder
	b.WriteString("flowchart LR\n")
	for _, r := range remarks(g) {
		fmt.Fprintf(&b, "  %%%% %s\n", strings.NewReplacer("{", "(", "}", ")").Replace(r))
	}
	d := newDrawing(g)
	for i, space := range d.spaces {
		indent := "  "
		if space != "" {
			fmt.Fprintf(&b, "  subgraph s%d[%s]\n", i, mermaidText(space))
			indent = "    "
		}
		for _, n := range d.nodes[space] {
			fmt.Fprintf(&b, "%sn%d[%s]\n", indent, d.number[n.ID], mermaidText(nodeLabel(n, ", ")))
		}
		if space != "" {
			b.WriteString("  end\n")
		}
	}
	var styles []string
	for i, e := range g.Edges {
		arrow := "-->"
		switch e.Verdict {
		case segmentation.Denied:
			arrow = "-.->"
			styles = append(styles, fmt.Sprintf("  linkStyle %d stroke:red\n", i))
		case segmentation.Audited:
			arrow = "-.->"
			styles = append(styles, fmt.Sprintf("  linkStyle %d stroke:orange\n", i))
		case segmentation.Allowed:
		}
		fmt.Fprintf(&b, "  n%d %s|%s| n%d\n", d.number[e.From], arrow, mermaidText(edgeLabel(e, "; ")), d.number[e.To])
	}
	b.WriteString(strings.Join(styles, ""))
	_, err := io.WriteString(out, b.String())
	return err
}

// mermaidText is a quoted text, whose own quotes are written as entities.
func mermaidText(s string) string {
	return `"` + strings.NewReplacer("&", "#amp;", `"`, "#quot;", "<", "#lt;", ">", "#gt;", "#", "#35;").Replace(printable(s)) + `"`
}
