package v1alpha1

// Decode reads every document of a YAML or JSON file. Good documents are
// returned whatever the others hold; each mistake is a Problem. It never panics.
// A resource without a namespace lives in DefaultNamespace.
func Decode(file string, data []byte) ([]Object, []Problem) {
	panic("todo")
}
