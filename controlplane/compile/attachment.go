package compile

import (
	"fmt"
	"slices"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/gabion-io/gabion/controlplane/api/v1alpha1"
)

// newPolicies files all policies of a kind by what they attach to. A target
// that does not exist or may not be named is a condition and left out.
func newPolicies[S any](c *compiler, list []*policy[S], from selection) *policies[S] {
	p := &policies[S]{
		list:      list,
		selects:   from.what,
		namespace: map[string][]*policy[S]{},
		targets:   map[target][]governing[S]{},
		used:      map[v1alpha1.Key]bool{},
		merged:    map[string]mergedPolicy[S]{},
		older:     c.ix.older,
	}
	for _, q := range list {
		a := q.attachment
		untargeted := len(a.TargetRefs) == 0 && a.Selector == nil
		if len(a.Locked) > 0 && !(untargeted && q.key.Namespace == c.o.RootNamespace) {
			c.rep.bad(q.key, v1alpha1.Programmed, reasonNoEffect, "spec.locked",
				"acts only in a policy without target in the root namespace %q", c.o.RootNamespace)
		}
		switch {
		case untargeted && q.key.Namespace == c.o.RootNamespace:
			p.root = append(p.root, q)
		case untargeted:
			p.namespace[q.key.Namespace] = append(p.namespace[q.key.Namespace], q)
		case a.Selector != nil:
			p.selected(c, q, from.objects)
		}
		for i, ref := range a.TargetRefs {
			p.targeted(c, q, ref, fmt.Sprintf("spec.targetRefs[%d]", i))
		}
	}
	return p
}

// selection is what the selectors of a kind of policy look at.
type selection struct {
	what    string
	objects []selectable
}

// selectable is an object that selectors match, with the labels it stands for.
type selectable struct {
	key    v1alpha1.Key
	labels map[string]string
}

// workloads are Services, by their own labels and those they select: a workload
// behind a Service has the latter.
func (ix *index) workloads() selection {
	var out []selectable
	for _, s := range ix.services {
		labels := map[string]string{}
		for k, v := range s.Labels {
			labels[k] = v
		}
		for k, v := range s.Spec.Selector {
			labels[k] = v
		}
		out = append(out, selectable{v1alpha1.KeyOf(s), labels})
	}
	return selection{"workload, by the labels of a Service or those it selects,", out}
}

// labelledGateways are what the selector of a ListenerPolicy matches.
func (ix *index) labelledGateways() selection {
	var out []selectable
	for _, g := range ix.gateways {
		out = append(out, selectable{v1alpha1.KeyOf(g), g.Labels})
	}
	return selection{"Gateway", out}
}

// selected attaches by label: in the policy's namespace, from the root namespace
// in all.
func (p *policies[S]) selected(c *compiler, q *policy[S], from []selectable) {
	found := false
	for _, s := range from {
		if s.key.Namespace != q.key.Namespace && q.key.Namespace != c.o.RootNamespace {
			continue
		}
		matches := true
		for label, value := range q.attachment.Selector.MatchLabels {
			got, ok := s.labels[label]
			matches = matches && ok && got == value
		}
		if matches {
			found = true
			t := target{s.key, ""}
			p.targets[t] = append(p.targets[t], governing[S]{q, levelService})
		}
	}
	if !found {
		c.rep.bad(q.key, v1alpha1.Accepted, reasonTarget, "spec.selector", "matches nothing: no %s has these labels", p.selects)
	}
}

func (p *policies[S]) targeted(c *compiler, q *policy[S], ref v1alpha1.TargetRef, path string) {
	t := target{v1alpha1.Key{Kind: ref.Kind, Namespace: ref.Namespace, Name: ref.Name}, ref.SectionName}
	if t.key.Namespace == "" {
		t.key.Namespace = q.key.Namespace
	}
	if !c.ix.granted(q.key, t.key) {
		c.rep.bad(q.key, v1alpha1.ResolvedRefs, reasonRefDenied, path, "may not govern %s: %s", t.key, grantHint)
		return
	}
	if !c.ix.has(t.key) {
		c.rep.bad(q.key, v1alpha1.Accepted, reasonTarget, path, "%s does not exist", t.key)
		return
	}
	if ref.SectionName != "" && !c.hasSection(t) {
		c.rep.bad(q.key, v1alpha1.Accepted, reasonTarget, path+".sectionName", "%s has no %s %q", t.key, sectionWord(t.key.Kind), ref.SectionName)
		return
	}
	p.targets[t] = append(p.targets[t], governing[S]{q, targetLevel(t)})
}

func sectionWord(kind string) string {
	if kind == v1alpha1.KindGateway {
		return "listener"
	}
	return "rule"
}

func targetLevel(t target) level {
	switch {
	case t.key.Kind == v1alpha1.KindGateway && t.section == "":
		return levelGateway
	case t.key.Kind == v1alpha1.KindGateway:
		return levelListener
	case t.key.Kind == v1alpha1.KindService:
		return levelService
	case t.section == "":
		return levelRoute
	}
	return levelRule
}

func (c *compiler) hasSection(t target) bool {
	if t.key.Kind == v1alpha1.KindGateway {
		g, _ := lookup[*gatewayv1.Gateway](c.ix, t.key.Kind, t.key.Namespace, t.key.Name)
		return g != nil && slices.ContainsFunc(g.Spec.Listeners, func(l gatewayv1.Listener) bool { return string(l.Name) == t.section })
	}
	for _, r := range c.allRoutes {
		if r.key == t.key {
			return slices.ContainsFunc(r.rules, func(r rule) bool { return r.name == t.section })
		}
	}
	return false
}

// idle reports policies that attach and yet govern nothing.
func (p *policies[S]) idle(c *compiler, what string) {
	for _, q := range p.list {
		// One whose target is missing has been told already.
		if !p.used[q.key] && !c.rep.isBad(q.key, v1alpha1.Accepted) && !c.rep.isBad(q.key, v1alpha1.ResolvedRefs) {
			c.rep.bad(q.key, v1alpha1.Programmed, reasonNoEffect, "", "governs no %s", what)
		}
	}
}

// collect takes the policies of one kind out of the set.
func collect[S any, T v1alpha1.Object](c *compiler, spec func(T) (*S, v1alpha1.Attachment)) []*policy[S] {
	var out []*policy[S]
	for _, item := range c.ix.set.Items() {
		if o, ok := item.Object.(T); ok {
			s, a := spec(o)
			out = append(out, &policy[S]{item.Key(), s, a})
		}
	}
	return out
}
