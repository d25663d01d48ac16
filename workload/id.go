package workload

import (
	"cmp"
	"fmt"
	"strings"
)

// ID names a workload: unique within what one control plane knows.
type ID struct {
	Namespace string
	Name      string
}

// ParseID reads "namespace/name".
func ParseID(text string) (ID, error) {
	namespace, name, ok := strings.Cut(text, "/")
	if !ok || namespace == "" || name == "" || strings.Contains(name, "/") {
		return ID{}, fmt.Errorf("read workload %q: write it as namespace/name", text)
	}
	return ID{namespace, name}, nil
}

func (i ID) String() string { return i.Namespace + "/" + i.Name }

// Compare orders by namespace, then name.
func (i ID) Compare(o ID) int {
	return cmp.Or(cmp.Compare(i.Namespace, o.Namespace), cmp.Compare(i.Name, o.Name))
}
