package learn

import (
	"cmp"
	"slices"

	"github.com/gabion-io/gabion/internal/exchange"
)

// auth is one way in which an operation was called.
type auth struct {
	kind, scheme, format, in, name string
	issuers, audiences, algs       []string // of those that were accepted
	weak                           []string // likewise
	count, accepted                uint32
}

func (a *auth) compare(o *auth) int {
	return cmp.Or(cmp.Compare(a.kind, o.kind), cmp.Compare(a.scheme, o.scheme), cmp.Compare(a.format, o.format),
		cmp.Compare(a.in, o.in), cmp.Compare(a.name, o.name))
}

func (e *end) addAuth(s *exchange.AuthSeen, code int, names interner) {
	wanted := auth{kind: s.Kind, scheme: s.Scheme, format: s.Format, in: s.In, name: s.Name}
	a := e.authOf(&wanted, names)
	if a == nil {
		return
	}
	a.count++
	if code != 401 && code != 403 {
		a.accepted++
		for _, w := range s.Weak {
			a.weak = addName(a.weak, w, names)
		}
		a.issuers = addName(a.issuers, s.Issuer, names)
		a.audiences = addName(a.audiences, s.Audience, names)
		a.algs = addName(a.algs, s.Alg, names)
	}
}

func (e *end) authOf(wanted *auth, names interner) *auth {
	i, found := slices.BinarySearchFunc(e.auth, wanted, func(a auth, w *auth) int { return a.compare(w) })
	if !found {
		if len(e.auth) >= maxAuth {
			e.lost++
			return nil
		}
		e.auth = slices.Insert(e.auth, i, auth{kind: names.of(wanted.kind), scheme: names.of(wanted.scheme), format: names.of(wanted.format),
			in: names.of(wanted.in), name: names.of(wanted.name)})
	}
	return &e.auth[i]
}

func addName(list []string, s string, names interner) []string {
	if s == "" {
		return list
	}
	i, found := slices.BinarySearch(list, s)
	if found || len(list) >= maxIssuers {
		return list
	}
	return slices.Insert(list, i, names.of(s))
}

func (e *end) mergeAuth(from *auth) {
	var names interner // what o holds is ours already
	a := e.authOf(from, names)
	if a == nil {
		return
	}
	a.count += from.count
	a.accepted += from.accepted
	for _, s := range from.issuers {
		a.issuers = addName(a.issuers, s, names)
	}
	for _, s := range from.audiences {
		a.audiences = addName(a.audiences, s, names)
	}
	for _, s := range from.algs {
		a.algs = addName(a.algs, s, names)
	}
	for _, s := range from.weak {
		a.weak = addName(a.weak, s, names)
	}
}

// callers holds those with the smallest hashes: all of them while they are few,
// a fair sample beyond.
type callers struct {
	list []caller // by hash
	over bool
}

type caller struct {
	kind  string
	hash  uint64
	name  string
	count uint32
}

func (c *callers) add(x caller) {
	if c.over && x.hash > c.list[len(c.list)-1].hash {
		return
	}
	i, found := slices.BinarySearchFunc(c.list, x.hash, func(k caller, h uint64) int { return cmp.Compare(k.hash, h) })
	if found {
		c.list[i].count += x.count
		return
	}
	if len(c.list) == maxCallers {
		c.over = true
		if i == maxCallers {
			return
		}
		c.list = c.list[:maxCallers-1]
	}
	c.list = slices.Insert(c.list, i, x)
}

func (c *callers) merge(o *callers) {
	for _, x := range o.list {
		c.add(x)
	}
	c.over = c.over || o.over
}

func (c *callers) distinct() uint64 {
	if !c.over {
		return uint64(len(c.list))
	}
	share := float64(c.list[len(c.list)-1].hash) / (1 << 64)
	return uint64(float64(len(c.list)-1) / share)
}
