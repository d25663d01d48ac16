package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/gabion-io/gabion/api-discovery"
	"github.com/gabion-io/gabion/api-discovery/openapi"
)

// documented compares the OpenAPI document that was made with the description
// that the traffic was made of. Both are read by the same code, which is not the
// one that wrote the document.
type documented struct {
	bytes, operations                    int
	recall, precision                    ratio // templates, each with its method
	names, namesPrecision                ratio // of parameters
	types, required                      ratio
	status                               ratio // the status of success, and no other
	members, membersPrecision            ratio // of JSON bodies, all levels
	memberTypes, memberRequired, formats ratio
	misses                               []string
}

// judgeDocument writes the document to name, if there is one, and reads it.
func judgeDocument(spec apidiscovery.Spec, sent map[string]*tally, least int, bodies bool, name string) (d documented, err error) {
	b, err := openapi.Render(spec, openapi.JSON)
	if err != nil {
		return d, err
	}
	d.bytes = len(b)
	if name != "" {
		if err := os.WriteFile(name, b, 0o644); err != nil {
			return d, err
		}
	}
	var doc map[string]any
	if err := json.Unmarshal(b, &doc); err != nil {
		return d, fmt.Errorf("read the document: %w", err)
	}
	learned := map[string]operation{}
	for _, o := range operationsIn(doc) {
		learned[o.method+" "+canonical(o.path)] = o
	}
	truth := map[string]*tally{}
	for _, t := range sent {
		truth[t.op.method+" "+fold(t.op.path)] = t
	}
	counts := map[string]uint64{}
	for _, o := range spec.Operations {
		counts[o.Method+" "+canonical(o.Template.String())] = o.Traffic.Count
	}
	d.operations = len(learned)
	for key := range learned {
		if counts[key] >= uint64(least) {
			d.precision.add(truth[key] != nil)
		}
	}
	for key, t := range truth {
		if t.count < least {
			continue
		}
		o, ok := learned[key]
		d.recall.add(ok)
		if ok {
			d.operation(&o, t, bodies)
		}
	}
	slices.Sort(d.misses)
	return d, nil
}

func (d *documented) miss(t *tally, format string, args ...any) {
	d.misses = append(d.misses, fmt.Sprintf("document %5d %s %s: ", t.count, t.op.method, t.op.path)+fmt.Sprintf(format, args...))
}

func (d *documented) operation(o *operation, t *tally, bodies bool) {
	d.status.add(slices.Equal(o.successes, []int{t.op.status}))
	if !slices.Equal(o.successes, []int{t.op.status}) {
		d.miss(t, "answers %v for %d", o.successes, t.op.status)
	}
	d.holes(o, t)
	for i := range o.params {
		if p := &o.params[i]; p.in != "path" {
			q := t.op.find(p)
			d.namesPrecision.add(q != nil)
			if q != nil {
				d.param(p, q, t)
			}
		}
	}
	for i := range t.op.params {
		if q := &t.op.params[i]; q.in != "path" && t.seen[q.in+" "+q.name] > 0 {
			d.names.add(o.find(q) != nil || o.credentials[strings.ToLower(q.name)])
		}
	}
	if bodies && t.ok >= 5 {
		d.schema(o.request, t.op.request, t.op.spec, t, "request", 0)
		d.schema(o.response, t.op.response, t.op.spec, t, "response", 0)
	}
}

// holes are compared by position: their names are ours.
func (d *documented) holes(o *operation, t *tally) {
	var ours, theirs []*param
	for _, x := range []struct {
		op   *operation
		list *[]*param
	}{{o, &ours}, {t.op, &theirs}} {
		for _, name := range apidiscovery.MustPathTemplate(x.op.path).Names() {
			for i := range x.op.params {
				if p := &x.op.params[i]; p.in == "path" && p.name == name {
					*x.list = append(*x.list, p)
				}
			}
		}
	}
	for i := range min(len(ours), len(theirs)) {
		d.param(ours[i], theirs[i], t)
	}
}

func (o *operation) find(p *param) *param {
	for i := range o.params {
		if q := &o.params[i]; q.in == p.in && strings.EqualFold(q.name, p.name) {
			return q
		}
	}
	return nil
}

func (d *documented) param(p, q *param, t *tally) {
	ok := len(q.types()) == 0 || len(p.types()) == 1 && slices.Contains(q.types(), p.types()[0])
	if len(q.types()) > 0 {
		d.types.add(ok)
	}
	if !ok {
		d.miss(t, "%s %s is %v for %v", p.in, q.name, p.types(), q.types())
	}
	if p.in != "path" {
		d.required.add(p.required == q.required)
	}
}

// schema compares members, as far as the description says what they are without
// alternatives.
func (d *documented) schema(ours, theirs map[string]any, spec speced, t *tally, where string, depth int) {
	for ours != nil && theirs != nil {
		all := anyList(theirs["allOf"])
		if len(all) == 0 {
			break
		}
		theirs, _ = spec.follow(all[0]).(map[string]any) // as the generator does
	}
	if ours == nil || theirs == nil || depth > 5 || theirs["oneOf"] != nil || theirs["anyOf"] != nil || ours["oneOf"] != nil {
		return
	}
	if items, ok := spec.follow(theirs["items"]).(map[string]any); ok {
		inner, _ := ours["items"].(map[string]any)
		d.schema(inner, items, spec, t, where+"[]", depth+1)
		return
	}
	props, _ := theirs["properties"].(map[string]any)
	seen, _ := ours["properties"].(map[string]any)
	if len(props) == 0 || len(seen) == 0 {
		return
	}
	for name := range seen {
		d.membersPrecision.add(props[name] != nil)
	}
	for name := range props {
		inner, _ := seen[name].(map[string]any)
		d.members.add(inner != nil)
		if inner == nil {
			continue
		}
		member, _ := spec.follow(props[name]).(map[string]any)
		d.member(inner, member, t, where+"/"+name)
		if depth == 0 {
			isRequired := slices.Contains(anyList(theirs["required"]), any(name))
			d.memberRequired.add(slices.Contains(anyList(ours["required"]), any(name)) == isRequired)
		}
		d.schema(inner, member, spec, t, where+"/"+name, depth+1)
	}
}

func (d *documented) member(ours, theirs map[string]any, t *tally, where string) {
	want := typesOf(theirs)
	if len(want) == 0 || theirs["oneOf"] != nil || theirs["anyOf"] != nil {
		return
	}
	got := slices.DeleteFunc(typesOf(ours), func(s string) bool { return s == "null" })
	if len(got) == 0 {
		return // was null each time
	}
	ok := len(got) == 1 && slices.Contains(want, got[0])
	d.memberTypes.add(ok)
	if !ok {
		d.miss(t, "%s is %v for %v", where, got, want)
	}
	if f, _ := theirs["format"].(string); (f == "date-time" || f == "uuid" || f == "date" || f == "email") && ok && ours["enum"] == nil {
		d.formats.add(ours["format"] == f)
	}
}

func documentHeader(w io.Writer) {
	fmt.Fprintf(w, "\n| api | values | seed | exchanges | bytes | paths×methods | recall | precision | names rec. | names prec. | types | required | status | members rec. | members prec. | types | required | formats |\n")
	fmt.Fprintf(w, "|---|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n")
}

func (d documented) row(w io.Writer, api, values string, seed uint64, n int) {
	fmt.Fprintf(w, "| %s | %s | %d | %d | %d | %d | %s | %s | %s | %s | %s | %s | %s | %s | %s | %s | %s | %s |\n", api, values, seed, n, d.bytes, d.operations, d.recall, d.precision,
		d.names, d.namesPrecision, d.types, d.required, d.status, d.members, d.membersPrecision, d.memberTypes, d.memberRequired, d.formats)
}
