package reconcile

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/gabion-io/gabion/controlplane/ads"
	"github.com/gabion-io/gabion/controlplane/api/v1alpha1"
	"github.com/gabion-io/gabion/controlplane/ir"
	"github.com/gabion-io/gabion/controlplane/xds"
)

// nackConditions turn refusals by proxies into conditions on the resources that
// caused them.
func nackConditions(nacks []ads.Nack) (cs []v1alpha1.Condition) {
	for _, n := range nacks {
		for _, ref := range n.Causes {
			cs = append(cs, condition(ref, "Rejected",
				fmt.Sprintf("proxy %s refused version %s of what this became and keeps the one before: %s", n.Node, n.Version, n.Message)))
		}
	}
	return cs
}

// problemConditions are parts of the intent that Envoy cannot be told.
func problemConditions(ps []xds.Problem) (cs []v1alpha1.Condition) {
	for _, p := range ps {
		cs = append(cs, condition(p.Resource, "Untranslatable", p.Part+": "+p.Message))
	}
	return cs
}

func condition(ref ir.Ref, reason, message string) v1alpha1.Condition {
	return v1alpha1.Condition{
		Kind: ref.Kind, Namespace: ref.Namespace, Name: ref.Name,
		Type: v1alpha1.Programmed, Status: "False", Reason: reason, Message: message,
	}
}

// sortConditions joins lists. A bad condition replaces the good one of its type
// on the same resource: a policy a proxy refuses is not programmed.
func sortConditions(lists ...[]v1alpha1.Condition) []v1alpha1.Condition {
	all := slices.Concat(lists...)
	type slot struct {
		key v1alpha1.Key
		typ string
	}
	bad := map[slot]bool{}
	for _, c := range all {
		if c.Bad() {
			bad[slot{c.Key(), c.Type}] = true
		}
	}
	all = slices.DeleteFunc(all, func(c v1alpha1.Condition) bool { return !c.Bad() && bad[slot{c.Key(), c.Type}] })
	slices.SortStableFunc(all, func(a, b v1alpha1.Condition) int {
		return cmp.Or(a.Key().Compare(b.Key()), cmp.Compare(a.Type, b.Type), cmp.Compare(a.Path, b.Path), cmp.Compare(a.Message, b.Message))
	})
	return slices.Compact(all)
}
