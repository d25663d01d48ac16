package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/gabion-io/gabion/segmentation"
	"github.com/gabion-io/gabion/segmentation/learn"
)

// showDraft tells what was learned, and what was not and why.
func (a *app) showDraft(out io.Writer, d *learn.Draft, use *learn.Usage, took time.Duration) {
	o := d.Observation
	fmt.Fprintf(out, "Learned %s from %s in %s", plural(len(d.Proposals), "policy", "policies"), plural(o.Edges, "edge", "edges"), short(took))
	if !o.Begin.IsZero() {
		fmt.Fprintf(out, ", %s to %s UTC", o.Begin.Format("2006-01-02 15:04"), o.End.Format("2006-01-02 15:04"))
	}
	fmt.Fprintf(out, "\n  not learned  %d unanswered, %d of the shape of an attack, %d beyond the bound\n", o.Unanswered, o.Held, o.Dropped)
	if o.Stray > 0 {
		fmt.Fprintf(out, "  not believed %s, far from all others: is a host's clock wrong?\n", plural(o.Stray, "edge's time", "edges' times"))
	}
	fmt.Fprintf(out, "  not seen     %s\n\n", unseen(o))
	t := newTable(out, "POLICY", "WORKLOADS", "INGRESS", "EGRESS", "RARE", "NEXT UNSEEN", "90 %")
	for i := range d.Proposals {
		p := &d.Proposals[i]
		c := p.Completeness
		t.row(p.Policy.Name.ID.String(), fmt.Sprint(len(p.Members)), rulesText(p.Policy.Ingress), rulesText(p.Policy.Egress), fmt.Sprint(rareRules(p)),
			percent(c.Unseen), percent(c.Low)+" to "+percent(c.High))
	}
	_ = t.flush()
	a.showAnomalies(out, d.Anomalies)
	if use != nil {
		showUnused(out, use)
	}
}

// unseen is what so short an observation cannot know.
func unseen(o learn.Observation) string {
	switch length := o.End.Sub(o.Begin); {
	case length < 24*time.Hour:
		return "nightly and weekly jobs: " + length.Round(time.Minute).String() + " were observed"
	case length < 7*24*time.Hour:
		return "weekly jobs: " + length.Round(time.Hour).String() + " were observed"
	}
	return "monthly jobs, and what happens only in emergencies"
}

func rulesText(r segmentation.Rules) string {
	return plural(len(r.List), "rule", "rules")
}

func rareRules(p *learn.Proposal) (n int) {
	for _, s := range []learn.Side{p.Ingress, p.Egress} {
		for _, e := range s.Evidence {
			if e.Rare != "" {
				n++
			}
		}
	}
	return n
}

func (a *app) showAnomalies(out io.Writer, list []learn.Anomaly) {
	if len(list) == 0 {
		return
	}
	fmt.Fprintf(out, "\n%s\n", a.paint(yellow, "Shown apart, not learned: these look like attacks or need a look"))
	for i, n := range list {
		if i == 10 {
			fmt.Fprintf(out, "  … and %d more (--report FILE has them all)\n", len(list)-i)
			return
		}
		fmt.Fprintf(out, "  %s  %s: %s\n", n.Begin.Format("2006-01-02 15:04"), printable(endName(n.Source)), n.Why)
		var parts []string
		for k, e := range n.Edges {
			if k == 4 {
				parts = append(parts, fmt.Sprintf("… %d more", len(n.Edges)-k))
				break
			}
			answer := ""
			if !e.Answered {
				answer = " (no answer)"
			}
			parts = append(parts, fmt.Sprintf("%s %s %d%s", printable(endName(e.Dst)), e.Protocol, e.Port, answer))
		}
		fmt.Fprintf(out, "    %s\n", strings.Join(parts, ", "))
	}
}

func showUnused(out io.Writer, use *learn.Usage) {
	unused := use.Unused()
	fmt.Fprintf(out, "\n%s already allowed by the base; %s of it long unused\n", plural(use.Known(), "edge is", "edges are"), plural(len(unused), "rule", "rules"))
	for i, r := range unused {
		if i == 20 {
			fmt.Fprintf(out, "  … and %d more\n", len(unused)-i)
			return
		}
		fmt.Fprintf(out, "  %s\n", r)
	}
}

// endName is an end of a flow as people know it.
func endName(e segmentation.Endpoint) string {
	switch {
	case e.Workload != nil:
		return e.Workload.ID.String()
	case len(e.Names) > 0:
		return e.Names[0]
	}
	return e.Addr.String()
}

// draftReport is what --report writes.
type draftReport struct {
	Begin      time.Time        `json:"begin"`
	End        time.Time        `json:"end"`
	Edges      int              `json:"edges"`
	Unanswered int              `json:"unanswered"`
	Held       int              `json:"held"`
	Dropped    uint64           `json:"dropped"`
	Stray      int              `json:"stray,omitempty"`
	Proposals  []proposalReport `json:"proposals"`
	Anomalies  []anomalyReport  `json:"anomalies"`
	Unused     []unusedReport   `json:"unusedRules,omitempty"`
}

type unusedReport struct {
	Rule string    `json:"rule"`
	Last time.Time `json:"last,omitzero"` // absent: no edge used it
}

type proposalReport struct {
	Policy       string             `json:"policy"`
	Selects      string             `json:"selects"`
	Workloads    int                `json:"workloads"`
	Completeness learn.Completeness `json:"completeness"` // of both directions
	Ingress      []ruleReport       `json:"ingress"`
	Egress       []ruleReport       `json:"egress"`
	// A direction of which nothing was seen is denied, and is as incomplete as can be.
	IngressCompleteness learn.Completeness `json:"ingressCompleteness"`
	EgressCompleteness  learn.Completeness `json:"egressCompleteness"`
}

type ruleReport struct {
	Peers    []string       `json:"peers"`
	Ports    []string       `json:"ports"`
	Evidence learn.Evidence `json:"evidence"`
}

type anomalyReport struct {
	Shape  learn.Shape `json:"shape"`
	Source string      `json:"source"`
	Why    string      `json:"why"`
	Begin  time.Time   `json:"begin"`
	End    time.Time   `json:"end"`
	Edges  []string    `json:"edges"`
}

func reportOf(d *learn.Draft, use *learn.Usage) draftReport {
	o := d.Observation
	r := draftReport{Begin: o.Begin, End: o.End, Edges: o.Edges, Unanswered: o.Unanswered, Held: o.Held, Dropped: o.Dropped, Stray: o.Stray, Proposals: []proposalReport{}, Anomalies: []anomalyReport{}}
	for i := range d.Proposals {
		p := &d.Proposals[i]
		r.Proposals = append(r.Proposals, proposalReport{
			Policy: p.Policy.Name.ID.String(), Selects: p.Policy.Subject.String(), Workloads: len(p.Members), Completeness: p.Completeness,
			Ingress: ruleReports(p.Policy.Ingress, p.Ingress), Egress: ruleReports(p.Policy.Egress, p.Egress),
			IngressCompleteness: p.Ingress.Completeness, EgressCompleteness: p.Egress.Completeness,
		})
	}
	for _, n := range d.Anomalies {
		var edges []string
		for _, e := range n.Edges {
			edges = append(edges, fmt.Sprintf("%s %s %d", endName(e.Dst), e.Protocol, e.Port))
		}
		r.Anomalies = append(r.Anomalies, anomalyReport{n.Shape, endName(n.Source), n.Why, n.Begin, n.End, edges})
	}
	if use != nil {
		for _, u := range use.Unused() {
			r.Unused = append(r.Unused, unusedReport{u.Rule.String(), u.Last})
		}
	}
	return r
}

func ruleReports(rules segmentation.Rules, side learn.Side) []ruleReport {
	out := []ruleReport{}
	for i, r := range rules.List {
		one := ruleReport{Peers: []string{}, Ports: []string{}, Evidence: side.Evidence[i]}
		for k := range r.Peers {
			one.Peers = append(one.Peers, r.Peers[k].String())
		}
		for _, p := range r.Ports {
			one.Ports = append(one.Ports, p.String())
		}
		out = append(out, one)
	}
	return out
}
