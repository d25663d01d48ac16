package compile

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/gabion-io/gabion/controlplane/api/v1alpha1"
)

// Reasons beside those of the Gateway API.
const (
	reasonUnsupported  = "Unsupported"
	ReasonInvalid      = "Invalid"
	reasonNoEffect     = "NoEffect"
	reasonLocked       = "Locked"
	reasonEqualRank    = "EqualRank"
	reasonExpired      = "Expired"
	ReasonLastGoodKept = "LastGoodKept"
	reasonTarget       = "TargetNotFound"
	reasonRefDenied    = "RefNotPermitted"
	reasonBackend      = "BackendNotFound"
	reasonInvalidKind  = "InvalidKind"
	reasonNoEndpoints  = "NoEndpoints"
)

// report collects conditions. The first of several that say the same about one
// path stays.
type report struct {
	list  []v1alpha1.Condition
	seen  map[v1alpha1.Condition]bool // without messages
	wrong map[aspect]bool
}

// newReport begins with what was wrong already while collecting.
func newReport(list []v1alpha1.Condition) *report {
	r := &report{seen: map[v1alpha1.Condition]bool{}, wrong: map[aspect]bool{}}
	for _, c := range list {
		r.list = append(r.list, c)
		r.wrong[aspect{c.Key(), c.Type}] = r.wrong[aspect{c.Key(), c.Type}] || c.Bad()
	}
	return r
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
	if r.isBad(k, typ) {
		return
	}
	c := v1alpha1.Condition{
		Kind: k.Kind, Namespace: k.Namespace, Name: k.Name,
		Type: typ, Status: "True", Reason: typ, Message: message,
	}
	if typ == v1alpha1.Conflicted {
		c.Status, c.Reason = "False", "NoConflicts"
	}
	r.add(c)
}

// isBad says whether a resource has a bad condition of a type.
func (r *report) isBad(k v1alpha1.Key, typ string) bool { return r.wrong[aspect{k, typ}] }

// aspect is a resource in one respect.
type aspect struct {
	key v1alpha1.Key
	typ string
}

func (r *report) add(c v1alpha1.Condition) {
	same := c
	same.Message = ""
	if r.seen[same] {
		return
	}
	r.seen[same] = true
	r.list = append(r.list, c)
	if c.Bad() {
		r.wrong[aspect{c.Key(), c.Type}] = true
	}
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
