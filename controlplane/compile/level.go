package compile

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/gabion-io/gabion/controlplane/api/v1alpha1"
)

// level is how specific a policy's attachment is, least first.
type level int

const (
	levelRoot level = iota
	levelNamespace
	levelGateway
	levelListener
	levelService // a Service, or workloads by selector
	levelRoute
	levelRule
)

func (l level) String() string {
	return [...]string{"root", "namespace", "gateway", "listener", "service", "route", "rule"}[l]
}

// policy is one resource that attaches.
type policy[S any] struct {
	key        v1alpha1.Key
	spec       *S
	attachment v1alpha1.Attachment
}

// governing is a policy that applies somewhere, and by what.
type governing[S any] struct {
	policy *policy[S]
	level  level
}

// target is an object, or a section of it, that policies name.
type target struct {
	key     v1alpha1.Key
	section string
}

// place is what policies can attach to, from the outside in. What does not apply
// is left zero.
type place struct {
	namespace string
	gateway   v1alpha1.Key
	listener  string
	services  []v1alpha1.Key
	route     v1alpha1.Key
	rule      string
}

// policies are all resources of one kind by where they attach.
type policies[S any] struct {
	list      []*policy[S]
	selects   string // what their selectors look for, in words
	root      []*policy[S]
	namespace map[string][]*policy[S]
	targets   map[target][]governing[S]
	used      map[v1alpha1.Key]bool
	merged    map[string]mergedPolicy[S]
	older     func(a, b v1alpha1.Key) int
}

// stack lists the policies that govern a place, least specific first and, at
// one level, older first: the last one that speaks wins.
func (p *policies[S]) stack(at place) []governing[S] {
	var out []governing[S]
	for _, q := range p.root {
		out = append(out, governing[S]{q, levelRoot})
	}
	for _, q := range p.namespace[at.namespace] {
		out = append(out, governing[S]{q, levelNamespace})
	}
	targets := []target{{at.gateway, ""}, {at.gateway, at.listener}, {at.route, ""}, {at.route, at.rule}}
	for _, s := range at.services {
		targets = append(targets, target{s, ""})
	}
	for _, t := range targets {
		out = append(out, p.targets[t]...)
	}
	slices.SortStableFunc(out, func(a, b governing[S]) int {
		return cmp.Or(cmp.Compare(a.level, b.level), p.older(a.policy.key, b.policy.key))
	})
	// A policy may reach a place twice by one level: by two of its Services.
	out = slices.CompactFunc(out, func(a, b governing[S]) bool { return a.policy == b.policy && a.level == b.level })
	return out
}

// use notes that policies really govern something.
func (p *policies[S]) use(stack []governing[S]) {
	for _, g := range stack {
		p.used[g.policy.key] = true
	}
}

// signature names a stack, so that equal stacks are merged once.
func signature[S any](stack []governing[S]) string {
	var b strings.Builder
	for _, g := range stack {
		fmt.Fprintf(&b, "%d %s\n", g.level, g.policy.key)
	}
	return b.String()
}
