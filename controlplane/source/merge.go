package source

import "github.com/gabion-io/gabion/controlplane/api/v1alpha1"

// NewSet collects items. Of several with one name the file's wins over the
// store's over the flags'; in one origin the first by file and line wins. Every
// loser is a condition.
func NewSet(items []Item, conditions []v1alpha1.Condition) Set { panic("todo") }

// Merge joins sets of several origins under the same rule.
func Merge(sets ...Set) Set { panic("todo") }
