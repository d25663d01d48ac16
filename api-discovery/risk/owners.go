package risk

import (
	"fmt"
	"strings"
	"sync"

	"github.com/gabion-io/gabion/api-discovery"
	"github.com/gabion-io/gabion/internal/exchange"
)

// The bounds of an Owners that looks at recordings.
const (
	maxPlaces  = 20_000  // operations as paths with their values taken out
	maxObjects = 500_000 // objects of all places
	maxSeen    = 200_000 // callers of all places
)

// Owners folds observations into who saw which object: for each kind of path the
// object in its last hole, as a keyed hash, and its callers, likewise. It keeps
// no value. It may be used by many goroutines.
type Owners struct {
	mu      sync.Mutex
	bounds  Bounds
	places  map[string]*place
	objects int
	callers int
	Evicted uint64 // observations that a bound left out; read it when nobody adds
}

// place is one kind of path under one method.
type place struct {
	objects map[uint64]*object
	callers map[uint64]*walker
}

// object is who saw it: the first two callers, and how many refusals.
type object struct {
	first, second uint64
}

// walker is one caller at one place: how many objects he asked for, how many
// times he was refused or found nothing.
type walker struct {
	distinct, refused uint64
	hashes            [64]uint64 // the last objects, by hash: a caller comes back to his own
}

// NewOwners makes one that knows nothing.
func NewOwners() *Owners { return NewOwnersWithin(Bounds{maxPlaces, maxObjects, maxSeen}) }

// NewOwnersWithin makes one with bounds of its own.
func NewOwnersWithin(b Bounds) *Owners { return &Owners{bounds: b, places: map[string]*place{}} }

// Add folds one observation in. Only callers that said who they are count: an
// address is not an owner.
func (w *Owners) Add(o *exchange.Observation) {
	if o.Blocked || o.Failed || o.Preflight != "" || o.Caller.Hash == 0 || o.Caller.Kind == "client" || o.Caller.Kind == "workload" {
		return
	}
	last := -1
	for i, s := range o.Segments {
		if isObject(s) {
			last = i
		}
	}
	if last < 0 {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	p := w.place(placeOf(o))
	if p == nil {
		w.Evicted++
		return
	}
	w.fold(p, o, o.Segments[last].Hash)
}

func (w *Owners) place(key string) *place {
	p := w.places[key]
	if p == nil && len(w.places) < w.bounds.Places {
		p = &place{objects: map[uint64]*object{}, callers: map[uint64]*walker{}}
		w.places[key] = p
	}
	return p
}

func (w *Owners) fold(p *place, o *exchange.Observation, id uint64) {
	c := p.callers[o.Caller.Hash]
	if c == nil {
		if w.callers >= w.bounds.Callers {
			w.Evicted++
			return
		}
		w.callers++
		c = &walker{}
		p.callers[o.Caller.Hash] = c
	}
	if at := &c.hashes[id%uint64(len(c.hashes))]; *at != id {
		*at = id
		c.distinct++
	}
	if o.Status == 403 || o.Status == 404 || o.Status == 401 {
		c.refused++
	}
	if o.Status < 200 || o.Status > 299 {
		return
	}
	x := p.objects[id]
	if x == nil {
		if w.objects >= w.bounds.Objects {
			w.Evicted++
			return
		}
		w.objects++
		x = &object{first: o.Caller.Hash}
		p.objects[id] = x
	}
	if x.first != o.Caller.Hash {
		x.second = o.Caller.Hash
	}
}

// isObject says whether a segment is the id of something: what nobody writes by
// hand, or a small number.
func isObject(s exchange.Segment) bool {
	switch s.Kind {
	case exchange.KindSmall, exchange.KindNumber, exchange.KindUUID, exchange.KindULID, exchange.KindHex, exchange.KindPrefixed, exchange.KindToken, exchange.KindEmail, exchange.KindMixed:
		return true
	}
	return false
}

// placeOf is the path with ids taken out, with service and method.
func placeOf(o *exchange.Observation) string {
	var b strings.Builder
	b.WriteString(o.Service + " " + o.Method + " ")
	for _, s := range o.Segments {
		b.WriteByte('/')
		if isObject(s) {
			b.WriteString(s.Head + "{}" + s.Suffix)
			continue
		}
		b.WriteString(s.Head + s.Text + s.Suffix)
	}
	return b.String()
}

const (
	minCallers = 5  // callers of whom one can be told from the others
	manyIDs    = 50 // objects that one caller asks for
)

// objectAuthorisation: a caller that walks through ids, most of them refused or
// missing or far more than others ask for; or objects that are each one caller's,
// but for a few that two have seen.
func objectAuthorisation(v *view, o *apidiscovery.Operation) (list []apidiscovery.Finding) {
	places := v.places[o.ID]
	if len(places) == 0 {
		return nil
	}
	v.owners.mu.Lock()
	defer v.owners.mu.Unlock()
	p := together(places)
	return append(p.walkers(), p.shared()...)
}

func (p *place) walkers() []apidiscovery.Finding {
	var most *walker
	rest, others := uint64(0), uint64(0)
	for _, c := range p.callers {
		if most == nil || c.distinct > most.distinct {
			most = c
		}
	}
	for _, c := range p.callers {
		if c != most {
			rest += c.distinct
			others++
		}
	}
	if most == nil || most.distinct < manyIDs {
		return nil
	}
	refused := most.refused*2 > most.distinct
	if !refused && (others+1 < minCallers || most.distinct*others < 20*rest) {
		return nil
	}
	text := fmt.Sprintf("one caller asked for %d objects, %d of them refused or missing; %d other callers asked for %d together", most.distinct, most.refused, others, rest)
	return one(apidiscovery.Finding{Where: "a caller that walks through ids", Confidence: apidiscovery.Suspicion, Count: most.distinct, Evidence: text})
}

func (p *place) shared() []apidiscovery.Finding {
	if len(p.callers) < minCallers || len(p.objects) < minCallers {
		return nil
	}
	two := uint64(0)
	for _, x := range p.objects {
		if x.second != 0 {
			two++
		}
	}
	if two == 0 || two*10 > uint64(len(p.objects)) {
		return nil // nothing shared, or sharing is what they are for
	}
	return one(apidiscovery.Finding{Where: "an object under two owners", Confidence: apidiscovery.Suspicion, Count: two,
		Evidence: fmt.Sprintf("%d of %d objects were given to more than one of %d callers; each of the others has only one", two, len(p.objects), len(p.callers))})
}
