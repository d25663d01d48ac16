package v1alpha1

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// APIPolicy says which operations a service has, what their requests and responses look like,
// and what becomes of requests that are something else. Several may govern one
// route: see Attachment.
type APIPolicy struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	Spec              APIPolicySpec `json:"spec"`
}

// APIPolicySpec is what an APIPolicy says.
type APIPolicySpec struct {
	Attachment        `json:",inline"`
	Mode              *string  `json:"mode,omitempty"`              // off, detect, block
	FailureMode       *string  `json:"failureMode,omitempty"`       // open, closed
	UnknownOperations *string  `json:"unknownOperations,omitempty"` // allow, detect, deny: requests that are no operation
	UnknownParameters *string  `json:"unknownParameters,omitempty"` // allow, detect, deny: query parameters that are not declared
	RequestBody       *APIBody `json:"requestBody,omitempty"`
	// Operations of several policies are joined; of two with one method and path the
	// more specific policy's holds.
	Operations []APIOperation `json:"operations,omitempty" merge:"append"`
}

// APIBody bounds what of a request body is judged.
type APIBody struct {
	Limit     *Size `json:"limit,omitempty"`     // a longer one breaks the operation
	JSONDepth *int  `json:"jsonDepth,omitempty"` // nesting
}

// APIOperation is one operation.
type APIOperation struct {
	Method            string         `json:"method"`
	Path              string         `json:"path"`                        // "/orders/{orderId}"
	Mode              *string        `json:"mode,omitempty"`              // unset: the policy's
	UnknownParameters *string        `json:"unknownParameters,omitempty"` // unset: the policy's
	Parameters        []APIParameter `json:"parameters,omitempty"`
	Body              *APIContents   `json:"body,omitempty"`      // unset: bodies are not looked at
	Responses         []APIResponse  `json:"responses,omitempty"` // unset: responses are not looked at
}

// APIResponse is what an operation answers with one status. What is not declared is
// told, and never denied.
type APIResponse struct {
	Status  string       `json:"status"` // 200, 2XX, default
	Content []APIContent `json:"content,omitempty"`
}

// APIParameter is one parameter of an operation, as OpenAPI says it.
type APIParameter struct {
	In       string      `json:"in"`
	Name     string      `json:"name"`
	Required *bool       `json:"required,omitempty"`
	Style    *string     `json:"style,omitempty"`
	Explode  *bool       `json:"explode,omitempty"`
	Schema   *JSONSchema `json:"schema,omitempty"`
}

// APIContents are the bodies an operation takes, by content type. None: any.
type APIContents struct {
	Required *bool        `json:"required,omitempty"`
	Content  []APIContent `json:"content,omitempty"`
}

// APIContent is one content type.
type APIContent struct {
	ContentType string      `json:"contentType"`
	Schema      *JSONSchema `json:"schema,omitempty"`
}

// JSONSchema is a JSON Schema 2020-12 (that of OpenAPI 3.1): an object, or true or
// false. What it says is compiled with the policy.
type JSONSchema struct{ text json.RawMessage }

// NewJSONSchema takes a schema as encoding/json renders it.
func NewJSONSchema(v any) (*JSONSchema, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("render a schema: %w", err)
	}
	s := &JSONSchema{}
	return s, s.UnmarshalJSON(text)
}

// Text is the schema in its one form: keys sorted, no spaces.
func (s *JSONSchema) Text() json.RawMessage {
	if s == nil {
		return nil
	}
	return s.text
}

// UnmarshalJSON reads an object, or true or false.
func (s *JSONSchema) UnmarshalJSON(data []byte) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return errors.New("is more than one value")
	}
	switch v.(type) {
	case map[string]any, bool:
	default:
		return errors.New("is no schema: write an object such as {type: string}")
	}
	text, err := json.Marshal(v)
	s.text = text
	return err
}

// MarshalJSON writes Text.
func (s JSONSchema) MarshalJSON() ([]byte, error) {
	if s.text == nil {
		return []byte("true"), nil
	}
	return s.text, nil
}

// APIPolicyDefaults are the built-in defaults, filled in after merging. The failure
// mode follows the mode, see DefaultFailureMode.
func APIPolicyDefaults() APIPolicySpec {
	return APIPolicySpec{
		Mode:              ptr("detect"),
		UnknownOperations: ptr("allow"),
		UnknownParameters: ptr("allow"),
		RequestBody:       &APIBody{Limit: ptr(Size(1 << 20)), JSONDepth: ptr(64)},
	}
}

// maxOperations bounds one policy.
const maxOperations = 5000

func (p *APIPolicy) validate(f *findings) {
	s := p.Spec
	s.Attachment.validate(f, s, KindGateway, KindHTTPRoute, KindGRPCRoute, KindService)
	f.oneOf("mode", s.Mode, "off", "detect", "block")
	f.oneOf("failureMode", s.FailureMode, "open", "closed")
	f.oneOf("unknownOperations", s.UnknownOperations, "allow", "detect", "deny")
	f.oneOf("unknownParameters", s.UnknownParameters, "allow", "detect", "deny")
	if b := s.RequestBody; b != nil {
		f.sizeBetween("requestBody.limit", b.Limit, 1, 16<<20)
		f.between("requestBody.jsonDepth", b.JSONDepth, 1, 1000)
	}
	if len(s.Operations) > maxOperations {
		f.add("operations", "%d are too many: at most %d", len(s.Operations), maxOperations)
		return
	}
	seen := map[string]int{}
	for i := range s.Operations {
		o := &s.Operations[i]
		path := fmt.Sprintf("operations[%d]", i)
		o.validate(f, path)
		if before, twice := seen[o.Method+" "+o.Path]; twice {
			f.add(path, "%s %s is operation %d already", o.Method, o.Path, before)
			continue
		}
		seen[o.Method+" "+o.Path] = i
	}
}

func (o *APIOperation) validate(f *findings, path string) {
	if !methodToken.MatchString(o.Method) {
		f.add(path+".method", "%q is no method: write it in upper case, such as GET", o.Method)
	}
	if !strings.HasPrefix(o.Path, "/") || strings.ContainsAny(o.Path, "?# ") {
		f.add(path+".path", "%q is no path: it begins with /, has {name} where a value stands, and no query", o.Path)
	}
	f.oneOf(path+".mode", o.Mode, "off", "detect", "block")
	f.oneOf(path+".unknownParameters", o.UnknownParameters, "allow", "detect", "deny")
	for i, p := range o.Parameters {
		at := fmt.Sprintf("%s.parameters[%d]", path, i)
		f.oneOf(at+".in", &p.In, "path", "query", "header", "cookie")
		if p.Name == "" {
			f.add(at+".name", "is missing: name the parameter")
		}
		f.oneOf(at+".style", p.Style, "simple", "form", "spaceDelimited", "pipeDelimited", "deepObject")
	}
	if o.Body != nil {
		validateContent(f, path+".body", o.Body.Content)
	}
	for i, r := range o.Responses {
		at := fmt.Sprintf("%s.responses[%d]", path, i)
		if !statusPattern.MatchString(r.Status) {
			f.add(at+".status", "%q is no status: write it in quotes like \"200\", \"2XX\" or default", r.Status)
		}
		validateContent(f, at, r.Content)
	}
}

var statusPattern = regexp.MustCompile(`^([1-5]([0-9]{2}|XX)|default)$`)

func validateContent(f *findings, path string, list []APIContent) {
	for i, c := range list {
		if t := c.ContentType; !typePattern.MatchString(t) || strings.Count(t, "*") > 1 && t != "*/*" {
			f.add(fmt.Sprintf("%s.content[%d].contentType", path, i), "%q is no media type: write it in lower case like application/json, image/*, application/*+json or */*", t)
		}
	}
}
