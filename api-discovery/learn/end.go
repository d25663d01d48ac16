package learn

import (
	"cmp"
	"slices"
	"time"

	"github.com/gabion-io/gabion/api-discovery"
	"github.com/gabion-io/gabion/internal/exchange"
)

// endKey tells what is called at one place.
type endKey struct {
	method   string
	protocol apidiscovery.Protocol
	name     string
}

func (k endKey) compare(o endKey) int {
	return cmp.Or(cmp.Compare(k.method, o.method), cmp.Compare(k.protocol, o.protocol), cmp.Compare(k.name, o.name))
}

// Bounds of an end.
const (
	maxNamesAtEnd = 96 // parameters
	maxCallsAtEnd = 2000
	maxCallers    = 48
	maxDays       = 32
	maxStatuses   = 24
	maxMediaTypes = 6
	maxAuth       = 12
	maxIssuers    = 16
	otherName     = "…" // stands for the calls beyond maxCallsAtEnd
)

// end is what is known of one operation at one place.
type end struct {
	key        endKey
	count      uint32 // exchanges
	ok         uint32 // of them, answered with success
	withBody   uint32 // of the ok, those with a request body
	slash      uint32 // paths that ended in a slash
	preflights uint32
	bytesIn    uint64
	bytesOut   uint64
	first      int64 // unix nanoseconds; 0 when unknown
	last       int64
	params     []param // by in and name
	statuses   []status
	request    []content // by media type
	auth       []auth
	callers    callers
	latency    apidiscovery.Latency
	days       []day
	fields     []field // GraphQL
	streaming  uint8   // bits: client, server
	lost       uint32  // parameters and the like beyond the bounds
}

type param struct {
	in, name string
	position int16
	deep     bool
	style    string
	count    uint32
	ok       uint32
	vals     values
}

type status struct {
	code   int16
	count  uint32
	bodies []content
}

type content struct {
	mediaType string
	count     uint32
	inspected uint32
	shape     *exchange.Shape
}

type day struct {
	number int32 // since 1970
	count  uint32
}

type field struct {
	path  string
	count uint32
}

// endOf finds or makes an end. The texts of a new one are made names' own; nil:
// they are.
func (n *node) endOf(k endKey, names interner) *end {
	i, found := slices.BinarySearchFunc(n.ends, k, func(e *end, k endKey) int { return e.key.compare(k) })
	if !found {
		k = endKey{names.of(k.method), k.protocol, names.of(k.name)}
		n.ends = slices.Insert(n.ends, i, &end{key: k})
	}
	return n.ends[i]
}

// count adds the observation to the ends of a place: one, or one for each thing
// that its body calls.
func (l *Learner) count(n *node, o *exchange.Observation) {
	if o.Preflight != "" {
		n.endOf(endKey{o.Preflight, apidiscovery.REST, ""}, l.names).preflights++
		return
	}
	if len(o.Calls) == 0 {
		n.endOf(endKey{o.Method, protocolOf(o.Protocol, l.names), ""}, l.names).add(o, l.names)
		return
	}
	for i := range o.Calls {
		c := &o.Calls[i]
		key := endKey{o.Method, protocolOf(c.Protocol, l.names), c.Name}
		if len(n.ends) >= maxCallsAtEnd {
			key.name = otherName
		}
		e := n.endOf(key, l.names)
		if i > 0 { // each call has shapes of its own
			o.Request.Shape, o.Response.Shape = (*exchange.Shape)(nil).Merge(o.Request.Shape), (*exchange.Shape)(nil).Merge(o.Response.Shape)
		}
		e.add(o, l.names)
		for _, f := range c.Fields {
			e.addField(l.names.of(f), 1)
		}
	}
}

func protocolOf(s string, names interner) apidiscovery.Protocol {
	if s == "" {
		return apidiscovery.REST
	}
	return apidiscovery.Protocol(names.of(s))
}

func (e *end) add(o *exchange.Observation, names interner) {
	ok := proves(o)
	e.count++
	if ok {
		e.ok++
		if o.Request.Present {
			e.withBody++
		}
	}
	if o.Slash {
		e.slash++
	}
	e.bytesIn += uint64(max(o.BytesIn, 0))
	e.bytesOut += uint64(max(o.BytesOut, 0))
	e.seen(o.Time)
	e.latency.Add(o.Duration)
	for i := range o.Params {
		e.addParam(&o.Params[i], ok, names)
	}
	for i := range o.Auth {
		e.addAuth(&o.Auth[i], o.Status, names)
	}
	if o.Caller.Kind != "" {
		e.callers.add(caller{o.Caller.Kind, o.Caller.Hash, names.of(o.Caller.Name), 1})
	}
	if o.Request.Present && ok { // what was refused says nothing about what is accepted
		e.request = addContent(e.request, &o.Request, names, &e.lost)
	}
	e.addStatus(o, names)
	switch o.Streaming {
	case "client":
		e.streaming |= 1
	case "server":
		e.streaming |= 2
	case "bidi":
		e.streaming |= 3
	}
}

func (e *end) seen(t time.Time) {
	if t.IsZero() {
		return
	}
	ns := t.UnixNano()
	if e.first == 0 || ns < e.first {
		e.first = ns
	}
	if e.last == 0 || ns > e.last {
		e.last = ns
	}
	e.addDay(int32(t.Unix()/86400), 1)
}

// addDay keeps the latest days.
func (e *end) addDay(number int32, n uint32) {
	i, found := slices.BinarySearchFunc(e.days, number, func(d day, n int32) int { return cmp.Compare(d.number, n) })
	if !found {
		e.days = slices.Insert(e.days, i, day{number: number})
	}
	e.days[i].count += n
	if len(e.days) > maxDays {
		e.days = slices.Delete(e.days, 0, 1)
	}
}

func (e *end) paramOf(in, name string, names interner) *param {
	i, found := slices.BinarySearchFunc(e.params, name, func(p param, name string) int {
		return cmp.Or(cmp.Compare(p.in, in), cmp.Compare(p.name, name))
	})
	if !found {
		if len(e.params) >= maxNamesAtEnd {
			e.lost++
			return nil
		}
		e.params = slices.Insert(e.params, i, param{in: names.of(in), name: names.of(name)})
	}
	return &e.params[i]
}

func (e *end) addParam(s *exchange.ParamSeen, ok bool, names interner) {
	p := e.paramOf(s.In, s.Name, names)
	if p == nil {
		return
	}
	p.count++
	if ok {
		p.ok++
	}
	p.deep = p.deep || s.Deep
	p.position = max(p.position, int16(s.Position))
	if s.Listed > p.style {
		p.style = names.of(s.Listed)
	}
	p.vals.add(&s.Value, 1, s.Listed != "", s.Repeated)
	for i := range s.More {
		p.vals.add(&s.More[i], 1, s.Listed != "", s.Repeated)
	}
}

func addContent(list []content, c *exchange.Content, names interner, lost *uint32) []content {
	i, found := slices.BinarySearchFunc(list, c.MediaType, func(x content, m string) int { return cmp.Compare(x.mediaType, m) })
	if !found {
		if len(list) >= maxMediaTypes {
			*lost++
			return list
		}
		list = slices.Insert(list, i, content{mediaType: names.of(c.MediaType)})
	}
	list[i].count++
	if c.Shape != nil {
		list[i].inspected++
		if list[i].shape == nil {
			list[i].shape = c.Shape // ours from now on
		} else {
			list[i].shape.Merge(c.Shape)
		}
	}
	return list
}

func mergeContents(list, from []content, lost *uint32) []content {
	for _, c := range from {
		i, found := slices.BinarySearchFunc(list, c.mediaType, func(x content, m string) int { return cmp.Compare(x.mediaType, m) })
		if !found {
			if len(list) >= maxMediaTypes {
				*lost += c.count
				continue
			}
			list = slices.Insert(list, i, content{mediaType: c.mediaType})
		}
		list[i].count += c.count
		list[i].inspected += c.inspected
		if c.shape != nil {
			list[i].shape = list[i].shape.Merge(c.shape)
		}
	}
	return list
}

func (e *end) statusOf(code int16) *status {
	i, found := slices.BinarySearchFunc(e.statuses, code, func(s status, c int16) int { return cmp.Compare(s.code, c) })
	if !found {
		if len(e.statuses) >= maxStatuses {
			e.lost++
			return nil
		}
		e.statuses = slices.Insert(e.statuses, i, status{code: code})
	}
	return &e.statuses[i]
}

func (e *end) addStatus(o *exchange.Observation, names interner) {
	if o.Status < 100 || o.Status > 599 {
		return
	}
	s := e.statusOf(int16(o.Status))
	if s == nil {
		return
	}
	s.count++
	if o.Response.Present || o.Response.MediaType != "" {
		s.bodies = addContent(s.bodies, &o.Response, names, &e.lost)
	}
}

func (e *end) addField(path string, n uint32) {
	i, found := slices.BinarySearchFunc(e.fields, path, func(f field, p string) int { return cmp.Compare(f.path, p) })
	if !found {
		if len(e.fields) >= 256 {
			e.lost++
			return
		}
		e.fields = slices.Insert(e.fields, i, field{path: path})
	}
	e.fields[i].count += n
}

// merge adds what o knows; o stays as it is.
func (e *end) merge(o *end) {
	e.count += o.count
	e.ok += o.ok
	e.withBody += o.withBody
	e.slash += o.slash
	e.preflights += o.preflights
	e.bytesIn += o.bytesIn
	e.bytesOut += o.bytesOut
	e.lost += o.lost
	e.streaming |= o.streaming
	if o.first != 0 && (e.first == 0 || o.first < e.first) {
		e.first = o.first
	}
	e.last = max(e.last, o.last)
	e.latency.Merge(o.latency)
	e.callers.merge(&o.callers)
	for i := range o.params {
		from := &o.params[i]
		p := e.paramOf(from.in, from.name, nil)
		if p == nil {
			continue
		}
		p.count += from.count
		p.ok += from.ok
		p.deep = p.deep || from.deep
		p.position = max(p.position, from.position)
		p.style = max(p.style, from.style)
		p.vals.merge(&from.vals)
	}
	for _, from := range o.statuses {
		if s := e.statusOf(from.code); s != nil {
			s.count += from.count
			s.bodies = mergeContents(s.bodies, from.bodies, &e.lost)
		}
	}
	e.request = mergeContents(e.request, o.request, &e.lost)
	for i := range o.auth {
		e.mergeAuth(&o.auth[i])
	}
	for _, d := range o.days {
		e.addDay(d.number, d.count)
	}
	for _, f := range o.fields {
		e.addField(f.path, f.count)
	}
}
