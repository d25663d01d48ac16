package exchange

import (
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"
)

// Facts are what a filter tells of an exchange to whom the access log tells the
// rest: what stands in headers and bodies, as far as an observation holds it.
type Facts struct {
	Params    []ParamSeen `json:"params,omitempty"` // of headers and cookies
	Auth      []AuthSeen  `json:"auth,omitempty"`
	Caller    CallerSeen  `json:"caller,omitzero"`
	Request   Content     `json:"request,omitzero"`
	Response  Content     `json:"response,omitzero"`
	Protocol  string      `json:"protocol,omitempty"`
	Streaming string      `json:"streaming,omitempty"`
	Calls     []Call      `json:"calls,omitempty"`
}

// maxFacts bounds the JSON of facts, in bytes.
const maxFacts = 48 << 10

// Take fills f with the facts of an observation. They share its memory, but for the
// parameters: their slice is f's, and used again.
func (f *Facts) Take(o *Observation) {
	params := f.Params[:0]
	for i := range o.Params {
		if in := o.Params[i].In; in != "header" && in != "cookie" {
			continue
		}
		params = append(params, o.Params[i])
		p := &params[len(params)-1]
		p.More = nil                                         // of headers and cookies few are lists
		if p.Kind != KindWord || len(p.Text) > maxWordText { // only words make an enumeration
			p.Text = ""
		}
	}
	*f = Facts{Params: params, Auth: o.Auth, Caller: o.Caller, Request: o.Request, Response: o.Response, Protocol: o.Protocol, Streaming: o.Streaming, Calls: o.Calls}
}

// Encode is the JSON of the facts, in the memory of b if they fit. When it is too long,
// shapes are left out, and then parameters; nil when that does not help.
func (f Facts) Encode(b []byte) []byte {
	for range 3 {
		text, err := f.append(b[:0])
		if err != nil {
			return nil
		}
		if len(text) <= maxFacts {
			return text
		}
		if f.Request.Shape == nil && f.Response.Shape == nil {
			f.Params, f.Calls = nil, nil
		}
		f.Request.Shape, f.Response.Shape = nil, nil
	}
	return nil
}

// DecodeFacts reads what a filter told, and refuses what none would tell: the
// learner counts on the order and the bounds of shapes.
func DecodeFacts(b []byte) (f Facts, err error) {
	if len(b) > maxFacts {
		return f, fmt.Errorf("read observation: %d bytes", len(b))
	}
	if err := json.Unmarshal(b, &f); err != nil {
		return Facts{}, fmt.Errorf("read observation: %w", err)
	}
	if err := f.check(); err != nil {
		return Facts{}, fmt.Errorf("read observation: %w", err)
	}
	return f, nil
}

func (f *Facts) check() error {
	if len(f.Params) > maxParams || len(f.Calls) > maxCalls || len(f.Auth) > 16 {
		return errors.New("too many parameters, calls or credentials")
	}
	texts := []string{f.Caller.Kind, f.Caller.Name, f.Request.MediaType, f.Response.MediaType, f.Protocol, f.Streaming}
	for i := range f.Params {
		p := &f.Params[i]
		if p.In != "header" && p.In != "cookie" || p.Name == "" || p.Text != "" && (p.Kind != KindWord || len(p.Text) > maxWordText) || p.Length < 0 || p.Position < 0 || len(p.More) > 0 {
			return errors.New("a parameter is none")
		}
		texts = append(texts, p.Name, p.Text, p.Prefix, p.Listed)
	}
	return checkTold(texts, f.Auth, f.Calls, f.Request.Shape, f.Response.Shape)
}

// checkTold bounds what every kind of message tells: names, credentials, calls and
// the shapes of both bodies.
func checkTold(texts []string, auth []AuthSeen, calls []Call, bodies ...*Shape) error {
	for _, a := range auth {
		if len(a.Weak) > maxWeak {
			return errors.New("too much is wrong with a token")
		}
		texts = append(append(texts, a.Kind, a.Scheme, a.Format, a.In, a.Name, a.Issuer, a.Audience, a.Alg), a.Weak...)
	}
	for _, c := range calls {
		if len(c.Fields) > 200 {
			return errors.New("too many fields")
		}
		texts = append(append(texts, c.Protocol, c.Name), c.Fields...)
	}
	for _, t := range texts {
		if len(t) > 512 || !utf8.ValidString(t) {
			return errors.New("a text is too long, or none")
		}
	}
	for _, s := range bodies {
		if err := s.check(64); err != nil {
			return err
		}
	}
	return nil
}

// check says whether a shape is as this package makes them; depth is how deep it
// may nest.
func (s *Shape) check(depth int) error {
	if s == nil {
		return nil
	}
	if depth == 0 || s.Most < 0 || s.Length < 0 || len(s.Members) > maxMembers || len(s.Words) > maxWords || len(s.Variants) > maxVariants ||
		len(s.Kinds) > Kinds || len(s.Sensitive) > maxSensitive {
		return errors.New("a shape is beyond its bounds")
	}
	ordered := increasing(len(s.Members), func(i int) string { return s.Members[i].Name }) && wordsIncrease(s.Words) &&
		increasing(len(s.Variants), func(i int) string { return s.Variants[i].Word })
	for i := 1; i < len(s.Kinds); i++ {
		ordered = ordered && s.Kinds[i-1].Kind < s.Kinds[i].Kind
	}
	for i := 1; i < len(s.Sensitive); i++ {
		ordered = ordered && s.Sensitive[i-1].Kind < s.Sensitive[i].Kind
	}
	for i := range s.Variants {
		ordered = ordered && len(s.Variants[i].Members) <= maxMembers && wordsIncrease(s.Variants[i].Members)
	}
	if !ordered || len(s.Tag) > maxParamName {
		return errors.New("a shape is out of order")
	}
	below := []*Shape{s.Free, s.Items}
	for i := range s.Members {
		if s.Members[i].Shape == nil {
			return errors.New("a member has no shape")
		}
		below = append(below, s.Members[i].Shape)
	}
	for _, b := range below {
		if err := b.check(depth - 1); err != nil {
			return err
		}
	}
	return nil
}

func wordsIncrease(list []WordCount) bool {
	return increasing(len(list), func(i int) string { return list[i].Text })
}

// increasing says that n texts are in order, and short as names and words are.
func increasing(n int, text func(int) string) bool {
	for i := range n {
		t := text(i)
		if len(t) > 256 || !utf8.ValidString(t) || i > 0 && text(i-1) >= t {
			return false
		}
	}
	return true
}

// Add makes the facts part of an observation that was made without them. What is
// known of media types from both is the filter's.
func (o *Observation) Add(f *Facts) {
	o.Params = append(o.Params, f.Params...)
	if len(f.Auth) > 0 {
		o.Auth = f.Auth
	}
	if rank(f.Caller.Kind) > rank(o.Caller.Kind) {
		o.Caller = f.Caller
	}
	o.Request, o.Response = o.Request.with(f.Request), o.Response.with(f.Response)
	if f.Protocol != "" && o.answersAs(f.Protocol) {
		o.Protocol = f.Protocol
	}
	if f.Streaming != "" {
		o.Streaming = f.Streaming
	}
	if len(f.Calls) > 0 {
		o.Calls = f.Calls
	}
}

func (c Content) with(f Content) Content {
	if f.MediaType != "" {
		c.MediaType = f.MediaType
	}
	c.Present = c.Present || f.Present
	c.Shape = f.Shape
	return c
}
