package compile

import (
	"encoding/json"

	"github.com/gabion-io/gabion/controlplane/api/v1alpha1"
	"github.com/gabion-io/gabion/controlplane/source"
)

// Explanation says which policies govern one route rule on one listener and
// what each field ends up as.
type Explanation struct {
	Listener string      `json:"listener"` // "default/web/http"
	Route    string      `json:"route"`    // "default/shop"
	Rule     string      `json:"rule"`     // name or index
	Key      string      `json:"key"`      // in the filter's table
	Policies []Governing `json:"policies"` // least specific first
	Fields   []Field     `json:"fields"`
}

// Governing is a policy that applies, and by what.
type Governing struct {
	Policy v1alpha1.Key `json:"policy"`
	Level  string       `json:"level"` // root, namespace, gateway, listener, service, selector, route, rule
}

// Field is one field of the effective policy.
type Field struct {
	Path   string          `json:"path"` // "requestBody.limit"
	Value  json.RawMessage `json:"value"`
	From   string          `json:"from"`             // "WAFPolicy default/shop" or "built-in default"
	Locked string          `json:"locked,omitempty"` // the policy that locks it
	Others []Overridden    `json:"others,omitempty"` // who also spoke, most specific first
}

// Overridden is a value that did not win, and why.
type Overridden struct {
	Policy v1alpha1.Key    `json:"policy"`
	Value  json.RawMessage `json:"value"`
	Why    string          `json:"why"` // "less specific", "older", "locked"
}

// Explain says which policy governs the route rule and why, on every listener
// it is attached to. Route is "HTTPRoute namespace/name" or "namespace/name";
// an empty rule means all of them.
func Explain(set source.Set, o Options, route, rule string) ([]Explanation, error) { panic("todo") }
