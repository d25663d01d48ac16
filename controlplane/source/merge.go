package source

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/gabion-io/gabion/controlplane/api/v1alpha1"
)

// NewSet collects items. Of several with one name the file's wins over the
// store's over the flags'; in one origin the first by file and line wins. Every
// loser is a condition, except that a file or the store may replace what flags
// generated without a word.
func NewSet(items []Item, conditions []v1alpha1.Condition) Set {
	items = slices.Clone(items)
	slices.SortStableFunc(items, func(a, b Item) int {
		return cmp.Or(a.Key().Compare(b.Key()), cmp.Compare(a.Origin.rank(), b.Origin.rank()),
			cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line))
	})
	s := Set{conditions: slices.Clone(conditions)}
	for _, item := range items {
		if n := len(s.items); n > 0 && s.items[n-1].Key() == item.Key() {
			if c, bad := nameTaken(s.items[n-1], item); bad {
				s.conditions = append(s.conditions, c)
			}
			continue
		}
		s.items = append(s.items, item)
	}
	return s
}

// Merge joins sets of several origins under the same rule. The mark is the one that
// has one.
func Merge(sets ...Set) Set {
	var items []Item
	var conditions []v1alpha1.Condition
	var mark int64
	for _, s := range sets {
		items = append(items, s.items...)
		conditions = append(conditions, s.conditions...)
		mark = max(mark, s.mark)
	}
	return NewSet(items, conditions).Marked(mark)
}

func nameTaken(winner, loser Item) (v1alpha1.Condition, bool) {
	if loser.Origin == Flags && winner.Origin != Flags {
		return v1alpha1.Condition{}, false
	}
	k := winner.Key()
	return v1alpha1.Condition{
		Kind: k.Kind, Namespace: k.Namespace, Name: k.Name,
		Type: v1alpha1.Conflicted, Status: "True", Reason: "NameTaken",
		Message: fmt.Sprintf("is written twice: %s is used, %s is not; remove or rename one", winner.place(), loser.place()),
	}, true
}

// place says where an item is written.
func (i Item) place() string {
	if i.Origin == File {
		return fmt.Sprintf("%s:%d", i.File, i.Line)
	}
	return "the one from " + string(i.Origin)
}
