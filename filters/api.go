package filters

import "encoding/json"

// API is what API protection holds requests to: which operations a service has,
// and what their requests look like.
type API struct {
	Mode        Mode        `json:"mode"`
	FailureMode FailureMode `json:"failureMode,omitempty"`
	// UnknownOperations is what becomes of a request that fits no operation, and
	// UnknownParameters of one with a query parameter that its operation does not
	// have.
	UnknownOperations Unknown `json:"unknownOperations,omitempty"`
	UnknownParameters Unknown `json:"unknownParameters,omitempty"`
	// BodyLimit is how many bytes of a body are held for judging it; a longer one
	// breaks the operation. BodyDepth bounds the nesting of JSON.
	BodyLimit  int64          `json:"bodyLimit"`
	BodyDepth  int            `json:"bodyDepth,omitempty"`
	Operations []APIOperation `json:"operations,omitempty"` // of two with one method and path, the later
}

// Unknown says what becomes of what is not described.
type Unknown string

const (
	UnknownAllow  Unknown = "allow"  // let pass, silently
	UnknownDetect Unknown = "detect" // let pass, with an event
	UnknownDeny   Unknown = "deny"   // a violation like any other
)

// APIOperation is what requests with one method and path template look like.
type APIOperation struct {
	Method            string          `json:"method"`
	Path              string          `json:"path"` // apidiscovery.PathTemplate
	Mode              Mode            `json:"mode,omitempty"`
	UnknownParameters Unknown         `json:"unknownParameters,omitempty"`
	Parameters        []APIParameter  `json:"parameters,omitempty"`
	Body              *APIRequestBody `json:"body,omitempty"`      // nil: bodies are not looked at
	Responses         []APIResponse   `json:"responses,omitempty"` // none: responses are not looked at
}

// APIResponse is what a service answers. What is not declared is told, whatever the
// mode, and never denied.
type APIResponse struct {
	Status  string       `json:"status"`            // "200", "2XX", "default"
	Content []APIContent `json:"content,omitempty"` // none: any; schemas say something of JSON only
}

// APIParameter is one parameter. Schema is JSON Schema 2020-12 of its value.
type APIParameter struct {
	In       string          `json:"in"`   // path, query, header, cookie
	Name     string          `json:"name"` // of a header in lower case
	Required bool            `json:"required,omitempty"`
	Style    string          `json:"style,omitempty"`   // form (default), spaceDelimited, pipeDelimited, deepObject
	Explode  bool            `json:"explode,omitempty"` // a list is a=1&a=2, not a=1,2
	Schema   json.RawMessage `json:"schema,omitempty"`
}

// APIRequestBody is what a request carries.
type APIRequestBody struct {
	Required bool         `json:"required,omitempty"`
	Content  []APIContent `json:"content,omitempty"` // the first whose content type fits
}

// APIContent is one content type with the schema of its bodies. Schemas say
// something of JSON and of forms only.
type APIContent struct {
	ContentType string          `json:"contentType"` // "application/json", "application/*+json", "*/*"
	Schema      json.RawMessage `json:"schema,omitempty"`
}

// APIFinding is what API protection says of one request. Values of clients are
// not in it, and names of theirs only where they look like a developer's.
type APIFinding struct {
	Policy     string      `json:"policy,omitempty"` // "APIPolicy default/shop"
	Mode       Mode        `json:"mode"`             // in force for the operation
	Operation  string      `json:"operation,omitempty"`
	Violations []Violation `json:"violations"`
	More       int         `json:"more,omitempty"` // violations not listed, beyond MaxViolations
}

// MaxViolations bounds APIFinding.Violations.
const MaxViolations = 16

// Violation is one way in which a request is not what its operation takes, or a
// response not what it answers.
type Violation struct {
	In     string `json:"in"`           // operation, path, query, header, cookie, body, response
	At     string `json:"at,omitempty"` // a parameter's name, or where in the body: "/items/*/price"
	Reason string `json:"reason"`       // "is missing", "is a string, not an integer"
	// Told says that it is only reported, whatever the mode.
	Told bool `json:"told,omitempty"`
}

// String is the violation in one line.
func (v Violation) String() string {
	where := v.In
	if v.At != "" {
		where += " " + v.At
	}
	return where + " " + v.Reason
}
