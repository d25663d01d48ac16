package compile

import (
	"github.com/gabion-io/gabion/controlplane/api/v1alpha1"
)

// groupOf returns the API group of an accepted kind.
func groupOf(kind string) string {
	switch kind {
	case v1alpha1.KindWAFPolicy, v1alpha1.KindAPIPolicy, v1alpha1.KindListenerPolicy, v1alpha1.KindRecording:
		return v1alpha1.Group
	case v1alpha1.KindService, v1alpha1.KindSecret, v1alpha1.KindConfigMap, v1alpha1.KindNamespace:
		return ""
	case v1alpha1.KindEndpointSlice:
		return v1alpha1.DiscoveryGroup
	}
	return v1alpha1.GatewayGroup
}

// granted says whether one resource may name another: in its own namespace
// always, in another one only by a ReferenceGrant there.
func (ix *index) granted(from, to v1alpha1.Key) bool {
	if from.Namespace == to.Namespace {
		return true
	}
	for _, g := range ix.grants {
		if g.Namespace != to.Namespace {
			continue
		}
		allowsFrom, allowsTo := false, false
		for _, f := range g.Spec.From {
			allowsFrom = allowsFrom || (string(f.Group) == groupOf(from.Kind) && string(f.Kind) == from.Kind && string(f.Namespace) == from.Namespace)
		}
		for _, t := range g.Spec.To {
			allowsTo = allowsTo || (coreGroup(string(t.Group)) == groupOf(to.Kind) && string(t.Kind) == to.Kind && (t.Name == nil || string(*t.Name) == to.Name))
		}
		if allowsFrom && allowsTo {
			return true
		}
	}
	return false
}

// coreGroup accepts "core" for the group whose name is empty.
func coreGroup(group string) string {
	if group == "core" {
		return ""
	}
	return group
}

const grantHint = "it lies in another namespace: add a ReferenceGrant there"
