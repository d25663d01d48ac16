package learn

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/gabion-io/gabion/api-discovery"
	"github.com/gabion-io/gabion/internal/exchange"
)

// Conclude says what the operations of each service are, by name of the service.
// The learner goes on; what it learns later may change the answer.
func (l *Learner) Conclude(overrides []apidiscovery.Override) []apidiscovery.Spec {
	l.mu.Lock()
	defer l.mu.Unlock()
	var specs []apidiscovery.Spec
	for _, s := range l.services {
		specs = append(specs, l.conclude(s, overrides))
	}
	slices.SortFunc(specs, func(a, b apidiscovery.Spec) int { return cmp.Compare(a.Service, b.Service) })
	return specs
}

// ConcludeService is Conclude for one service; false when nothing is known of it.
func (l *Learner) ConcludeService(name string, overrides []apidiscovery.Override) (apidiscovery.Spec, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.services[name]
	if s == nil {
		return apidiscovery.Spec{}, false
	}
	return l.conclude(s, overrides), true
}

// Evicted is how many exchanges a bound left out.
func (l *Learner) Evicted() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.size.evicted
}

func (l *Learner) conclude(s *service, overrides []apidiscovery.Override) apidiscovery.Spec {
	c := &concluder{service: s.name, overrides: overrides, examples: l.limits.Aside}
	c.aside.merge(s.aside, l.limits.Aside)
	pins := pinsOf(overrides, s.name)
	root := decide(c.withoutCatchAll(s.proven, pins), pins)
	c.strays = map[*place][]*end{}
	c.match(s.stray, root, "")
	c.walk(root, nil)
	slices.SortFunc(c.operations, func(a, b apidiscovery.Operation) int { return a.OperationKey.Compare(b.OperationKey) })
	spec := apidiscovery.Spec{Service: s.name, Operations: c.operations, Aside: c.aside.conclude()}
	for _, o := range c.operations {
		if f := o.Traffic.First; !f.IsZero() && (spec.From.IsZero() || f.Before(spec.From)) {
			spec.From = f
		}
		if o.Traffic.Last.After(spec.To) {
			spec.To = o.Traffic.Last
		}
	}
	return spec
}

// concluder makes the operations of one service.
type concluder struct {
	service    string
	overrides  []apidiscovery.Override
	examples   int
	operations []apidiscovery.Operation
	aside      asides
	strays     map[*place][]*end
}

// match finds out which of the exchanges that prove nothing belong to an
// operation; the rest goes aside.
func (c *concluder) match(n *node, p *place, path string) {
	for _, e := range n.ends {
		if p.claims(e) {
			c.strays[p] = append(c.strays[p], e)
			continue
		}
		c.put(e, path)
	}
	for i := range n.kids {
		k := &n.kids[i]
		head, suffix := around(k.form)
		c.match(k.node, p.below(k.text, k.form), path+"/"+head+maskedKid(k)+suffix)
	}
	for i := range n.holes {
		h := &n.holes[i]
		head, suffix := around(h.form)
		c.match(h.node, p.through(h), path+"/"+head+"{value}"+suffix)
	}
}

// claims says that what was called in vain at a place belongs to an operation there.
func (p *place) claims(e *end) bool {
	return p != nil && slices.ContainsFunc(p.ends, func(x *end) bool {
		return x.ok > 0 && (x.key == e.key || e.count == 0 && x.key.method == e.key.method)
	})
}

// below finds the branch that a segment belongs to: the word, or the hole.
func (p *place) below(text, form string) *place {
	if p == nil {
		return nil
	}
	if p.colons && isVerbForm(form) {
		text, form = "", ""
	}
	var hole *place
	for i := range p.branches {
		b := &p.branches[i]
		switch {
		case b.form != form:
		case b.hole:
			hole = b.place
		case b.text == text && text != "":
			return b.place
		}
	}
	return hole
}

// through finds the place below a hole; below an empty segment that is no value it
// is the place itself.
func (p *place) through(h *hole) *place {
	below := p.below("", h.form)
	if below == nil && h.form == "" && h.vals.of(exchange.KindEmpty) == h.vals.count {
		return p
	}
	return below
}

func maskedKid(k *kid) string {
	if k.text == "" {
		return exchange.MaskValue
	}
	return maskedValue(&exchange.Value{Kind: k.kind, Text: k.text})
}

func (c *concluder) put(e *end, path string) {
	if e.preflights > 0 {
		c.putCount("preflight", uint64(e.preflights), path)
	}
	missing := uint64(0)
	for _, s := range e.statuses {
		if s.code == 404 || s.code == 410 {
			missing += uint64(s.count)
		}
	}
	if missing > 0 {
		c.putCount("missing", missing, path)
	}
	if rest := uint64(e.count) - missing; e.count > 0 && rest > 0 {
		c.putCount("unproven", rest, path)
	}
}

func (c *concluder) putCount(reason string, n uint64, path string) {
	x := c.aside.of(reason)
	x.count += n
	x.paths.count++
	x.paths.addSample(exchange.Key{}.Hash(path), 1, "")
	x.example(cmp.Or(path, "/"), c.examples)
}

// walk makes the operations at a place and below.
func (c *concluder) walk(p *place, path []*branch) {
	for _, e := range p.ends {
		switch {
		case e.ok == 0:
		case p.unread(e):
			c.putUnread(e, p, path)
		default:
			c.operation(e, p, path)
		}
	}
	for i := range p.branches {
		c.walk(p.branches[i].place, append(path[:len(path):len(path)], &p.branches[i]))
	}
}

// unread says that an end is what is known of calls whose bodies say what was
// called, where no body was looked into: operations of this place by name, and
// none of its own.
func (p *place) unread(e *end) bool {
	if e.key.name != "" || e.key.protocol != apidiscovery.REST || e.withBody < e.ok ||
		slices.ContainsFunc(e.request, func(c content) bool { return c.inspected > 0 }) {
		return false
	}
	return slices.ContainsFunc(p.ends, func(x *end) bool { return x.ok > 0 && x.key.name != "" && x.key.method == e.key.method })
}

// putUnread counts them aside, with what was called in vain.
func (c *concluder) putUnread(e *end, p *place, path []*branch) {
	n := uint64(e.count)
	for _, s := range c.strays[p] {
		if s.key == e.key {
			n += uint64(s.count)
		}
	}
	c.putCount("unread", n, c.template(path, false).String())
}

func (c *concluder) operation(proven *end, p *place, path []*branch) {
	e := &end{key: proven.key}
	e.merge(proven)
	for _, s := range c.strays[p] {
		if s.key == e.key || s.count == 0 && s.key.method == e.key.method {
			e.merge(s)
		}
	}
	template := c.template(path, e.slash*2 > e.count)
	o := apidiscovery.Operation{OperationKey: apidiscovery.OperationKey{Service: c.service, Protocol: e.key.protocol,
		Method: e.key.method, Template: template, Name: e.key.name}}
	o.ID = o.OperationKey.ID()
	o.Params = paramsOf(e, path, template)
	o.Request = bodiesOf(e.request, e.ok, e.withBody)
	o.Responses = responsesOf(e)
	o.Streaming = streamingOf(e)
	for _, f := range e.fields {
		o.Fields = append(o.Fields, apidiscovery.Field{Path: f.path, Count: uint64(f.count)})
	}
	o.Auth = authsOf(e)
	o.Callers = callersOf(e)
	o.Traffic = trafficOf(e)
	o.Evidence = evidenceOf(e, path, template)
	c.operations = append(c.operations, o)
}

func streamingOf(e *end) string {
	switch {
	case e.key.protocol == apidiscovery.WebSocket:
		return "bidi"
	case e.key.protocol == apidiscovery.SSE:
		return "server"
	}
	return [4]string{"", "client", "server", "bidi"}[e.streaming&3]
}

func authsOf(e *end) (list []apidiscovery.Auth) {
	for _, a := range e.auth {
		list = append(list, apidiscovery.Auth{Kind: a.kind, Scheme: a.scheme, Format: a.format, In: a.in, Name: a.name,
			Issuers: a.issuers, Audiences: a.audiences, Algs: a.algs, Weak: a.weak, Count: uint64(a.count), Accepted: uint64(a.accepted)})
	}
	slices.SortStableFunc(list, func(a, b apidiscovery.Auth) int { return cmp.Compare(b.Count, a.Count) })
	return list
}

func callersOf(e *end) apidiscovery.Callers {
	c := apidiscovery.Callers{Distinct: e.callers.distinct()}
	list := slices.Clone(e.callers.list)
	slices.SortStableFunc(list, func(a, b caller) int { return cmp.Or(cmp.Compare(b.count, a.count), cmp.Compare(a.hash, b.hash)) })
	for _, x := range list[:min(16, len(list))] {
		c.Top = append(c.Top, apidiscovery.Caller{Kind: x.kind, Hash: hashText(x.hash), Name: x.name, Count: uint64(x.count)})
	}
	return c
}

func hashText(h uint64) string {
	const digits = "0123456789abcdef"
	var b [16]byte
	for i := range b {
		b[i] = digits[h>>(60-4*i)&15]
	}
	return string(b[:])
}

func trafficOf(e *end) apidiscovery.Traffic {
	t := apidiscovery.Traffic{Count: uint64(e.count), Preflights: uint64(e.preflights), BytesIn: e.bytesIn, BytesOut: e.bytesOut, Latency: e.latency}
	for _, s := range e.statuses {
		switch {
		case s.code >= 500:
			t.Errors += uint64(s.count)
		case s.code == 401 || s.code == 403:
			t.Denied += uint64(s.count)
		case s.code == 404 || s.code == 410:
			t.Missing += uint64(s.count)
		}
	}
	if e.first != 0 {
		t.First, t.Last = time.Unix(0, e.first).UTC(), time.Unix(0, e.last).UTC()
	}
	for _, d := range e.days {
		t.Days = append(t.Days, apidiscovery.Day{Date: time.Unix(int64(d.number)*86400, 0).UTC().Format(time.DateOnly), Count: uint64(d.count)})
	}
	return t
}

func evidenceOf(e *end, path []*branch, t apidiscovery.PathTemplate) apidiscovery.Evidence {
	v := apidiscovery.Evidence{Successes: uint64(e.ok), Confidence: 1}
	texts := strings.Split(strings.Trim(t.String(), "/"), "/")
	for i, b := range path {
		s := apidiscovery.Segment{Text: texts[i], Values: uint64(b.vals.distinct()), Count: uint64(b.vals.count), Confidence: confidence(b)}
		kinds := slices.Clone(b.vals.kinds)
		slices.SortStableFunc(kinds, func(a, b kindCount) int { return cmp.Compare(b.count, a.count) })
		for _, k := range kinds {
			s.Kinds = append(s.Kinds, k.kind.String())
		}
		s.Reasons = reasonsOf(b)
		v.Segments = append(v.Segments, s)
		v.Confidence = min(v.Confidence, s.Confidence)
	}
	return v
}

func confidence(b *branch) float64 {
	return math.Round(1000/(1+math.Exp(-math.Abs(b.score)))) / 1000
}

// reasonsOf lists the reasons, those that speak for the decision first, with
// their weights: positive for a value.
func reasonsOf(b *branch) (texts []string) {
	sign := -1.0
	if b.hole {
		sign = 1
		for _, k := range b.vals.kinds {
			if !k.kind.Fixed() {
				texts = append(texts, "values that nobody writes by hand: "+k.kind.String())
				break
			}
		}
	}
	reasons := slices.Clone(b.reasons)
	slices.SortStableFunc(reasons, func(x, y reason) int { return cmp.Compare(sign*y.weight, sign*x.weight) })
	for _, r := range reasons {
		if math.Abs(r.weight) >= 0.2 && len(texts) < 12 {
			texts = append(texts, fmt.Sprintf("%s (%+.1f)", r.text, r.weight))
		}
	}
	return texts
}

// compact makes the tree as small as what was decided allows: values go into
// their holes for good. It is called when the tree has reached its bound.
func (l *Learner) compact() {
	l.size.proven = 0
	for _, s := range l.services {
		s.proven = nodeOf(decide(s.proven, nil), &l.size.proven)
	}
	switch {
	case l.size.proven <= l.nodes/2:
	case l.nodes < l.limits.Nodes*maxGrowth:
		l.nodes += l.nodes / 2
	default:
		l.forgetRare()
	}
}

// maxGrowth is how many times its first bound a tree may grow to, if what was
// decided needs that much.
const maxGrowth = 4

// forgetRare makes half of the bound free: what was called least often goes first.
func (l *Learner) forgetRare() {
	for most := uint32(1); l.size.proven > l.nodes/2 && most > 0; most *= 2 {
		for _, s := range l.services {
			s.proven.forget(func(e *end) bool {
				rare := e.count <= most
				if rare {
					l.size.evicted += uint64(e.count)
				}
				return rare
			}, &l.size.proven)
		}
	}
}

// nodeOf is the tree that holds exactly what a place holds.
func nodeOf(p *place, size *int) *node {
	n := &node{ends: p.ends}
	for i := range p.branches {
		b := &p.branches[i]
		below := nodeOf(b.place, size)
		*size++
		if b.hole {
			n.holes = append(n.holes, hole{form: b.form, vals: *b.vals, node: below})
			continue
		}
		g := exchange.Segment{Value: exchange.Value{Kind: b.vals.kinds[0].kind, Text: b.text}}
		k := kid{id: b.vals.sample[0].hash, late: isLate(&g), kind: g.Kind, form: b.form, text: b.text, length: b.vals.length, count: b.vals.count, node: below}
		at, _ := n.find(k.late, k.id)
		n.kids = slices.Insert(n.kids, at, k)
	}
	slices.SortFunc(n.holes, func(a, b hole) int { return cmp.Compare(a.form, b.form) })
	return n
}
