package main

import (
	"bytes"
	"fmt"
	"io"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"github.com/gabion-io/gabion/controlplane/api/v1alpha1"
	"github.com/gabion-io/gabion/controlplane/segment"
	"github.com/gabion-io/gabion/internal/atomicfile"
	"github.com/gabion-io/gabion/segmentation/foreign"
)

func newSegExport(a *app) *cobra.Command {
	var policies, workloads []string
	var to, out string
	c := &cobra.Command{
		Use:   "export -f POLICIES --to KIND [-o FILE]",
		Short: "Write policies for Kubernetes, Cilium or Istio",
		Long: `Write policies as NetworkPolicy (kubernetes), CiliumNetworkPolicy (cilium) or
AuthorizationPolicy (istio: who comes in, and HTTP). What is written never allows
more than the policies do. What the other system cannot say is told on standard
error and as a comment above the resource: an allow is left out, a deny takes the
allows with it that it might narrow, and a selection that cannot be said becomes a
wider one for which nothing is opened.

With --workloads, selections of namespaces and, for istio, the service accounts of
peers are known.`,
		Example: `  gabion seg export -f policies.yaml --to kubernetes -o networkpolicies.yaml
  gabion seg export -f policies.yaml --to istio --workloads workloads.yaml > istio.yaml`,
		Args: args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			kind, err := foreign.ParseKind(to)
			if err != nil {
				return usageOf(c, err)
			}
			r, err := a.readSegmentation(append(policies, workloads...), segment.Options{NoWorkloads: true})
			if err != nil {
				return err
			}
			return a.exportPolicies(kind, r, out)
		},
	}
	manifestFlag(c, &policies, "policies")
	c.Flags().StringArrayVar(&workloads, "workloads", nil, "file or directory with Workload resources, and the Namespaces' labels (repeatable)")
	c.Flags().StringVar(&to, "to", "", "kubernetes, cilium or istio")
	c.Flags().StringVarP(&out, "output", "o", "-", "file to write to, or - for standard output")
	_ = c.MarkFlagRequired("to")
	return c
}

func (a *app) exportPolicies(kind foreign.Kind, r segment.Result, file string) error {
	var b bytes.Buffer
	written, said := 0, 0
	for _, d := range foreign.Export(kind, r.Policies, r.Workloads) {
		if d.Resource != nil {
			b.WriteString("---\n")
			written++
		}
		for _, c := range d.Conditions {
			fmt.Fprintf(&b, "# %s\n", c)
			a.sayLost(c, &said)
		}
		if d.Resource == nil {
			continue
		}
		text, err := foreignYAML(d.Resource)
		if err != nil {
			return err
		}
		b.Write(text)
	}
	return a.writePolicies(b.Bytes(), file, written, said)
}

// foreignYAML writes canonical YAML.
func foreignYAML(resource any) ([]byte, error) {
	if o, ok := resource.(v1alpha1.Object); ok {
		return v1alpha1.Encode(o)
	}
	text, err := yaml.Marshal(resource)
	if err != nil {
		return nil, fmt.Errorf("write the resource: %w", err)
	}
	return text, nil
}

// sayLost tells the first conditions.
func (a *app) sayLost(c foreign.Condition, said *int) {
	if *said++; *said <= 20 {
		fmt.Fprintf(a.err, "gabion: warning: %s\n", c)
	}
}

// writePolicies writes resources and sums up.
func (a *app) writePolicies(text []byte, file string, written, said int) error {
	if said > 20 {
		fmt.Fprintf(a.err, "gabion: warning: … and %d more, each above its resource\n", said-20)
	}
	var out io.Writer = a.out
	if file == "-" {
		if _, err := a.out.Write(text); err != nil {
			return err
		}
		out = a.err
	} else if err := atomicfile.Write(file, text, 0o644); err != nil {
		return fmt.Errorf("write the policies: %w", err)
	}
	fmt.Fprintf(out, "Wrote %s with %s.\n", plural(written, "resource", "resources"), plural(said, "condition", "conditions"))
	return nil
}
