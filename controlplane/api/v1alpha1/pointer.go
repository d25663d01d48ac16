package v1alpha1

// ptr tells a set field from an unset one.
func ptr[T any](v T) *T { return &v }
