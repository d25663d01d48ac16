package apidiscovery

// Where a parameter is.
const (
	InPath   = "path"
	InQuery  = "query"
	InHeader = "header"
	InCookie = "cookie"
	InMatrix = "matrix" // ";name=value" after a path segment that has a name of its own
)

// Param is one parameter of an operation.
type Param struct {
	In       string `json:"in"`
	Name     string `json:"name"` // as sent; header names in lower case
	Required bool   `json:"required"`
	// Style is how a list is written: "" for one value, "form" for a=1&a=2
	// (Explode) or a=1,2, "deepObject" for a[b]=1 (then one Param for all of a),
	// "spaceDelimited", "pipeDelimited", "matrix" for a path segment ";id=5".
	Style   string  `json:"style,omitempty"`
	Explode bool    `json:"explode,omitempty"`
	Schema  *Schema `json:"schema"`
	Count   uint64  `json:"count"` // exchanges that had it
}

// Type is the schema's only type besides null, "string" if there are several or
// none.
func (p Param) Type() string {
	if p.Schema == nil {
		return "string"
	}
	found := ""
	for _, t := range p.Schema.Types {
		switch {
		case t == "null":
		case found != "":
			return "string"
		default:
			found = t
		}
	}
	if found == "" {
		return "string"
	}
	return found
}
