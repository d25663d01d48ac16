package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/gabion-io/gabion/api-discovery"
)

// ratio is a share with its parts.
type ratio struct{ of, all int }

func (r *ratio) add(ok bool) {
	r.all++
	if ok {
		r.of++
	}
}

func (r ratio) String() string {
	if r.all == 0 {
		return "-"
	}
	return fmt.Sprintf("%.3f", float64(r.of)/float64(r.all))
}

// score compares what was learned with what was sent.
type score struct {
	recall, precision, precisionAll              ratio
	paramRecall, paramPrecision, types, required ratio
	noise                                        int
	misses                                       []string
}

func canonical(path string) string {
	var b strings.Builder
	for rest := path; ; {
		before, after, found := strings.Cut(rest, "{")
		b.WriteString(before)
		if !found {
			return b.String()
		}
		b.WriteString("{}")
		_, rest, _ = strings.Cut(after, "}")
	}
}

// fold joins "{}...{}" to one hole: a segment with two holes is learned as one.
func fold(path string) string {
	segments := strings.Split(canonical(path), "/")
	for i, s := range segments {
		if strings.Count(s, "{}") > 1 {
			segments[i] = "{}"
		}
	}
	return strings.Join(segments, "/")
}

func scoreOf(spec apidiscovery.Spec, sent map[string]*tally, least int) (s score) {
	truth := map[string]*tally{}
	for _, t := range sent {
		truth[t.op.method+" "+fold(t.op.path)] = t
	}
	learned := map[string]*apidiscovery.Operation{}
	for i := range spec.Operations {
		o := &spec.Operations[i]
		key := o.Method + " " + canonical(o.Template.String())
		learned[key] = o
		_, isTrue := truth[key]
		s.precisionAll.add(isTrue)
		if o.Traffic.Count >= uint64(least) {
			s.precision.add(isTrue)
			if !isTrue {
				s.misses = append(s.misses, fmt.Sprintf("invented %5d %s%s", o.Traffic.Count, o.Method+" "+o.Template.String(), whys(o)))
			}
		}
		if strings.Contains(o.Template.String(), ".php") || strings.Contains(o.Template.String(), "wp-") {
			s.noise++
		}
	}
	for key, t := range truth {
		if t.count < least {
			continue
		}
		o := learned[key]
		s.recall.add(o != nil)
		if o == nil {
			s.misses = append(s.misses, fmt.Sprintf("missed   %5d %s %s", t.count, t.op.method, t.op.path))
			continue
		}
		s.params(o, t)
	}
	slices.Sort(s.misses)
	return s
}

func (s *score) params(o *apidiscovery.Operation, t *tally) {
	var path []*param
	for _, name := range apidiscovery.MustPathTemplate(t.op.path).Names() {
		for i := range t.op.params {
			if t.op.params[i].in == "path" && t.op.params[i].name == name {
				path = append(path, &t.op.params[i])
			}
		}
	}
	at := 0
	for _, p := range o.Params {
		if p.In == "path" {
			if at < len(path) {
				s.types.add(slices.Contains(path[at].types(), p.Type()))
				if !slices.Contains(path[at].types(), p.Type()) {
					s.misses = append(s.misses, fmt.Sprintf("type     %5d %s %s: path %s is %s", t.count, t.op.method, t.op.path, path[at].name, p.Type()))
				}
			}
			at++
			continue
		}
		i := slices.IndexFunc(t.op.params, func(q param) bool { return q.in == p.In && strings.EqualFold(q.name, p.Name) })
		s.paramPrecision.add(i >= 0)
		if i < 0 {
			s.misses = append(s.misses, fmt.Sprintf("param    %5d %s %s: invented %s %s", t.count, t.op.method, t.op.path, p.In, p.Name))
			continue
		}
		q := &t.op.params[i]
		if len(q.types()) > 0 { // else it may be anything
			s.types.add(slices.Contains(q.types(), p.Type()))
		}
		if len(q.types()) > 0 && !slices.Contains(q.types(), p.Type()) {
			s.misses = append(s.misses, fmt.Sprintf("type     %5d %s %s: %s %s is %s (%v)", t.count, t.op.method, t.op.path, q.in, q.name, p.Type(), q.types()))
		}
		s.required.add(q.required == p.Required)
		if q.required != p.Required {
			s.misses = append(s.misses, fmt.Sprintf("required %5d %s %s: %s %s (%d of %d)", t.count, t.op.method, t.op.path, q.in, q.name, p.Count, o.Traffic.Count))
		}
	}
	for i := range t.op.params {
		q := &t.op.params[i]
		if q.in != "path" && t.seen[q.in+" "+q.name] > 0 {
			found := slices.ContainsFunc(o.Params, func(p apidiscovery.Param) bool { return p.In == q.in && strings.EqualFold(p.Name, q.name) }) ||
				slices.ContainsFunc(o.Auth, func(a apidiscovery.Auth) bool { return strings.EqualFold(a.Name, q.name) }) // a credential
			s.paramRecall.add(found)
			if !found {
				s.misses = append(s.misses, fmt.Sprintf("param    %5d %s %s: lost %s %s (%d)", t.count, t.op.method, t.op.path, q.in, q.name, t.seen[q.in+" "+q.name]))
			}
		}
	}
}

func header(w io.Writer) {
	fmt.Fprintf(w, "| api | values | seed | exchanges | ops | recall | precision | of all | names rec. | names prec. | types | required | noise |\n")
	fmt.Fprintf(w, "|---|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n")
}

func (s score) row(w io.Writer, api, values string, seed uint64, n int) {
	fmt.Fprintf(w, "| %s | %s | %d | %d | %d | %s | %s | %s | %s | %s | %s | %s | %d |\n", api, values, seed, n, s.recall.all, s.recall, s.precision,
		s.precisionAll, s.paramRecall, s.paramPrecision, s.types, s.required, s.noise)
}

// whys explains a template that nobody described.
func whys(o *apidiscovery.Operation) string {
	var b strings.Builder
	for _, s := range o.Evidence.Segments {
		if strings.Contains(s.Text, "{") || s.Confidence < 0.9 {
			fmt.Fprintf(&b, "\n        %s %d/%d %v %s", s.Text, s.Values, s.Count, s.Kinds, strings.Join(s.Reasons, "; "))
		}
	}
	return b.String()
}
