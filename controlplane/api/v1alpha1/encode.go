package v1alpha1

// Encode renders a resource as canonical YAML: sorted keys, without status and
// what a cluster adds. Equal resources give equal bytes.
func Encode(o Object) ([]byte, error) {
	panic("todo")
}
