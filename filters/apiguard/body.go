package apiguard

import (
	"fmt"
	"strings"
	"time"

	"github.com/gabion-io/gabion/filters"
	"github.com/gabion-io/gabion/internal/exchange"
)

// requestBody is what an operation takes, compiled.
type requestBody struct {
	required bool
	content  []media
}

// media is one content type.
type media struct {
	pattern string
	schema  *schema // nil: any body
}

func (c *compiling) body(path string, b *filters.APIRequestBody) *requestBody {
	if b == nil {
		return nil
	}
	return &requestBody{required: b.Required, content: c.content(path, b.Content, true)}
}

// content compiles content types; of forms only requests' are read.
func (c *compiling) content(path string, list []filters.APIContent, forms bool) (out []media) {
	for i, m := range list {
		at := fmt.Sprintf("%s.content[%d]", path, i)
		pattern := strings.ToLower(m.ContentType)
		if strings.Count(pattern, "/") != 1 {
			c.bad(at+".contentType", "%q is no media type: write it like application/json", m.ContentType)
		}
		made := media{pattern: pattern, schema: c.schema(at+".schema", m.Schema)}
		if made.schema != nil && !isJSON(pattern) && !(forms && pattern == formType) && !strings.HasSuffix(pattern, "*") {
			c.idle(at+".schema", "can do nothing: bodies of %s are not read", pattern)
		}
		out = append(out, made)
	}
	return out
}

const formType = "application/x-www-form-urlencoded"

func isJSON(media string) bool {
	return strings.HasSuffix(media, "/json") || strings.HasSuffix(media, "+json")
}

// fits: patterns are "application/json", "image/*", "*/*", "application/*+json".
func fits(pattern, media string) bool {
	if pattern == media || pattern == "*/*" {
		return true
	}
	prefix, suffix, star := strings.Cut(pattern, "*")
	return star && len(media) > len(prefix)+len(suffix) && strings.HasPrefix(media, prefix) && strings.HasSuffix(media, suffix)
}

// content judges the content type, and says whether the body is looked at.
func (j *Judgement) content(h *filters.RequestHead, end bool) {
	b := j.op.body
	if b == nil {
		return
	}
	if end {
		if b.required {
			j.violates("body", "", "is missing")
		}
		return
	}
	if len(b.content) == 0 {
		j.awaits = b.required
		return
	}
	kind, _, _ := strings.Cut(headerOf(h, "content-type"), ";")
	kind = strings.ToLower(strings.TrimSpace(kind))
	for i := range b.content {
		if fits(b.content[i].pattern, kind) {
			m := b.content[i]
			m.pattern = kind
			j.media = &m
			j.awaits = b.required || m.schema != nil && (isJSON(kind) || kind == formType)
			return
		}
	}
	if headerOf(h, "content-length") == "0" && !b.required {
		return
	}
	reason := "has a content type that is not declared"
	if kind == "" {
		reason = "has no content type"
	}
	j.add(415, filters.Violation{In: "body", Reason: reason})
}

// Body judges the whole body, decoded.
func (j *Judgement) Body(b []byte) {
	if !j.awaits {
		return
	}
	j.awaits = false
	if len(b) == 0 {
		if j.op.body.required {
			j.violates("body", "", "is missing")
		}
		return
	}
	if j.media == nil || j.media.schema == nil {
		return
	}
	switch kind := j.media.pattern; {
	case isJSON(kind):
		if j.media.schema.quick.proves(b, j.guard.depth()) {
			return
		}
		v, err := parse(b, j.guard.depth())
		if err != nil {
			j.violates("body", "", "%v", err)
			return
		}
		j.validate(j.media.schema, v, "body", "")
	case kind == formType:
		fields, more := pairs(string(b), "&", exchange.UnescapeQuery)
		if more {
			j.violates("body", "", "has more than %d fields", maxParams)
			return
		}
		j.validate(j.media.schema, form(fields, &j.media.schema.kinds), "body", "")
	}
}

// TooLong says that the body is longer than is held.
func (j *Judgement) TooLong() {
	if j.awaits {
		j.awaits = false
		j.add(413, filters.Violation{In: "body", Reason: fmt.Sprintf("is longer than %d bytes", j.guard.BodyLimit())})
	}
}

// Unseen says that the body will not be shown, or not all of it: nothing is said
// of it.
func (j *Judgement) Unseen() { j.awaits = false }

func (g *Guard) depth() int {
	if g.api.BodyDepth > 0 {
		return g.api.BodyDepth
	}
	return 64
}

// form is a form's fields as an object.
func form(fields []pair, kinds *typesOf) any {
	lists := map[string][]string{}
	for _, p := range fields {
		name := strings.TrimSuffix(p.name, "[]")
		lists[name] = append(lists[name], p.value)
	}
	out := map[string]any{}
	for name, values := range lists {
		of := kinds.properties[name]
		if of.has("array") || len(values) > 1 {
			out[name] = of.list(values)
		} else {
			out[name] = of.value(values[0])
		}
	}
	return out
}

// Cost estimates how long judging a body of some bytes takes.
func Cost(bytes int64) time.Duration { return time.Duration(bytes) * nanosPerByte }

// nanosPerByte is what reading and judging JSON takes, on the slow side.
const nanosPerByte = 60
