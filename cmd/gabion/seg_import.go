package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	yamlutil "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"

	"github.com/gabion-io/gabion/controlplane/api/v1alpha1"
	"github.com/gabion-io/gabion/controlplane/segment"
	"github.com/gabion-io/gabion/segmentation"
	"github.com/gabion-io/gabion/segmentation/foreign"
	"github.com/gabion-io/gabion/workload"
)

func newSegImport(a *app) *cobra.Command {
	var mode, out string
	c := &cobra.Command{
		Use:   "import FILE...",
		Short: "Read policies of Kubernetes, Cilium or Istio",
		Long: `Read NetworkPolicy, CiliumNetworkPolicy and AuthorizationPolicy and write the
SegmentationPolicy that allows no more than each does, but for Cilium's addresses,
which mean workloads too here. What gabion cannot say is told on standard error and
as a comment above the policy: an allow is left out; a deny that cannot be said
leaves nothing allowed in its direction.

NetworkPolicy needs no import: it is read as it is wherever policies are. Import it
to give it a mode.`,
		Example: `  gabion seg import networkpolicies.yaml -o policies.yaml
  kubectl get ciliumnetworkpolicies -A -o yaml | gabion seg import - --mode audit`,
		Args: args(cobra.MinimumNArgs(1)),
		RunE: func(c *cobra.Command, files []string) error {
			m, err := segmentation.ParseMode(mode)
			if err != nil {
				return usageOf(c, err)
			}
			return a.importPolicies(files, m, out)
		},
	}
	c.Flags().StringVar(&mode, "mode", "observe", "mode of the policies: observe, audit, enforce")
	c.Flags().StringVarP(&out, "output", "o", "-", "file to write to, or - for standard output")
	return c
}

func (a *app) importPolicies(files []string, mode segmentation.Mode, out string) error {
	paths, err := manifestFiles(files)
	if err != nil {
		return err
	}
	w := &importer{app: a, mode: mode, taken: map[workload.ID]bool{}}
	for _, file := range paths {
		text, err := a.readFile(file)
		if err != nil {
			return fmt.Errorf("read the policies: %w", err)
		}
		if err := w.file(file, text); err != nil {
			return fmt.Errorf("read %s: %w", file, err)
		}
	}
	if w.written == 0 {
		return errors.New("there is no policy in the files given")
	}
	return a.writePolicies(w.text.Bytes(), out, w.written, w.said)
}

// importer writes what it reads.
type importer struct {
	*app
	mode          segmentation.Mode
	text          bytes.Buffer
	written, said int
	taken         map[workload.ID]bool
}

func (w *importer) file(name string, text []byte) error {
	docs, err := foreignDocuments(text)
	if err != nil {
		return err
	}
	for _, doc := range docs {
		policies, conditions, err := importOne(name, doc)
		if err != nil {
			return err
		}
		for _, p := range policies {
			if err := w.policy(p, conditions); err != nil {
				return err
			}
			conditions = nil
		}
	}
	return nil
}

func (w *importer) policy(p segmentation.Policy, conditions []foreign.Condition) error {
	p.Mode = w.mode
	for n, name := 2, p.Name.Name; w.taken[p.Name.ID]; n++ {
		p.Name.Name = fmt.Sprintf("%s-%d", name, n)
	}
	w.taken[p.Name.ID] = true
	text, err := v1alpha1.Encode(segment.Resource(p, nil))
	if err != nil {
		return err
	}
	w.text.WriteString("---\n")
	for _, c := range conditions {
		fmt.Fprintf(&w.text, "# %s\n", c)
		w.sayLost(c, &w.said)
	}
	w.text.Write(text)
	w.written++
	return nil
}

// foreignDocuments takes a YAML stream apart, and lists in it.
func foreignDocuments(text []byte) (out [][]byte, err error) {
	in := yamlutil.NewYAMLReader(bufio.NewReader(bytes.NewReader(text)))
	for {
		doc, err := in.Read()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		var list struct {
			metav1.TypeMeta `json:",inline"`
			Items           []map[string]any `json:"items"`
		}
		if err := yaml.Unmarshal(doc, &list); err != nil {
			return nil, err
		}
		if list.Items == nil {
			if list.Kind != "" {
				out = append(out, doc)
			}
			continue
		}
		for _, item := range list.Items {
			one, err := yaml.Marshal(item)
			if err != nil {
				return nil, err
			}
			out = append(out, one)
		}
	}
}

// importOne reads one resource.
func importOne(file string, doc []byte) ([]segmentation.Policy, []foreign.Condition, error) {
	var head metav1.TypeMeta
	if err := yaml.Unmarshal(doc, &head); err != nil {
		return nil, nil, err
	}
	if head.Kind != v1alpha1.KindNetworkPolicy {
		return foreign.Read(doc)
	}
	objects, problems := v1alpha1.Decode(file, doc)
	if len(problems) > 0 {
		return nil, nil, problems[0]
	}
	r := segment.Compile(objects, segment.Options{NoWorkloads: true})
	var conditions []foreign.Condition
	for _, c := range r.Conditions {
		conditions = append(conditions, foreign.Condition{Policy: c.Key().String(), Path: c.Path, Message: c.Message})
	}
	for i := range r.Policies {
		p := &r.Policies[i]
		p.Name.Kind = v1alpha1.KindSegmentation
		p.Ingress.List, p.Egress.List = meant(p.Ingress.List), meant(p.Egress.List)
	}
	return r.Policies, conditions, nil
}

// meant leaves out peers that mean nobody, and rules that are left without any.
func meant(rules []segmentation.Rule) (out []segmentation.Rule) {
	for _, r := range rules {
		all := len(r.Peers) == 0
		r.Peers = slices.DeleteFunc(r.Peers, func(p segmentation.Peer) bool { return p == segmentation.Peer{} })
		if all || len(r.Peers) > 0 {
			out = append(out, r)
		}
	}
	return out
}
