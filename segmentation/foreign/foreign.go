// Package foreign says policies in the words of other systems, and reads theirs:
// Kubernetes' NetworkPolicy, Cilium's CiliumNetworkPolicy, Istio's
// AuthorizationPolicy (who comes in, and HTTP).
//
// What is written never allows more than the policies do, whatever the other
// system cannot say: an allow that cannot be said is left out, a deny that cannot
// be said takes the allows with it that it might narrow, and a selection that
// cannot be said becomes a wider one for which nothing is opened. Each of these is
// a Condition; none is silent.
//
// It judges no flow and applies nothing. The control plane's composition and the
// command line import it.
package foreign

import (
	"cmp"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/gabion-io/gabion/segmentation"
	"github.com/gabion-io/gabion/workload"
)

// Kind is another system's resource.
type Kind string

// Kinds.
const (
	Kubernetes Kind = "kubernetes"
	Cilium     Kind = "cilium"
	Istio      Kind = "istio"
)

// ParseKind reads a kind's name.
func ParseKind(text string) (Kind, error) {
	for _, k := range []Kind{Kubernetes, Cilium, Istio} {
		if string(k) == text {
			return k, nil
		}
	}
	return "", fmt.Errorf("read kind %q: it is one of kubernetes, cilium, istio", text)
}

// Condition is what a format cannot say, and what became of it.
type Condition struct {
	Policy  string
	Path    string // into the policy's spec
	Message string
}

func (c Condition) String() string {
	if c.Path == "" {
		return c.Policy + ": " + c.Message
	}
	return c.Policy + ": " + c.Path + ": " + c.Message
}

// Document is a resource, to be written as YAML, with what it does not say.
type Document struct {
	Resource   any
	Conditions []Condition
}

// Export writes policies as resources of a kind, each policy as if it were
// enforced. Workloads tell which namespaces there are and which service accounts
// workloads use; without them what needs it is a condition.
func Export(kind Kind, policies []segmentation.Policy, workloads []*workload.Workload) []Document {
	x := &exporter{policies: policies, workloads: workloads, names: map[workload.ID]bool{}}
	var out []Document
	for i := range policies {
		x.policy = &policies[i]
		out = append(out, x.export(kind)...)
	}
	return out
}

// exporter writes one policy after another.
type exporter struct {
	policies   []segmentation.Policy
	workloads  []*workload.Workload
	names      map[workload.ID]bool // taken
	policy     *segmentation.Policy
	conditions []Condition
}

func (x *exporter) export(kind Kind) (out []Document) {
	x.conditions = nil
	p := x.policy
	if !p.Ingress.Governed && !p.Egress.Governed {
		x.lost("", "governs no direction: there is nothing to write")
		return []Document{{Conditions: x.conditions}}
	}
	if p.Mode != segmentation.Enforce {
		x.lost("mode", "is %s; %s knows no modes, what is written is enforced", p.Mode, kind)
	}
	for _, subject := range x.subjects() {
		var r any
		switch kind {
		case Cilium:
			r = x.cilium(subject)
		case Istio:
			r = x.istio(subject)
		default:
			r = x.networkPolicy(subject)
		}
		for _, one := range flat(r) {
			out = append(out, Document{Resource: one, Conditions: x.conditions})
			x.conditions = nil
		}
	}
	if len(x.conditions) > 0 {
		out = append(out, Document{Conditions: x.conditions})
	}
	return out
}

// flat takes a list of resources apart.
func flat(r any) []any {
	if list, ok := r.([]any); ok {
		return list
	}
	return []any{r}
}

func (x *exporter) lost(path, format string, args ...any) {
	c := Condition{Policy: x.policy.Name.String(), Message: fmt.Sprintf(format, args...)}
	if path != "" {
		c.Path = "spec." + path
	}
	if !slices.Contains(x.conditions, c) {
		x.conditions = append(x.conditions, c)
	}
}

// subject is what a resource selects: one namespace, by labels. Closed: it is more
// than the policy selects, so nothing may be opened.
type subject struct {
	name   workload.ID
	labels workload.Selector
	closed bool
}

// subjects are the policy's, one for each namespace.
func (x *exporter) subjects() (out []subject) {
	s := &x.policy.Subject
	spaces := []string{s.Namespace}
	if s.Namespace == "" || !s.Namespaces.Empty() {
		spaces = x.namespaces(s)
		x.lost("namespaceSelector", "selects namespaces: written for those that workloads are known in now (%d)", len(spaces))
	}
	if len(s.Names) > 0 {
		x.lost("selector.names", "workloads cannot be selected by name: all that its labels select are closed, and nothing is opened for them")
	}
	labels := workload.Selector{Requirements: slices.Clone(s.Labels.Requirements)}
	labels.Requirements = slices.DeleteFunc(labels.Requirements, func(r workload.Requirement) bool {
		if sayable(r) {
			return false
		}
		x.lost("selector", "%s is no label that can be written: all that the others select are closed, and nothing is opened for them", r)
		return true
	})
	closed := len(s.Names) > 0 || len(labels.Requirements) < len(s.Labels.Requirements)
	for _, space := range spaces {
		out = append(out, subject{x.name(space), labels, closed})
	}
	return out
}

// sayable says whether a cluster can carry a label: here workloads may be tagged with
// other texts too, and one of those would have a whole file refused.
func sayable(r workload.Requirement) bool {
	return len(validation.IsQualifiedName(r.Label)) == 0 &&
		!slices.ContainsFunc(r.Values, func(v string) bool { return len(validation.IsValidLabelValue(v)) > 0 })
}

// writable says whether a selection of peers can be written: by labels, and no names.
func writable(s *segmentation.Selection) bool {
	not := func(r workload.Requirement) bool { return !sayable(r) }
	return len(s.Names) == 0 && !slices.ContainsFunc(s.Labels.Requirements, not) && !slices.ContainsFunc(s.Namespaces.Requirements, not)
}

// namespaces lists those of known workloads that a selection may pick.
func (x *exporter) namespaces(s *segmentation.Selection) (out []string) {
	pick := segmentation.Selection{Namespace: s.Namespace, Namespaces: s.Namespaces}
	for _, w := range x.workloads {
		if pick.Matches(w.Identity()) && !slices.Contains(out, w.ID.Namespace) {
			out = append(out, w.ID.Namespace)
		}
	}
	slices.Sort(out)
	return out
}

func (x *exporter) name(space string) workload.ID {
	id := workload.ID{Namespace: space, Name: cmp.Or(x.policy.Name.Name, "policy")}
	for n := 2; x.names[id]; n++ {
		id.Name = fmt.Sprintf("%s-%d", x.policy.Name.Name, n)
	}
	x.names[id] = true
	return id
}

func pathOf(d segmentation.Direction, n int) string { return fmt.Sprintf("%s[%d]", d, n) }
