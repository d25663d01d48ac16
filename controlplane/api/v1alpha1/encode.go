package v1alpha1

import (
	"encoding/json"
	"fmt"

	"sigs.k8s.io/yaml"
)

// Encode renders a resource as canonical YAML: sorted keys, without status and
// what a cluster adds. Equal resources give equal bytes.
func Encode(o Object) ([]byte, error) {
	text, err := json.Marshal(o)
	if err != nil {
		return nil, fmt.Errorf("render %s: %w", KeyOf(o), err)
	}
	var fields map[string]any
	if err := json.Unmarshal(text, &fields); err != nil {
		return nil, fmt.Errorf("render %s: %w", KeyOf(o), err)
	}
	delete(fields, "status")
	if meta, ok := fields["metadata"].(map[string]any); ok {
		for _, name := range []string{"creationTimestamp", "managedFields", "resourceVersion", "uid", "generation", "selfLink"} {
			delete(meta, name)
		}
	}
	dropZeroTargetPorts(fields)
	out, err := yaml.Marshal(fields)
	if err != nil {
		return nil, fmt.Errorf("render %s: %w", KeyOf(o), err)
	}
	return out, nil
}

// dropZeroTargetPorts takes out what Service's own type writes for "unset".
func dropZeroTargetPorts(fields map[string]any) {
	spec, _ := fields["spec"].(map[string]any)
	ports, _ := spec["ports"].([]any)
	for _, p := range ports {
		if port, ok := p.(map[string]any); ok && port["targetPort"] == float64(0) {
			delete(port, "targetPort")
		}
	}
}
