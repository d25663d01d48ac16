package source

import (
	"bytes"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gabion-io/gabion/controlplane/api/v1alpha1"
)

// Written is the set as it would be with resources written to the store now, in
// their order. Each is the newest then, whatever stood in its place and whatever its
// text says of its age, for the store keeps when it was written; what says the same
// as before is not written. The objects become the set's.
func (s Set) Written(now time.Time, objects ...v1alpha1.Object) (Set, error) {
	fresh := map[v1alpha1.Key]bool{}
	var items []Item
	for i, o := range objects {
		text, err := v1alpha1.Encode(o)
		if err != nil {
			return Set{}, fmt.Errorf("render %s: %w", v1alpha1.KeyOf(o), err)
		}
		if s.holds(v1alpha1.KeyOf(o), text) {
			continue
		}
		o.SetCreationTimestamp(metav1.Time{})
		at := now.Add(time.Duration(i))
		fresh[v1alpha1.KeyOf(o)] = true
		items = append(items, Item{Object: o, Origin: Store, Manifest: text, Created: at, Updated: at})
	}
	for _, i := range s.items {
		if !fresh[i.Key()] {
			items = append(items, i)
		}
	}
	return NewSet(items, s.conditions), nil
}

// holds says whether the set has the resource as the canonical text says it.
func (s Set) holds(k v1alpha1.Key, text []byte) bool {
	item, ok := s.Get(k)
	if !ok {
		return false
	}
	have, err := v1alpha1.Encode(item.Object)
	return err == nil && bytes.Equal(have, text)
}
