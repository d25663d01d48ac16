package v1alpha1

import (
	"fmt"
	"slices"
	"strings"
)

// groups of the kinds a policy may target.
var targetGroups = map[string]string{
	KindGateway:   GatewayGroup,
	KindHTTPRoute: GatewayGroup,
	KindGRPCRoute: GatewayGroup,
	KindService:   "",
}

func (a Attachment) validate(f *findings, spec any, kinds ...string) {
	if len(a.TargetRefs) > 0 && a.Selector != nil {
		f.add("selector", "cannot stand beside targetRefs: write two policies")
	}
	if a.Selector != nil && len(a.Selector.MatchLabels) == 0 {
		f.add("selector.matchLabels", "is empty: name at least one label, or remove selector to govern the namespace")
	}
	for i, t := range a.TargetRefs {
		t.validate(f, fmt.Sprintf("targetRefs[%d]", i), kinds)
	}
	fields := SpecFields(spec)
	for i, name := range a.Locked {
		if !slices.ContainsFunc(fields, func(s SpecField) bool { return s.Within(name) }) {
			names := make([]string, len(fields))
			for n := range fields {
				names[n] = fields[n].Path
			}
			f.add(fmt.Sprintf("locked[%d]", i), "%q is no field that can be locked%s", name, suggest(name, names))
		}
	}
}

func (t TargetRef) validate(f *findings, path string, kinds []string) {
	if !slices.Contains(kinds, t.Kind) {
		f.add(path+".kind", "%q cannot be a target: one of %s", t.Kind, strings.Join(kinds, ", "))
		return
	}
	if group := targetGroups[t.Kind]; t.Group != "" && t.Group != group {
		f.add(path+".group", "%q is not the group of %s: write %q", t.Group, t.Kind, group)
	}
	if t.Name == "" {
		f.add(path+".name", "is missing: name the %s", t.Kind)
	}
	if t.Kind == KindService && t.SectionName != "" {
		f.add(path+".sectionName", "has no meaning on a Service: remove it")
	}
}
