// Package apiguard holds requests to the API that a service is said to have: its
// operations, their parameters, their bodies. It is one engine of the filter, as
// filters/waf is another: one request in phases in, what is wrong with it out. Of
// responses it tells what is not declared; they are nobody's to deny.
//
// It knows neither Envoy nor resources, and decides nothing about modes beyond telling
// which one governs an operation. What it tells holds no value a client or a service
// sent. filters/chain runs it, and checks policies with it.
package apiguard

import (
	"errors"
	"fmt"
	"strings"

	"github.com/gabion-io/gabion/api-discovery"
	"github.com/gabion-io/gabion/filters"
)

// Engine is the name under which events speak of API protection.
const Engine = "api"

// Guard is an API compiled. Immutable, safe for concurrent use.
type Guard struct {
	api    filters.API
	root   *node
	blocks bool
}

// operation is one operation compiled.
type operation struct {
	name    string // "POST /orders/{orderId}"
	mode    filters.Mode
	unknown filters.Unknown
	holes   []string // of the path, from left to right
	params  []param
	body    *requestBody
	answers []answer // none: responses are not looked at
}

// Problem is what an author should mend. A Fatal one keeps the policy from being
// compiled.
type Problem struct {
	Path    string // into the API: "operations[2].parameters[0].schema.type"
	Message string
	Fatal   bool
}

// Compile makes a guard. Its error is the first fatal problem; Check tells all.
func Compile(a filters.API) (*Guard, error) {
	g, problems := compile(a)
	for _, p := range problems {
		if p.Fatal {
			return nil, fmt.Errorf("%s: %s", p.Path, p.Message)
		}
	}
	return g, nil
}

// Check compiles and tells everything that should be mended.
func Check(a filters.API) []Problem {
	_, problems := compile(a)
	return problems
}

// compiling is one compilation.
type compiling struct {
	schemas  *schemas
	problems []Problem
}

func (c *compiling) bad(path, format string, args ...any) {
	c.problems = append(c.problems, Problem{path, fmt.Sprintf(format, args...), true})
}

func (c *compiling) idle(path, format string, args ...any) {
	c.problems = append(c.problems, Problem{path, fmt.Sprintf(format, args...), false})
}

func compile(a filters.API) (*Guard, []Problem) {
	c := &compiling{schemas: newSchemas()}
	g := &Guard{api: a, root: &node{}, blocks: a.Mode == filters.ModeBlock}
	c.mode("mode", a.Mode, false)
	c.unknown("unknownOperations", a.UnknownOperations)
	c.unknown("unknownParameters", a.UnknownParameters)
	if f := a.FailureMode; f != "" && f != filters.FailOpen && f != filters.FailClosed {
		c.bad("failureMode", "%q is not open or closed", f)
	}
	if a.BodyLimit < 1 || a.BodyLimit > maxBodyLimit {
		c.bad("bodyLimit", "%d is not between 1 and %d", a.BodyLimit, maxBodyLimit)
	}
	for i, o := range a.Operations {
		path := fmt.Sprintf("operations[%d]", i)
		g.blocks = g.blocks || o.Mode == filters.ModeBlock
		t, err := apidiscovery.ParsePathTemplate(o.Path)
		if err != nil {
			c.bad(path+".path", "%s", strings.TrimPrefix(err.Error(), "read path template "))
			continue
		}
		made := c.operation(path, a, o, t)
		if err := g.root.add(t, o.Method, made); err != nil {
			c.bad(path+".path", "%v", err)
		}
	}
	return g, c.problems
}

// maxBodyLimit bounds what one exchange may hold in memory, in bytes.
const maxBodyLimit = 64 << 20

func (c *compiling) mode(path string, m filters.Mode, optional bool) {
	switch m {
	case filters.ModeOff, filters.ModeDetect, filters.ModeBlock:
		return
	case "":
		if optional {
			return
		}
	}
	c.bad(path, "%q is not off, detect or block", m)
}

func (c *compiling) unknown(path string, u filters.Unknown) {
	switch u {
	case "", filters.UnknownAllow, filters.UnknownDetect, filters.UnknownDeny:
		return
	}
	c.bad(path, "%q is not allow, detect or deny", u)
}

func (c *compiling) operation(path string, a filters.API, o filters.APIOperation, t apidiscovery.PathTemplate) *operation {
	c.mode(path+".mode", o.Mode, true)
	c.unknown(path+".unknownParameters", o.UnknownParameters)
	if o.Method == "" {
		c.bad(path+".method", "is missing")
	}
	out := &operation{name: o.Method + " " + t.String(), mode: o.Mode, unknown: o.UnknownParameters, holes: t.Names()}
	if out.mode == "" {
		out.mode = a.Mode
	}
	if out.unknown == "" {
		out.unknown = a.UnknownParameters
	}
	out.params = c.params(path, out.holes, o.Parameters)
	out.body = c.body(path+".body", o.Body)
	out.answers = c.answers(path, o.Responses)
	return out
}

// Begin judges the head of a request. end: there is no body.
func (g *Guard) Begin(h *filters.RequestHead, end bool) *Judgement {
	j := &Judgement{guard: g, mode: g.api.Mode}
	if preflight(h) {
		j.mode = filters.ModeOff
		return j
	}
	path, query, _ := strings.Cut(h.Path, "?")
	path, _, _ = strings.Cut(path, "#")
	found, err := g.root.find(path, h.Method)
	switch {
	case errors.Is(err, errNoPath):
		j.unknownOperation(404, "is not one of the API")
		return j
	case errors.Is(err, errNoMethod):
		j.unknownOperation(405, "is not one of the API: the path has other methods")
		return j
	}
	j.op, j.mode = found.op, found.op.mode
	if j.mode == filters.ModeOff {
		return j
	}
	j.params(found.values, query, h)
	j.content(h, end)
	return j
}

// preflight is a browser asking whether it may ask: no operation of an API.
func preflight(h *filters.RequestHead) bool {
	return h.Method == "OPTIONS" && headerOf(h, "origin") != "" && headerOf(h, "access-control-request-method") != ""
}

func headerOf(h *filters.RequestHead, name string) string { return valueOf(h.Headers, name) }

func valueOf(list []filters.Header, name string) string {
	for _, f := range list {
		if f.Name == name {
			return f.Value
		}
	}
	return ""
}

// Blocks says whether anything could be denied.
func (g *Guard) Blocks() bool { return g.blocks }

// FailsClosed says what an exchange gets that cannot be judged, where the mode is
// block.
func (g *Guard) FailsClosed() bool {
	if g.api.FailureMode == "" {
		return g.blocks
	}
	return g.api.FailureMode == filters.FailClosed
}

// BodyLimit is how many bytes of a body a judgement may ask for.
func (g *Guard) BodyLimit() int64 { return g.api.BodyLimit }
