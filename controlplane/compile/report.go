package compile

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/gabion-io/gabion/controlplane/api/v1alpha1"
)

// Reasons beside those of the Gateway API.
const (
	reasonUnsupported = "Unsupported"
	reasonInvalid     = "Invalid"
	reasonNoEffect    = "NoEffect"
	reasonLocked      = "Locked"
	reasonEqualRank   = "EqualRank"
	reasonExpired     = "Expired"
	reasonLastGood    = "LastGoodKept"
	reasonTarget      = "TargetNotFound"
	reasonRefDenied   = "RefNotPermitted"
	reasonBackend     = "BackendNotFound"
	reasonInvalidKind = "InvalidKind"
	reasonNoEndpoints = "NoEndpoints"
)

// report collects conditions. The first of several that say the same about one
// path stays.
type report struct {
	list []v1alpha1.Condition
	seen map[v1alpha1.Condition]bool
}

func newReport(list []v1alpha1.Condition) *report {
	return &report{list: slices.Clone(list), seen: map[v1alpha1.Condition]bool{}}
}

// bad reports what is wrong with a resource at a path.
func (r *report) bad(k v1alpha1.Key, typ, reason, path, format string, args ...any) {
	status := "False"
	if typ == v1alpha1.Conflicted {
		status = "True"
	}
	r.add(v1alpha1.Condition{
		Kind: k.Kind, Namespace: k.Namespace, Name: k.Name,
		Type: typ, Status: status, Reason: reason, Message: fmt.Sprintf(format, args...), Path: path,
	})
}

// good reports that all is well in one respect, unless something is not.
func (r *report) good(k v1alpha1.Key, typ, message string) {
	for _, c := range r.list {
		if c.Key() == k && c.Type == typ && c.Bad() {
			return
		}
	}
	r.add(v1alpha1.Condition{
		Kind: k.Kind, Namespace: k.Namespace, Name: k.Name,
		Type: typ, Status: "True", Reason: typ, Message: message,
	})
}

func (r *report) add(c v1alpha1.Condition) {
	same := c
	same.Message = ""
	if r.seen[same] {
		return
	}
	r.seen[same] = true
	r.list = append(r.list, c)
}

// sorted returns the conditions by resource, bad ones first.
func (r *report) sorted() []v1alpha1.Condition {
	out := slices.Clone(r.list)
	slices.SortStableFunc(out, func(a, b v1alpha1.Condition) int {
		bad := func(c v1alpha1.Condition) int {
			if c.Bad() {
				return 0
			}
			return 1
		}
		return cmp.Or(a.Key().Compare(b.Key()), cmp.Compare(bad(a), bad(b)),
			cmp.Compare(a.Type, b.Type), cmp.Compare(a.Path, b.Path), cmp.Compare(a.Reason, b.Reason), cmp.Compare(a.Message, b.Message))
	})
	return out
}

// accepted says whether a resource was not refused as a whole.
func (r *report) accepted(k v1alpha1.Key) bool {
	for _, c := range r.list {
		if c.Key() == k && c.Type == v1alpha1.Accepted && c.Bad() && (c.Path == "" || c.Reason == "OtherClass") {
			return false
		}
	}
	return true
}
