package apidiscovery

// Schema is what values look like: the part of JSON Schema 2020-12 that traffic
// can show, and that both sides of a comparison are brought to.
type Schema struct {
	// Types in alphabetical order: array, boolean, integer, null, number, object,
	// string. None: anything. "integer" and "number" never together.
	Types  []string `json:"types,omitempty"`
	Format string   `json:"format,omitempty"` // of strings and numbers: date, date-time, uuid, email, uri, ipv4, ipv6, byte, binary, int32, int64 …
	Enum   []string `json:"enum,omitempty"`   // of strings, sorted; only the API's own words, never data of persons

	Properties []Property `json:"properties,omitempty"` // of objects, by Name
	// Additional is the schema of the values of free keys: a map. With Properties
	// empty the object is only a map.
	Additional *Schema `json:"additional,omitempty"`
	Items      *Schema `json:"items,omitempty"` // of arrays
	MaxItems   int     `json:"maxItems,omitempty"`

	// OneOf are alternatives told apart by Discriminator, or AnyOf without one.
	OneOf         []*Schema `json:"oneOf,omitempty"`
	AnyOf         []*Schema `json:"anyOf,omitempty"`
	Discriminator string    `json:"discriminator,omitempty"` // property; in each of OneOf it is an Enum of one

	Minimum   *float64 `json:"minimum,omitempty"` // declared; observed ones are not limits and not set
	Maximum   *float64 `json:"maximum,omitempty"`
	MinLength int      `json:"minLength,omitempty"`
	MaxLength int      `json:"maxLength,omitempty"`
	Pattern   string   `json:"pattern,omitempty"` // declared, or the fixed beginning of ids: "^cus_"

	// Example is redacted: letters a and A, digits 0, form kept ("aaa_0000"), and
	// the same day of all dates.
	Example   string   `json:"example,omitempty"`
	Sensitive []string `json:"sensitive,omitempty"` // kinds, as internal/sensitive names them, sorted
	Count     uint64   `json:"count,omitempty"`     // values seen; 0 when declared
	Truncated bool     `json:"truncated,omitempty"` // bounds cut something off below
	// Description and Deprecated are declared only.
	Description string `json:"description,omitempty"`
	Deprecated  bool   `json:"deprecated,omitempty"`
}

// Property is a named member of an object.
type Property struct {
	Name     string  `json:"name"`
	Required bool    `json:"required"` // every object had it
	Schema   *Schema `json:"schema"`
	Count    uint64  `json:"count,omitempty"` // objects that had it
}

// Property finds one by name.
func (s *Schema) Property(name string) (Property, bool) {
	if s != nil {
		for _, p := range s.Properties {
			if p.Name == name {
				return p, true
			}
		}
	}
	return Property{}, false
}

// Has says whether values may have type t.
func (s *Schema) Has(t string) bool {
	if s == nil {
		return false
	}
	for _, u := range s.Types {
		if u == t {
			return true
		}
	}
	return false
}
