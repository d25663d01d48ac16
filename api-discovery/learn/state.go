package learn

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/gabion-io/gabion/api-discovery"
	"github.com/gabion-io/gabion/internal/exchange"
	"github.com/gabion-io/gabion/internal/sensitive"
)

// Services lists the names of what there is.
func (l *Learner) Services() (names []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for name := range l.services {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Encode writes what is known of one service, nil when nothing is. It is for
// disk: of a path segment only the text stands there that a masked path shows as
// well, and of a parameter's words those that are the API's own. The others are
// hashes; their text comes back when the word does, and until then it is a value.
//
// What is to be kept for long is settled: then the segments of what succeeded
// have their text only where they are judged to be words of the API, and those of
// what did not have none where values stand.
func (l *Learner) Encode(name string, settled bool) []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.services[name]
	if s == nil {
		return nil
	}
	w := &wire{writing: true, known: map[string]uint64{}, version: stateVersion}
	if settled {
		w.judged = decide(s.proven, nil)
	}
	w.service(s)
	return w.pack()
}

// Decode makes a learner of what Encode wrote, to be merged into another. The
// bytes may be anything; what is damaged is an error, never half a learner.
func Decode(b []byte) (*Learner, error) {
	w, err := unpack(b)
	if err != nil {
		return nil, fmt.Errorf("read operations: %w", err)
	}
	s := &service{proven: &node{}, stray: &node{}}
	w.service(s)
	if w.err == nil && len(w.b) > 0 {
		w.fail("more follows")
	}
	if w.err != nil {
		return nil, fmt.Errorf("read operations: %w", w.err)
	}
	l := New(Limits{})
	l.services[s.name] = s
	l.size = sizes{proven: s.proven.places(), stray: s.stray.places()}
	return l, nil
}

// places counts what is below a node.
func (n *node) places() (sum int) {
	for i := range n.kids {
		sum += 1 + n.kids[i].node.places()
	}
	for i := range n.holes {
		sum += 1 + n.holes[i].node.places()
	}
	return sum
}

func (w *wire) service(s *service) {
	w.text(&s.name)
	judged := w.judged
	w.node(s.proven)
	w.judged, w.stray = judged, true
	w.node(s.stray)
	list(w, (*[]aside)(&s.aside), func(a, b *aside) int { return cmp.Compare(a.reason, b.reason) }, func(a *aside) {
		w.text(&a.reason)
		w.uint(&a.count)
		w.values(&a.paths, false)
		list(w, &a.examples, compareTexts, w.text)
	})
}

func compareTexts(a, b *string) int { return cmp.Compare(*a, *b) }

func (w *wire) node(n *node) {
	w.below(func() {
		w.wide(&n.wide)
		holes := w.holesOf(n)
		list(w, &n.kids, func(a, b *kid) int { return compareKids(a.late, a.id, b.late, b.id) }, w.kid)
		list(w, holes, func(a, b *hole) int { return cmp.Compare(a.form, b.form) }, func(h *hole) {
			w.text(&h.form)
			w.values(&h.vals, false)
			w.childOf(&h.node, w.judged.through(h))
		})
		list(w, &n.ends, func(a, b **end) int { return (*a).key.compare((*b).key) }, w.end)
	})
}

// holesOf are the holes of a node as they are written: where what stands behind a
// colon is part of a value, it is left out.
func (w *wire) holesOf(n *node) *[]hole {
	if !w.writing || w.judged == nil || !w.judged.colons {
		return &n.holes
	}
	holes, verbs := slices.Clone(n.holes), 0
	for i := range holes {
		if isVerbForm(holes[i].form) {
			holes[i].form = fmt.Sprintf(":%06d", verbs)
			verbs++
		}
	}
	slices.SortFunc(holes, func(a, b hole) int { return cmp.Compare(a.form, b.form) })
	return &holes
}

// wide goes over the kinds that a node is wide in.
func (w *wire) wide(bits *uint32) {
	var kinds []exchange.Kind
	for k := exchange.Kind(0); int(k) < exchange.Kinds; k++ {
		if *bits>>k&1 != 0 {
			kinds = append(kinds, k)
		}
	}
	list(w, &kinds, nil, w.kind)
	*bits = 0
	for _, k := range kinds {
		*bits |= 1 << k
	}
}

func (w *wire) childOf(n **node, judged *place) {
	if !w.writing {
		*n = &node{}
	}
	at := w.judged
	w.judged = judged
	w.node(*n)
	w.judged = at
}

func (w *wire) kid(k *kid) {
	w.hash(&k.id)
	w.flags(&k.late)
	w.kind(&k.kind)
	form, text := k.form, storedText(k.text)
	if w.judged != nil {
		if w.judged.colons && isVerbForm(form) {
			form = ":" + hashText(k.id)
		}
		if !w.judged.word(k.text, k.form) && (!w.stray || w.judged.hasHole(k.form)) {
			text = ""
		}
	}
	w.text(&form)
	w.text(&text)
	if !w.writing {
		k.form, k.text = form, text
	}
	number(w, &k.length)
	number(w, &k.count)
	w.childOf(&k.node, w.judged.below(k.text, k.form))
}

// word says that a text was judged to be a word of the API at a place.
func (p *place) word(text, form string) bool {
	return slices.ContainsFunc(p.branches, func(b branch) bool { return !b.hole && b.text == text && b.form == form })
}

// hasHole says that values of a form stand at a place.
func (p *place) hasHole(form string) bool {
	return p.colons && isVerbForm(form) || slices.ContainsFunc(p.branches, func(b branch) bool { return b.hole && b.form == form })
}

// storedText is the text of a segment if a masked path would show it, else "".
func storedText(s string) string {
	if exchange.MaskSegment(s) != s || len(s) > 0 && s[0] == '{' {
		return ""
	}
	return s
}

// kind goes over a kind by its name, so that their order may change.
func (w *wire) kind(k *exchange.Kind) {
	name := k.String()
	w.text(&name)
	if w.writing || w.err != nil {
		return
	}
	var ok bool
	if *k, ok = exchange.ParseKind(name); !ok {
		w.fail("a kind is unknown")
	}
}

// values goes over values. The texts of a sample are written only if they are
// words of the API.
func (w *wire) values(v *values, words bool) {
	number(w, &v.count)
	number(w, &v.listed)
	number(w, &v.repeated)
	list(w, &v.kinds, nil, func(k *kindCount) {
		w.kind(&k.kind)
		number(w, &k.count)
	})
	sortRead(w, v.kinds, func(a, b kindCount) int { return cmp.Compare(a.kind, b.kind) })
	list(w, &v.sample, func(a, b *sampled) int { return cmp.Compare(a.hash, b.hash) }, func(s *sampled) {
		w.hash(&s.hash)
		number(w, &s.count)
		text := ""
		if words {
			text = s.text
		}
		w.text(&text)
		if !w.writing {
			s.text = text
		}
	})
	w.flags(&v.over)
	w.text(&v.prefix)
	number(w, &v.length)
	number(w, &v.shortest)
	if w.version > 1 {
		w.sensitive(&v.sensitive)
	}
	if len(v.sample) > maxSample || len(v.sensitive) > maxSensitive {
		w.fail("a sample is too large")
	}
}

func (w *wire) end(p **end) {
	if !w.writing {
		*p = &end{}
	}
	e := *p
	w.text(&e.key.method)
	w.text((*string)(&e.key.protocol))
	w.text(&e.key.name)
	for _, n := range []*uint32{&e.count, &e.ok, &e.withBody, &e.slash, &e.preflights, &e.lost} {
		number(w, n)
	}
	w.uint(&e.bytesIn)
	w.uint(&e.bytesOut)
	w.int(&e.first)
	w.int(&e.last)
	number(w, &e.streaming)
	list(w, &e.params, func(a, b *param) int { return cmp.Or(cmp.Compare(a.in, b.in), cmp.Compare(a.name, b.name)) },
		func(p *param) { w.param(p, e.key) })
	list(w, &e.statuses, func(a, b *status) int { return cmp.Compare(a.code, b.code) }, func(s *status) {
		number(w, &s.code)
		number(w, &s.count)
		w.contents(&s.bodies)
	})
	w.contents(&e.request)
	list(w, &e.auth, (*auth).compare, w.auth)
	w.callers(&e.callers)
	list(w, &e.latency.Buckets, func(a, b *apidiscovery.Bucket) int { return cmp.Compare(a.Index, b.Index) }, func(b *apidiscovery.Bucket) {
		number(w, &b.Index)
		number(w, &b.Count)
	})
	list(w, &e.days, func(a, b *day) int { return cmp.Compare(a.number, b.number) }, func(d *day) {
		number(w, &d.number)
		number(w, &d.count)
	})
	list(w, &e.fields, func(a, b *field) int { return cmp.Compare(a.path, b.path) }, func(f *field) {
		w.text(&f.path)
		number(w, &f.count)
	})
}

func (w *wire) param(p *param, of endKey) {
	w.text(&p.in)
	w.text(&p.name)
	number(w, &p.position)
	w.flags(&p.deep)
	w.text(&p.style)
	number(w, &p.count)
	number(w, &p.ok)
	w.values(&p.vals, w.writing && w.enumerated(p, of))
}

// enumerated says that the values of a parameter are an enumeration: here, or in
// all the places that were judged to be one.
func (w *wire) enumerated(p *param, of endKey) bool {
	if exchange.HoldsNames(p.name) {
		return false
	}
	if w.judged != nil {
		for _, e := range w.judged.ends {
			if e.key != of {
				continue
			}
			for i := range e.params {
				if q := &e.params[i]; q.in == p.in && q.name == p.name {
					return enumOf(&q.vals) != nil
				}
			}
		}
	}
	return enumOf(&p.vals) != nil
}

func (w *wire) contents(s *[]content) {
	list(w, s, func(a, b *content) int { return cmp.Compare(a.mediaType, b.mediaType) }, func(c *content) {
		w.text(&c.mediaType)
		number(w, &c.count)
		number(w, &c.inspected)
		w.maybeShape(&c.shape)
	})
}

func (w *wire) auth(a *auth) {
	for _, p := range []*string{&a.kind, &a.scheme, &a.format, &a.in, &a.name} {
		w.text(p)
	}
	for _, l := range []*[]string{&a.issuers, &a.audiences, &a.algs} {
		list(w, l, compareTexts, w.text)
	}
	if w.version > 1 {
		list(w, &a.weak, compareTexts, w.text)
	}
	number(w, &a.count)
	number(w, &a.accepted)
}

func (w *wire) callers(c *callers) {
	list(w, &c.list, func(a, b *caller) int { return cmp.Compare(a.hash, b.hash) }, func(x *caller) {
		w.text(&x.kind)
		w.hash(&x.hash)
		w.text(&x.name)
		number(w, &x.count)
	})
	w.flags(&c.over)
	if len(c.list) > maxCallers || c.over && len(c.list) == 0 {
		w.fail("the callers are too many")
	}
}

func (w *wire) maybeShape(p **exchange.Shape) {
	some := *p != nil
	w.flags(&some)
	if !some {
		*p = nil
		return
	}
	if !w.writing {
		*p = &exchange.Shape{}
	}
	w.below(func() { w.shape(*p) })
}

func (w *wire) shape(s *exchange.Shape) {
	number(w, &s.Count)
	for t := range s.Types {
		number(w, &s.Types[t])
	}
	w.flags(&s.Many, &s.Big, &s.Lost, &s.Map, &s.Cut)
	number(w, &s.Most)
	number(w, &s.Length)
	list(w, &s.Members, func(a, b *exchange.Member) int { return cmp.Compare(a.Name, b.Name) }, func(m *exchange.Member) {
		w.text(&m.Name)
		w.maybeShape(&m.Shape)
		if m.Shape == nil {
			w.fail("a member has no shape")
		}
	})
	w.maybeShape(&s.Free)
	w.maybeShape(&s.Items)
	list(w, &s.Kinds, nil, func(k *exchange.KindCount) {
		w.kind(&k.Kind)
		number(w, &k.Count)
	})
	sortRead(w, s.Kinds, func(a, b exchange.KindCount) int { return cmp.Compare(a.Kind, b.Kind) })
	list(w, &s.Words, compareWords, w.word)
	w.text(&s.Tag)
	list(w, &s.Variants, func(a, b *exchange.Variant) int { return cmp.Compare(a.Word, b.Word) }, func(v *exchange.Variant) {
		w.text(&v.Word)
		number(w, &v.Count)
		list(w, &v.Members, compareWords, w.word)
	})
	w.sensitive(&s.Sensitive)
}

func (w *wire) sensitive(s *[]exchange.SensitiveCount) {
	list(w, s, nil, func(x *exchange.SensitiveCount) {
		name := x.Kind.String()
		w.text(&name)
		number(w, &x.Count)
		if x.Kind = sensitive.ParseKind(name); x.Kind == sensitive.None {
			w.fail("a kind of data is unknown")
		}
	})
	sortRead(w, *s, func(a, b exchange.SensitiveCount) int { return cmp.Compare(a.Kind, b.Kind) })
}

func compareWords(a, b *exchange.WordCount) int { return cmp.Compare(a.Text, b.Text) }

func (w *wire) word(x *exchange.WordCount) {
	w.text(&x.Text)
	number(w, &x.Count)
}
