package foreign

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/gabion-io/gabion/segmentation"
	"github.com/gabion-io/gabion/workload"
)

// Read reads one resource of Cilium's or Istio's as policies that allow no more
// than it does, but for addresses: those mean workloads too here, which a
// condition says, as it says everything that gabion cannot. They are enforced.
func Read(text []byte) ([]segmentation.Policy, []Condition, error) {
	var head struct {
		metav1.TypeMeta `json:",inline"`
		Metadata        meta `json:"metadata"`
	}
	if err := yaml.Unmarshal(text, &head); err != nil {
		return nil, nil, fmt.Errorf("read the resource: %w", err)
	}
	if head.Metadata.Name == "" {
		return nil, nil, fmt.Errorf("read the %s: it has no metadata.name", head.Kind)
	}
	if head.Metadata.Namespace == "" {
		head.Metadata.Namespace = "default"
	}
	r := &reader{id: workload.ID{Namespace: head.Metadata.Namespace, Name: head.Metadata.Name}, kind: head.Kind}
	var p segmentation.Policy
	var err error
	switch head.Kind {
	case ciliumKind:
		p, err = r.cilium(text)
	case istioKind:
		p, err = r.istio(text)
	default:
		return nil, nil, fmt.Errorf("read the resource: %s %s is none that is known here", head.APIVersion, head.Kind)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("read the %s %s: %w", head.Kind, r.id, err)
	}
	p.Name = segmentation.PolicyName{Kind: "SegmentationPolicy", ID: r.id}
	p.Mode = segmentation.Enforce
	return []segmentation.Policy{p}, r.conditions, nil
}

// reader reads one resource.
type reader struct {
	id         workload.ID
	kind       string
	conditions []Condition
}

func (r *reader) lost(path, format string, args ...any) {
	r.conditions = append(r.conditions, Condition{Policy: r.kind + " " + r.id.String(), Path: "spec." + path, Message: fmt.Sprintf(format, args...)})
}

// strict reads a part, and refuses fields that are not known here: what they say
// must not get lost.
func strict(raw json.RawMessage, to any) error {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	return d.Decode(to)
}

func selectorOf(s *metav1.LabelSelector) workload.Selector {
	if s == nil {
		return workload.Selector{}
	}
	out := workload.MatchLabels(s.MatchLabels)
	for _, e := range s.MatchExpressions {
		out.Requirements = append(out.Requirements, workload.Requirement{Label: e.Key, Operator: workload.Operator(e.Operator), Values: e.Values})
	}
	return out
}

// prefixOf reads a prefix or an address.
func prefixOf(text string) (netip.Prefix, bool) {
	if a, err := netip.ParseAddr(text); err == nil {
		return netip.PrefixFrom(a, a.BitLen()), true
	}
	p, err := netip.ParsePrefix(text)
	return p.Masked(), err == nil
}
