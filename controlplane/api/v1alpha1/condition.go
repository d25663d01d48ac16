package v1alpha1

// Condition types. Reasons are the Gateway API's where it has one.
const (
	Accepted     = "Accepted"     // the resource is well-formed and has something to act on
	Programmed   = "Programmed"   // all of it is in what is shipped to the proxies
	ResolvedRefs = "ResolvedRefs" // everything it names exists and may be named
	Conflicted   = "Conflicted"   // another resource claims the same
)

// Condition tells the author of a resource how it fares. Status is "True",
// "False" or "Unknown". Path points into the resource ("spec.rules[0]"), and is
// empty when the condition is about all of it.
type Condition struct {
	Kind      string `json:"kind"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
	Type      string `json:"type"`
	Status    string `json:"status"`
	Reason    string `json:"reason"`
	Message   string `json:"message"`
	Path      string `json:"path,omitempty"`
}

// Key returns the name of the resource the condition is about.
func (c Condition) Key() Key { return Key{c.Kind, c.Namespace, c.Name} }

// Bad says whether somebody should look at it: Conflicted is bad when true, all
// others when not true.
func (c Condition) Bad() bool {
	if c.Type == Conflicted {
		return c.Status != "False"
	}
	return c.Status != "True"
}
