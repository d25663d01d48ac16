package v1alpha1

// TargetRef attaches a policy to a Gateway, HTTPRoute, GRPCRoute or Service.
type TargetRef struct {
	Group       string `json:"group,omitempty"`
	Kind        string `json:"kind"`
	Namespace   string `json:"namespace,omitempty"` // empty: the policy's own
	Name        string `json:"name"`
	SectionName string `json:"sectionName,omitempty"` // a Gateway's listener or a route's rule
}

// Selector attaches a policy to workloads by label.
type Selector struct {
	MatchLabels map[string]string `json:"matchLabels"`
}

// Attachment is how every gabion policy says what it governs. With neither
// targetRefs nor selector a policy governs its namespace, and in the root
// namespace everything.
type Attachment struct {
	TargetRefs []TargetRef `json:"targetRefs,omitempty"`
	Selector   *Selector   `json:"selector,omitempty"`
	// Locked names fields that no more specific policy may change. It acts only
	// in a policy of the root namespace that has no target.
	Locked []string `json:"locked,omitempty"`
}
