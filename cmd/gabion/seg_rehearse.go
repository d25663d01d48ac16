package main

import (
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/gabion-io/gabion/controlplane/segment"
	"github.com/gabion-io/gabion/segmentation"
	"github.com/gabion-io/gabion/segmentation/rehearse"
	"github.com/gabion-io/gabion/workload"
)

func newSegRehearse(a *app) *cobra.Command {
	var policies, workloads []string
	var edges, base, from string
	c := &cobra.Command{
		Use:   "rehearse -f POLICIES --workloads FILE --edges FILE",
		Short: "Say what policies would have done to recorded edges",
		Long: `Judge recorded edges by the policies, as if every one were enforced, and by those in
force (--base; without it nothing is): what would newly be denied, and newly be
allowed, with examples; and the blast radius: how many workloads, on how many ports,
somebody who has taken over a workload reaches, before and after.`,
		Example: `  gabion seg rehearse -f policies.yaml --workloads workloads.yaml --edges lastweek.jsonl
  gabion seg rehearse -f new.yaml --base inforce.yaml --workloads workloads.yaml --edges lastweek.jsonl --from shop/web-1 -o json`,
		Args: args(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			r, err := a.readSegmentation(append(policies, workloads...), segment.Options{})
			if err != nil {
				return err
			}
			if len(r.Workloads) == 0 {
				return errNoWorkloads
			}
			var before []segmentation.Policy
			if base != "" {
				b, err := a.readSegmentation([]string{base}, segment.Options{NoWorkloads: true})
				if err != nil {
					return err
				}
				before = b.Policies
			}
			run := rehearse.New(r.Workloads, before, segmentation.Enforced(r.Policies))
			if err := a.foldEdges(edges, r.Workloads, run.Add); err != nil {
				return err
			}
			result := run.Result(func(i workload.Identity) bool { return i.Namespace+"/"+i.Name == from })
			if from != "" {
				result.Reach = slices.DeleteFunc(result.Reach, func(x rehearse.Reach) bool { return x.From != from })
				if len(result.Reach) == 0 {
					return fmt.Errorf("there is no workload %s", from)
				}
			}
			if a.output == "json" {
				return writeJSON(a.out, result)
			}
			return a.showSegRehearsal(result)
		},
	}
	manifestFlag(c, &policies, "policies to rehearse")
	c.Flags().StringArrayVar(&workloads, "workloads", nil, "file or directory with Workload resources (repeatable)")
	c.Flags().StringVar(&edges, "edges", "", "file with recorded edges, a JSON object a line, or - for standard input")
	c.Flags().StringVar(&base, "base", "", "file or directory with the policies in force")
	c.Flags().StringVar(&from, "from", "", "blast radius of this workload only (namespace/name)")
	_ = c.MarkFlagRequired("workloads")
	_ = c.MarkFlagRequired("edges")
	return a.outputs(c, "text", "json")
}

func (a *app) showSegRehearsal(r rehearse.Result) error {
	fmt.Fprintf(a.out, "Rehearsal of %s\n", plural(r.Edges, "recorded edge", "recorded edges"))
	fmt.Fprintf(a.out, "  newly denied   %d\n  newly allowed  %d\n  unchanged      %d\n", r.Denied.Count, r.Allowed.Count, r.Edges-r.Denied.Count-r.Allowed.Count)
	for _, s := range []struct {
		title string
		shift rehearse.Shift
	}{{"Newly denied", r.Denied}, {"Newly allowed", r.Allowed}} {
		if s.shift.Count == 0 {
			continue
		}
		fmt.Fprintf(a.out, "\n  %s, for example\n", s.title)
		t := newTable(a.out, "  SOURCE", "DESTINATION", "SERVICE", "FLOWS", "BY")
		for _, x := range s.shift.Examples {
			t.row("  "+x.Src, x.Dst, x.Service, fmt.Sprint(x.Flows), x.Rule)
		}
		if err := t.flush(); err != nil {
			return err
		}
	}
	fmt.Fprintf(a.out, "\n  Blast radius: what an attacker in a workload reaches, of %s on %s anybody serves\n", plural(r.Workloads, "workload", "workloads"), plural(r.Services, "port", "ports"))
	t := newTable(a.out, "  FROM", "WORKLOADS BEFORE", "AFTER", "PORTS BEFORE", "AFTER")
	for i, x := range r.Reach {
		if i == 10 {
			break
		}
		t.row("  "+x.From, fmt.Sprint(x.Before.Workloads), fmt.Sprint(x.After.Workloads), fmt.Sprint(x.Before.Ports), fmt.Sprint(x.After.Ports))
	}
	if err := t.flush(); err != nil {
		return err
	}
	if len(r.Reach) > 10 {
		fmt.Fprintf(a.out, "  … and %d more with -o json\n", len(r.Reach)-10)
	}
	if len(r.Reach) > 1 && len(r.Reach) < r.Workloads {
		fmt.Fprintf(a.out, "  looked at %d of %d workloads; at any other with --from\n", len(r.Reach), r.Workloads)
	}
	return nil
}
