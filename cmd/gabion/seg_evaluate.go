package main

import (
	"bufio"
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/gabion-io/gabion/controlplane/segment"
	"github.com/gabion-io/gabion/segmentation"
	"github.com/gabion-io/gabion/segmentation/jsonl"
)

func newSegEvaluate(a *app) *cobra.Command {
	var policies, workloads []string
	var flows string
	var asIs bool
	c := &cobra.Command{
		Use:   "evaluate -f POLICIES --workloads FILE --flows FILE",
		Short: "Say what becomes of flows",
		Long: `Judge flows by the reference that every enforcement must agree with. Each line of
the flows gives one line of JSON, in order:

  {"src","dst","protocol","port","verdict":"allowed|denied|audited","rule"}

A flow is {"src":"namespace/name","dst":"namespace/name" or an address,
"dstName":"api.example.com" (optional),"protocol":"TCP","port":8080}. The answer is
as if every policy were enforced; with --as-is each counts by its mode. The rule is
the one that decided: of the destination if both ends allow, else of the end that
denies.`,
		Example: `  gabion seg evaluate -f policies.yaml --workloads workloads.yaml --flows flows.jsonl
  gabion seg evaluate -f policies/ --workloads workloads.yaml --flows - --as-is < flows.jsonl | grep '"denied"'`,
		Args: args(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			r, err := a.readSegmentation(append(policies, workloads...), segment.Options{NoWorkloads: true})
			if err != nil {
				return err
			}
			if len(r.Workloads) == 0 {
				return errNoWorkloads
			}
			if !asIs {
				r.Policies = segmentation.Enforced(r.Policies)
			}
			return a.evaluate(r, flows)
		},
	}
	manifestFlag(c, &policies, "policies")
	c.Flags().StringArrayVar(&workloads, "workloads", nil, "file or directory with Workload resources, and the Namespaces' labels (repeatable)")
	c.Flags().StringVar(&flows, "flows", "", "file with flows, a JSON object a line, or - for standard input")
	c.Flags().BoolVar(&asIs, "as-is", false, "honour each policy's mode, instead of taking all as enforced")
	_ = c.MarkFlagRequired("workloads")
	_ = c.MarkFlagRequired("flows")
	return c
}

// verdictLine is the answer for one flow.
type verdictLine struct {
	Src      string                `json:"src"`
	Dst      string                `json:"dst"`
	Protocol segmentation.Protocol `json:"protocol"`
	Port     uint16                `json:"port"`
	Verdict  segmentation.Verdict  `json:"verdict"`
	Rule     string                `json:"rule"`
}

func (a *app) evaluate(r segment.Result, flows string) error {
	in, err := a.input(flows, "flows")
	if err != nil {
		return err
	}
	defer in.Close()
	evaluator := segmentation.NewEvaluator(r.Policies, r.Workloads)
	out := bufio.NewWriter(a.out)
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	bar := a.progress("flows")
	err = jsonl.NewReader(flows, r.Workloads).Flows(in, func(l *jsonl.Line, f segmentation.Flow) error {
		_ = bar.Add(1)
		v, rule := evaluator.Evaluate(f)
		return enc.Encode(verdictLine{l.Src, l.Dst, f.Protocol, f.Port, v, rule.String()})
	})
	_ = bar.Finish()
	if flushed := out.Flush(); err == nil {
		err = flushed
	}
	if err != nil {
		return withHint(fmt.Errorf("judge the flows: %w", err), "the lines before it are answered")
	}
	return nil
}
