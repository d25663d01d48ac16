package proposal

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/gabion-io/gabion/api-discovery"
	"github.com/gabion-io/gabion/controlplane/api/v1alpha1"
)

// APIEvidence is why an APIPolicy was proposed, and how much it rests on.
type APIEvidence struct {
	Source    string    `json:"source"`             // "learned" or "declared"
	Document  string    `json:"document,omitempty"` // of a declared one
	Service   string    `json:"service"`
	Exchanges uint64    `json:"exchanges"` // behind all operations proposed
	From      time.Time `json:"from,omitzero"`
	To        time.Time `json:"to,omitzero"`
	// Unseen estimates how likely the next exchange is of an operation not yet seen
	// (Good and Turing: operations seen once, of all exchanges). Learned ones only.
	Unseen       float64                `json:"unseen"`
	UnseenAtMost float64                `json:"unseenAtMost"`    // with 95 % confidence, roughly
	Aside        uint64                 `json:"aside,omitempty"` // exchanges that are no operation
	Operations   []APIOperationEvidence `json:"operations"`

	adds []v1alpha1.APIOperation
}

// APIOperationEvidence is what one operation rests on.
type APIOperationEvidence struct {
	Operation string `json:"operation"` // "POST /orders/{orderId}"
	Exchanges uint64 `json:"exchanges"`
	Inspected uint64 `json:"inspected,omitempty"` // bodies that were looked into
	// Unseen estimates how likely the next exchange has a field not seen, and
	// UnseenAtMost bounds it.
	Unseen       float64 `json:"unseen"`
	UnseenAtMost float64 `json:"unseenAtMost"`
	LeftOut      string  `json:"leftOut,omitempty"` // why it is not in the policy
	// Fields are parameters and members of bodies, at most maxFields.
	Fields []FieldEvidence `json:"fields,omitempty"`
	More   int             `json:"more,omitempty"` // fields not listed
}

// FieldEvidence is what is asked of one field, and after how many sightings.
type FieldEvidence struct {
	Where string `json:"where"` // "query limit", "application/json /items/*/sku"
	Count uint64 `json:"count"`
	Asks  string `json:"asks"` // "required, integer"; "nothing: seen 3 times"
}

// maxFields bounds the fields listed of one operation.
const maxFields = 200

// apiRules say how much has to be seen before something is asked of requests.
type apiRules struct {
	source    string
	operation uint64 // exchanges of an operation, for it to be proposed
	field     uint64 // sightings of a field, for its type to be asked
	required  uint64 // objects or exchanges that all had a field, for it to be required
	format    uint64 // sightings, for a format
	enum      uint64 // sightings, for a list of values
}

// learnedRules: a field that was seen rarely is optional and may be anything, and
// what was always there may still have been so by chance.
func learnedRules() apiRules {
	return apiRules{source: "learned", operation: 20, field: 20, required: 100, format: 100, enum: 1000}
}

// declaredRules: what is written down needs no sightings.
func declaredRules() apiRules { return apiRules{source: "declared"} }

func (r apiRules) declared() bool { return r.source == "declared" }

// describe makes operations of an API that requests can be held to, and, of declared
// ones, responses.
func (r apiRules) describe(spec apidiscovery.Spec) APIEvidence {
	out := APIEvidence{Source: r.source, Document: spec.Source, Service: spec.Service, From: spec.From, To: spec.To}
	for _, a := range spec.Aside {
		out.Aside += a.Count
	}
	taken, total, once, twice := map[string]bool{}, uint64(0), 0, 0
	for i := range spec.Operations {
		o := &spec.Operations[i]
		total += o.Traffic.Count
		switch o.Traffic.Count {
		case 1:
			once++
		case 2:
			twice++
		}
		name := o.Method + " " + o.Template.String()
		if taken[name] {
			continue // another operation of one path: told already
		}
		taken[name] = true
		e := APIOperationEvidence{Operation: name, Exchanges: o.Traffic.Count, LeftOut: r.leaveOut(o)}
		if e.LeftOut == "" {
			w := writer{rules: r, evidence: &e, of: o.Traffic.Count}
			out.adds = append(out.adds, w.operation(o))
			if !r.declared() {
				e.Unseen, e.UnseenAtMost = unseen(w.once, w.twice, w.of)
			}
			out.Exchanges += o.Traffic.Count
		}
		out.Operations = append(out.Operations, e)
	}
	if !r.declared() {
		out.Unseen, out.UnseenAtMost = unseen(once, twice, total)
	}
	return out
}

// unseen is Good and Turing's estimate of the probability of something new, with an
// upper bound: two of its standard deviations, or, where nothing was seen only once,
// three in as many trials.
func unseen(once, twice int, trials uint64) (estimate, atMost float64) {
	if trials == 0 {
		return 1, 1
	}
	n := float64(trials)
	estimate = min(1, float64(once)/n)
	return estimate, min(1, max(3/n, estimate+1.96*math.Sqrt(float64(once+2*twice))/n))
}

// leaveOut says why an operation cannot be proposed.
func (r apiRules) leaveOut(o *apidiscovery.Operation) string {
	switch {
	case o.Protocol != apidiscovery.REST && o.Protocol != apidiscovery.SSE && o.Protocol != "":
		return fmt.Sprintf("it is %s: what it takes is not in method and path", o.Protocol)
	case o.Traffic.Count < r.operation:
		return fmt.Sprintf("seen %d times: at least %d are needed", o.Traffic.Count, r.operation)
	}
	for _, s := range strings.Split(o.Template.String(), "/") {
		if strings.Count(s, "{") > 1 {
			return "two values in one segment cannot be told apart"
		}
	}
	return ""
}

// writer writes one operation.
type writer struct {
	rules    apiRules
	evidence *APIOperationEvidence
	of       uint64 // exchanges of the operation
	once     int    // fields seen once
	twice    int
}

func (w *writer) note(where string, count uint64, asks string) {
	switch count {
	case 1:
		w.once++
	case 2:
		w.twice++
	}
	if len(w.evidence.Fields) == maxFields {
		w.evidence.More++
		return
	}
	w.evidence.Fields = append(w.evidence.Fields, FieldEvidence{where, count, asks})
}

func (w *writer) operation(o *apidiscovery.Operation) v1alpha1.APIOperation {
	out := v1alpha1.APIOperation{Method: o.Method, Path: o.Template.String()}
	for _, p := range o.Params {
		if one, ok := w.param(p); ok {
			out.Parameters = append(out.Parameters, one)
		}
	}
	if len(o.Request) > 0 {
		out.Body = w.body(o.Request)
	}
	if w.rules.declared() {
		out.Responses = w.responses(o.Responses)
	}
	return out
}

func (w *writer) param(p apidiscovery.Param) (out v1alpha1.APIParameter, ok bool) {
	switch p.In {
	case apidiscovery.InPath, apidiscovery.InQuery, apidiscovery.InHeader, apidiscovery.InCookie:
	default:
		return out, false
	}
	if strings.Contains(p.Name, "{") {
		return out, false // a masked name: nobody can ask for it
	}
	out = v1alpha1.APIParameter{In: p.In, Name: p.Name}
	required := p.Required && (w.rules.declared() || w.of >= w.rules.required) && p.In != apidiscovery.InPath
	if required {
		out.Required = &required
	}
	switch p.Style {
	case "form", "spaceDelimited", "pipeDelimited", "deepObject":
		style, explode := p.Style, p.Explode
		out.Style, out.Explode = &style, &explode
	}
	schema, asks := w.schema(p.Schema, spot{}, p.Count)
	if len(schema) > 0 && p.Style != "deepObject" {
		if s, err := v1alpha1.NewJSONSchema(schema); err == nil {
			out.Schema = s
		}
	}
	w.note(p.In+" "+p.Name, p.Count, asksText(required, asks, p.Count, w.rules))
	return out, true
}

func (w *writer) body(list []apidiscovery.Body) *v1alpha1.APIContents {
	out := &v1alpha1.APIContents{}
	var count uint64
	all := true
	for _, b := range list {
		count += b.Count
		all = all && b.Required
		w.evidence.Inspected += b.Inspected
		if b.MediaType != "" {
			out.Content = append(out.Content, w.content(b, b.MediaType, isJSON(b.MediaType) || b.MediaType == "application/x-www-form-urlencoded"))
		}
	}
	if required := all && (w.rules.declared() || count >= w.rules.required); required {
		out.Required = &required
	}
	return out
}

// responses are declared only: what a service answered so far is no promise, and
// drift tells of what it answers anew.
func (w *writer) responses(list []apidiscovery.Response) (out []v1alpha1.APIResponse) {
	for _, r := range list {
		one := v1alpha1.APIResponse{Status: statusText(r.Status)}
		for _, b := range r.Bodies {
			if b.MediaType != "" {
				one.Content = append(one.Content, w.content(b, one.Status+" "+b.MediaType, isJSON(b.MediaType)))
			}
		}
		out = append(out, one)
	}
	return out
}

// statusText is a status of a declaration: 0 stands for any other, 1 to 5 for a class.
func statusText(status int) string {
	switch {
	case status == 0:
		return "default"
	case status < 10:
		return fmt.Sprintf("%dXX", status)
	}
	return fmt.Sprint(status)
}

// content is one content type, with its schema where bodies of it are read. Fields are
// told as those of where.
func (w *writer) content(b apidiscovery.Body, where string, read bool) v1alpha1.APIContent {
	out := v1alpha1.APIContent{ContentType: b.MediaType}
	if b.Schema == nil || !read {
		return out
	}
	if schema, _ := w.schema(b.Schema, spot{where, ""}, max(b.Inspected, b.Schema.Count)); len(schema) > 0 {
		if s, err := v1alpha1.NewJSONSchema(schema); err == nil {
			out.Schema = s
		}
	}
	return out
}

func isJSON(media string) bool {
	return strings.HasSuffix(media, "/json") || strings.HasSuffix(media, "+json")
}

// asksText says what is asked of a field.
func asksText(required bool, asks []string, count uint64, r apiRules) string {
	if required {
		asks = append([]string{"required"}, asks...)
	}
	if len(asks) > 0 {
		return strings.Join(asks, ", ")
	}
	if count < r.field {
		return fmt.Sprintf("nothing: seen %d times, %d are needed", count, r.field)
	}
	return "nothing"
}

// formats that are asked of requests: those that values cannot have by chance.
func askable(format string) bool {
	return slices.Contains([]string{"uuid", "date", "date-time", "email", "ipv4", "ipv6"}, format)
}

// spot is a place in a body: "application/json", "/items/*"; of a response
// "200 application/json". The zero value is a parameter, whose members are not told.
type spot struct{ media, pointer string }

func (s spot) below(name string) spot { return spot{s.media, s.pointer + "/" + name} }

// schema is what is asked of values, in JSON Schema's words, and in a few for
// people.
func (w *writer) schema(s *apidiscovery.Schema, where spot, count uint64) (out map[string]any, asks []string) {
	out = map[string]any{}
	r := w.rules
	if s == nil || count < r.field || s.Truncated && !r.declared() {
		return out, nil
	}
	if len(s.OneOf)+len(s.AnyOf) > 0 {
		return w.alternatives(s, where)
	}
	switch len(s.Types) {
	case 0:
	case 1:
		out["type"] = s.Types[0]
		asks = append(asks, s.Types[0])
	default:
		out["type"] = s.Types
		asks = append(asks, strings.Join(s.Types, " or "))
	}
	if s.Format != "" && (r.declared() || askable(s.Format) && count >= r.format) {
		out["format"] = s.Format
		asks = append(asks, s.Format)
	}
	if len(s.Enum) > 0 && count >= r.enum {
		out["enum"] = w.values(s)
		asks = append(asks, fmt.Sprintf("one of %d values", len(s.Enum)))
	}
	if r.declared() {
		limits(s, out)
	}
	w.members(s, where, out)
	if s.Items != nil {
		items, _ := w.schema(s.Items, where.below("*"), s.Items.Count)
		if len(items) > 0 {
			out["items"] = items
		}
	}
	return out, asks
}

// values of an enumeration; where null was seen it is one of them.
func (w *writer) values(s *apidiscovery.Schema) []any {
	var out []any
	for _, v := range s.Enum {
		out = append(out, v)
	}
	if s.Has("null") {
		out = append(out, nil)
	}
	return out
}

// alternatives: any of them will do, however they are told apart.
func (w *writer) alternatives(s *apidiscovery.Schema, where spot) (map[string]any, []string) {
	var list []any
	for _, one := range append(slices.Clone(s.OneOf), s.AnyOf...) {
		schema, _ := w.schema(one, where, one.Count)
		if len(schema) == 0 {
			return map[string]any{}, nil
		}
		list = append(list, schema)
	}
	if s.Has("null") {
		list = append(list, map[string]any{"type": "null"})
	}
	return map[string]any{"anyOf": list}, []string{fmt.Sprintf("one of %d forms", len(list))}
}

func (w *writer) members(s *apidiscovery.Schema, where spot, out map[string]any) {
	properties, required := map[string]any{}, []string{}
	for _, p := range s.Properties {
		must := p.Required && (w.rules.declared() || s.Count >= w.rules.required)
		if must {
			required = append(required, p.Name)
		}
		below := where.below(p.Name)
		schema, asks := w.schema(p.Schema, below, p.Count)
		if where.media != "" {
			w.note(below.media+" "+below.pointer, p.Count, asksText(must, asks, p.Count, w.rules))
		}
		properties[p.Name] = schema
	}
	if len(properties) > 0 {
		out["properties"] = properties
	}
	if len(required) > 0 {
		out["required"] = required
	}
	if s.Additional != nil {
		if schema, _ := w.schema(s.Additional, where.below("*"), s.Additional.Count); len(schema) > 0 {
			out["additionalProperties"] = schema
		}
	}
}

// limits are declared only: what was the largest yesterday is no limit.
func limits(s *apidiscovery.Schema, out map[string]any) {
	if s.Minimum != nil {
		out["minimum"] = *s.Minimum
	}
	if s.Maximum != nil {
		out["maximum"] = *s.Maximum
	}
	if s.MinLength > 0 {
		out["minLength"] = s.MinLength
	}
	if s.MaxLength > 0 {
		out["maxLength"] = s.MaxLength
	}
	if s.MaxItems > 0 {
		out["maxItems"] = s.MaxItems
	}
	if s.Pattern != "" {
		out["pattern"] = s.Pattern
	}
}
