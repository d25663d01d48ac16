package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/gabion-io/gabion/controlplane/api/v1alpha1"
	"github.com/gabion-io/gabion/controlplane/compile"
	"github.com/gabion-io/gabion/controlplane/source"
	"github.com/gabion-io/gabion/filters"
	"github.com/gabion-io/gabion/filters/chain"
)

// checkTraffic is the least that a policy can govern: one listener with one
// route. So what waf check compiles went through the very code that the control
// plane ships by.
const checkTraffic = `
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: check}
spec:
  gatewayClassName: gabion
  listeners: [{name: http, protocol: HTTP, port: 80}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: check}
spec:
  parentRefs: [{name: check}]
  rules: [{backendRefs: [{name: check, port: 80}]}]
---
apiVersion: v1
kind: Service
metadata: {name: check}
spec:
  ports: [{port: 80}]
`

// checkPolicy reads the effective policy that one WAFPolicy of a file makes.
func (a *app) checkPolicy(file, name string) (filters.Policy, error) {
	text, err := a.readFile(file)
	if err != nil {
		return filters.Policy{}, fmt.Errorf("read the policy: %w", err)
	}
	objects, problems := v1alpha1.Decode(file, text)
	if len(problems) > 0 {
		lines := make([]string, len(problems))
		for i, p := range problems {
			lines[i] = p.Error()
		}
		return filters.Policy{}, fmt.Errorf("the policy has mistakes\n  - %s", strings.Join(lines, "\n  - "))
	}
	policy, err := choosePolicy(file, name, objects)
	if err != nil {
		return filters.Policy{}, err
	}
	return a.effective(policy)
}

func choosePolicy(file, name string, objects []v1alpha1.Object) (*v1alpha1.WAFPolicy, error) {
	var found []*v1alpha1.WAFPolicy
	var names []string
	for _, o := range objects {
		if p, ok := o.(*v1alpha1.WAFPolicy); ok && (name == "" || p.Name == name) {
			found = append(found, p)
			names = append(names, p.Name)
		}
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) == 0 && name != "":
		return nil, fmt.Errorf("there is no WAFPolicy %s in %s", name, file)
	case len(found) == 0:
		return nil, fmt.Errorf("there is no WAFPolicy in %s", file)
	}
	return nil, withHint(fmt.Errorf("%s holds %d WAFPolicies", file, len(found)), "choose one with --name: %s", strings.Join(names, ", "))
}

// effective compiles a policy alone: attached to everything, defaults filled in.
func (a *app) effective(policy *v1alpha1.WAFPolicy) (filters.Policy, error) {
	alone := *policy
	alone.Namespace = v1alpha1.DefaultNamespace
	alone.Spec.TargetRefs, alone.Spec.Selector = nil, nil
	traffic, problems := v1alpha1.Decode("check", []byte(checkTraffic))
	if len(problems) > 0 {
		return filters.Policy{}, problems[0] // a mistake in this program
	}
	var items []source.Item
	for _, o := range append(traffic, &alone) {
		items = append(items, source.Item{Object: o, Origin: source.File})
	}
	result := compile.Compile(source.NewSet(items, nil), compile.Options{Now: a.now(), Check: chain.Check})
	var wrong []string
	for _, c := range result.Conditions {
		if c.Kind != v1alpha1.KindWAFPolicy || !c.Bad() {
			continue
		}
		if c.Reason == "NoEffect" || c.Reason == "Expired" {
			fmt.Fprintf(a.err, "gabion: warning: %s: %s\n", c.Path, c.Message)
			continue
		}
		wrong = append(wrong, strings.TrimPrefix(c.Path+": "+c.Message, ": "))
	}
	if len(wrong) > 0 {
		return filters.Policy{}, fmt.Errorf("the policy has mistakes\n  - %s", strings.Join(wrong, "\n  - "))
	}
	return onlyPolicy(result)
}

func onlyPolicy(result compile.Result) (filters.Policy, error) {
	tables, err := result.Tables()
	if err != nil {
		return filters.Policy{}, err
	}
	for _, t := range tables {
		for _, p := range t.Policies {
			return p, nil
		}
	}
	return filters.Policy{}, errors.New("the policy compiled to nothing")
}
