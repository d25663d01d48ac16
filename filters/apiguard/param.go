package apiguard

import (
	"fmt"
	"slices"
	"strings"

	"github.com/gabion-io/gabion/filters"
	"github.com/gabion-io/gabion/internal/exchange"
)

// param is one parameter compiled.
type param struct {
	filters.APIParameter
	schema *schema // nil: any value
	hole   int     // of the path; -1
}

// maxParams bounds the query parameters, and the cookies, of one request that are
// looked at.
const maxParams = 1000

func (c *compiling) params(path string, holes []string, list []filters.APIParameter) (out []param) {
	seen := map[[2]string]bool{}
	for i, p := range list {
		at := fmt.Sprintf("%s.parameters[%d]", path, i)
		made := param{APIParameter: p, hole: -1}
		switch p.In {
		case "path":
			if made.hole = slices.Index(holes, p.Name); made.hole < 0 {
				c.bad(at+".name", "the path has no {%s}", p.Name)
			}
		case "query", "header", "cookie":
		default:
			c.bad(at+".in", "%q is not path, query, header or cookie", p.In)
		}
		if p.Name == "" {
			c.bad(at+".name", "is missing")
		}
		if id := [2]string{p.In, p.Name}; seen[id] {
			c.bad(at, "%s parameter %s is there twice", p.In, p.Name)
		} else {
			seen[id] = true
		}
		if p.In == "header" {
			made.Name = strings.ToLower(p.Name)
		}
		switch p.Style {
		case "", "form", "simple", "spaceDelimited", "pipeDelimited", "deepObject":
		default:
			c.bad(at+".style", "%q is not form, simple, spaceDelimited, pipeDelimited or deepObject", p.Style)
		}
		made.schema = c.schema(at+".schema", p.Schema)
		out = append(out, made)
	}
	return out
}

// schema compiles one; nil when there is none, or it is wrong.
func (c *compiling) schema(path string, raw []byte) *schema {
	if len(raw) == 0 || string(raw) == "null" {
		return nil
	}
	made, err := c.schemas.compile(raw)
	if e, ok := err.(*schemaError); ok {
		c.bad(path+e.at, "%s", e.message)
	}
	return made
}

// params judges all parameters of a request.
func (j *Judgement) params(holes []string, query string, h *filters.RequestHead) {
	var q, cookies []pair
	if len(j.op.params) > 0 || j.op.unknown == filters.UnknownDeny || j.op.unknown == filters.UnknownDetect {
		var more bool
		if q, more = pairs(query, "&", exchange.UnescapeQuery); more {
			j.violates("query", "", "has more than %d parameters", maxParams)
		}
	}
	for i := range j.op.params {
		p := &j.op.params[i]
		switch p.In {
		case "path":
			if p.hole >= 0 && p.hole < len(holes) {
				j.value(p, holes[p.hole])
			}
		case "query":
			j.query(p, q)
		case "header":
			j.header(p, h)
		case "cookie":
			if cookies == nil {
				cookies = cookiesOf(h)
			}
			j.query(p, cookies)
		}
	}
	j.unknownParams(q)
}

// pair is a name with its value.
type pair struct{ name, value string }

// pairs takes a list apart; more says that it goes on.
func pairs(text, sep string, decode func(string) string) (out []pair, more bool) {
	for text != "" {
		if len(out) == maxParams {
			return out, true
		}
		var one string
		one, text, _ = strings.Cut(text, sep)
		if one = strings.TrimLeft(one, " "); one == "" {
			continue
		}
		name, value, _ := strings.Cut(one, "=")
		out = append(out, pair{decode(name), decode(value)})
	}
	return out, false
}

func cookiesOf(h *filters.RequestHead) []pair {
	out := []pair{}
	for _, f := range h.Headers {
		if f.Name == "cookie" {
			some, _ := pairs(f.Value, ";", func(s string) string { return s })
			out = append(out, some...)
		}
	}
	return out
}

// member is the name inside the brackets of "filter[status]".
func member(name, of string) (string, bool) {
	inner, ok := strings.CutPrefix(name, of+"[")
	inner, closed := strings.CutSuffix(inner, "]")
	return inner, ok && closed
}

// carries says that a pair of the query belongs to a parameter.
func (p *param) carries(name string) bool {
	if name == p.Name {
		return true
	}
	inner, ok := member(name, p.Name)
	if p.Style == "deepObject" {
		return ok
	}
	return ok && strings.Trim(inner, "0123456789") == "" // "ids[]" and "ids[0]"
}

func (j *Judgement) query(p *param, given []pair) {
	var values []string
	object := map[string]any{}
	for _, g := range given {
		if !p.carries(g.name) {
			continue
		}
		values = append(values, g.value)
		if inner, ok := member(g.name, p.Name); ok && p.schema != nil {
			of := p.schema.kinds.properties[inner]
			object[inner] = of.value(g.value)
		}
	}
	switch {
	case len(values) == 0:
		j.absent(p)
	case p.schema == nil:
	case p.Style == "deepObject":
		j.validate(p.schema, object, p.In, p.Name)
	case p.schema.kinds.has("array"):
		j.validate(p.schema, p.schema.kinds.list(p.elements(values)), p.In, p.Name)
	case len(values) > 1: // which one counts is anybody's guess
		j.violates(p.In, p.Name, "is there %d times", len(values))
	default:
		j.value(p, values[0])
	}
}

// elements takes the values of a list apart.
func (p *param) elements(values []string) []string {
	if p.Explode || len(values) > 1 {
		return values
	}
	sep := ","
	switch p.Style {
	case "spaceDelimited":
		sep = " "
	case "pipeDelimited":
		sep = "|"
	}
	return strings.Split(values[0], sep)
}

func (j *Judgement) header(p *param, h *filters.RequestHead) {
	there := false
	for _, f := range h.Headers {
		if f.Name != p.Name {
			continue
		}
		there = true
		if p.schema != nil && p.schema.kinds.has("array") {
			j.validate(p.schema, p.schema.kinds.list(strings.Split(strings.ReplaceAll(f.Value, ", ", ","), ",")), p.In, p.Name)
			continue
		}
		j.value(p, f.Value)
	}
	if !there {
		j.absent(p)
	}
}

func (j *Judgement) absent(p *param) {
	if p.Required {
		j.violates(p.In, p.Name, "is missing")
	}
}

func (j *Judgement) value(p *param, text string) {
	if p.schema != nil {
		j.validate(p.schema, p.schema.kinds.value(text), p.In, p.Name)
	}
}

// unknownParams tells of query parameters that the operation does not have.
func (j *Judgement) unknownParams(given []pair) {
	if j.op.unknown != filters.UnknownDeny && j.op.unknown != filters.UnknownDetect {
		return
	}
	told := map[string]bool{}
	for _, g := range given {
		known := slices.ContainsFunc(j.op.params, func(p param) bool { return p.In == "query" && p.carries(g.name) })
		if known || told[g.name] {
			continue
		}
		told[g.name] = true
		j.add(400, filters.Violation{In: "query", At: exchange.MaskSegment(g.name), Reason: "is not declared", Told: j.op.unknown == filters.UnknownDetect})
	}
}
