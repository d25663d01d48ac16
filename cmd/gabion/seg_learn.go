package main

import (
	"bytes"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/gabion-io/gabion/controlplane/api/v1alpha1"
	"github.com/gabion-io/gabion/controlplane/segment"
	"github.com/gabion-io/gabion/internal/atomicfile"
	"github.com/gabion-io/gabion/segmentation"
	"github.com/gabion-io/gabion/segmentation/jsonl"
	"github.com/gabion-io/gabion/segmentation/learn"
	"github.com/gabion-io/gabion/workload"
)

// segLearnFlags are the flags of seg learn.
type segLearnFlags struct {
	edges, out, report, mode, base string
	workloads                      []string
}

func newSegLearn(a *app) *cobra.Command {
	var f segLearnFlags
	c := &cobra.Command{
		Use:   "learn --edges FILE --workloads FILE [-o FILE]",
		Short: "Learn policies from edges",
		Long: `Propose a policy for every group of workloads that talk alike: what was seen, and
nothing else, in both directions. Each rule says what it rests on, each policy how
complete the learning is. Attempts that nobody answered are no evidence; what has
the shape of an attack is shown, and not learned.

An edge is {"src":"namespace/name","dst":"namespace/name" or an address,"dstName":
"api.example.com" (optional),"protocol":"TCP","port":8080,"flows":12,"answered":12
(optional),"bytes":3456,"first":"2026-11-01T08:00:00Z","last":...}, one a line.

With --base the edges amend policies: what they allow already is not proposed
again, and rules that no edge used are told.`,
		Example: `  gabion seg learn --edges edges.jsonl --workloads workloads.yaml -o policies.yaml
  gabion seg learn --edges edges.jsonl --workloads workloads.yaml --report report.json > policies.yaml
  gabion seg learn --edges today.jsonl --workloads workloads.yaml --base policies.yaml -o more.yaml`,
		Args: args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			mode, err := segmentation.ParseMode(f.mode)
			if err != nil {
				return usageOf(c, err)
			}
			return a.learnPolicies(f, mode)
		},
	}
	c.Flags().StringVar(&f.edges, "edges", "", "file with edges, a JSON object a line, or - for standard input")
	c.Flags().StringArrayVar(&f.workloads, "workloads", nil, "file or directory with Workload resources (repeatable)")
	c.Flags().StringVarP(&f.out, "output", "o", "-", "file to write the policies to, or - for standard output")
	c.Flags().StringVar(&f.report, "report", "", "file to write everything that was found to, as JSON")
	c.Flags().StringVar(&f.mode, "mode", "observe", "mode of the policies: observe, audit, enforce")
	c.Flags().StringVar(&f.base, "base", "", "file or directory with policies that the edges amend")
	_ = c.MarkFlagRequired("edges")
	_ = c.MarkFlagRequired("workloads")
	return c
}

func (a *app) learnPolicies(f segLearnFlags, mode segmentation.Mode) error {
	files := f.workloads
	if f.base != "" {
		files = append([]string{f.base}, files...)
	}
	r, err := a.readSegmentation(files, segment.Options{NoWorkloads: true})
	if err != nil {
		return err
	}
	if len(r.Workloads) == 0 {
		return errNoWorkloads
	}
	l := learn.New(r.Workloads, learn.Options{Mode: mode})
	var use *learn.Usage
	if f.base != "" {
		use = learn.NewUsage(r.Policies, r.Workloads)
	}
	if err := a.foldEdges(f.edges, r.Workloads, func(e *segmentation.Edge) {
		if use == nil {
			l.Add(e)
			return
		}
		l.AddKnown(e, use.Add(e))
	}); err != nil {
		return err
	}
	began := time.Now()
	draft := l.Propose()
	if use != nil {
		draft.OnlyRules(r.Policies)
	}
	text, err := policiesYAML(&draft)
	if err != nil {
		return err
	}
	if f.report != "" {
		if err := a.writeReport(f.report, &draft, use); err != nil {
			return err
		}
	}
	out := a.out
	if f.out == "-" {
		if _, err := a.out.Write(text); err != nil {
			return err
		}
		out = a.err
	} else if err := atomicfile.Write(f.out, text, 0o644); err != nil {
		return fmt.Errorf("write the policies: %w", err)
	}
	a.showDraft(out, &draft, use, time.Since(began))
	if f.out != "-" {
		fmt.Fprintf(out, "\nWritten to %s. Judge flows by it:  %s seg evaluate -f %s --workloads %s --flows FILE\n", f.out, a.self, f.out, f.workloads[0])
	}
	return nil
}

// foldEdges reads edges in one goroutine and folds them in this one.
func (a *app) foldEdges(file string, workloads []*workload.Workload, fold func(*segmentation.Edge)) error {
	in, err := a.input(file, "edges")
	if err != nil {
		return err
	}
	defer in.Close()
	const batch = 1024
	batches, free := make(chan []segmentation.Edge, 8), make(chan []segmentation.Edge, 8)
	done := make(chan error, 1)
	go func() {
		defer close(batches)
		current := make([]segmentation.Edge, 0, batch)
		err := jsonl.NewReader(file, workloads).Edges(in, func(_ int, e *segmentation.Edge) error {
			if current = append(current, *e); len(current) == batch {
				batches <- current
				select {
				case current = <-free:
				default:
					current = make([]segmentation.Edge, 0, batch)
				}
			}
			return nil
		})
		batches <- current
		done <- err
	}()
	bar := a.progress("edges")
	for list := range batches {
		for i := range list {
			fold(&list[i])
		}
		_ = bar.Add(len(list))
		select {
		case free <- list[:0]:
		default:
		}
	}
	_ = bar.Finish()
	if err := <-done; err != nil {
		return fmt.Errorf("learn from the edges: %w", err)
	}
	return nil
}

// policiesYAML writes the proposals as resources, each under a comment that says
// how complete it is.
func policiesYAML(d *learn.Draft) ([]byte, error) {
	var b bytes.Buffer
	for i := range d.Proposals {
		p := &d.Proposals[i]
		text, err := v1alpha1.Encode(segment.Resource(p.Policy, func(dir segmentation.Direction, n int) string {
			return p.In(dir).Evidence[n].String()
		}))
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(&b, "---\n# %s. %s\n%s", plural(len(p.Members), "workload", "workloads"), completenessText(p), text)
	}
	return b.Bytes(), nil
}

func completenessText(p *learn.Proposal) string {
	side := func(name string, c learn.Completeness) string {
		if c.Sightings == 0 {
			return name + ": nothing was seen"
		}
		return fmt.Sprintf("%s: the next is unseen with %s (90 %%: %s to %s)", name, percent(c.Unseen), percent(c.Low), percent(c.High))
	}
	return side("Ingress", p.Ingress.Completeness) + "; " + side("egress", p.Egress.Completeness) + "."
}

func percent(share float64) string {
	switch {
	case share > 0 && share < 0.0005:
		return "<0.1 %"
	case share < 0.1:
		return fmt.Sprintf("%.1f %%", 100*share)
	}
	return fmt.Sprintf("%.0f %%", 100*share)
}

func (a *app) writeReport(file string, d *learn.Draft, use *learn.Usage) error {
	var b bytes.Buffer
	if err := writeJSON(&b, reportOf(d, use)); err != nil {
		return err
	}
	if err := os.WriteFile(file, b.Bytes(), 0o644); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}
