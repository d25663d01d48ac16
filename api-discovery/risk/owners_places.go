package risk

import (
	"fmt"
	"strings"

	"github.com/gabion-io/gabion/api-discovery"
)

// way is an operation as what places are matched with.
type way struct {
	id       string
	segments []string
}

// placesOf says which places each operation covers, by its id. What stands in a
// place for an object was told by its looks alone, what is a hole of a template by
// all the traffic: "/3/films/{id}" is kept as "/{}/films/{}", and
// "/users/anna/orders/5" belongs to "/users/{userId}/orders/{orderId}".
func (w *Owners) placesOf(operations []apidiscovery.Operation) map[string][]*place {
	ways := map[string][]way{}
	for i := range operations {
		o := &operations[i]
		if o.Name == "" && len(o.Template.Names()) > 0 {
			segments := strings.Split(strings.Trim(o.Template.String(), "/"), "/")
			key := fmt.Sprint(o.Service, " ", o.Method, " ", len(segments))
			ways[key] = append(ways[key], way{o.ID, segments})
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	places := map[string][]*place{}
	for key, p := range w.places {
		head, path, _ := strings.Cut(key, " /")
		segments := strings.Split(path, "/")
		var best *way
		list := ways[fmt.Sprint(head, " ", len(segments))]
		for i := range list {
			if c := &list[i]; c.covers(segments) && (best == nil || c.before(best)) {
				best = c
			}
		}
		if best != nil {
			places[best.id] = append(places[best.id], p)
		}
	}
	return places
}

// covers says whether a place is of the way, and its object of one of the holes.
func (w *way) covers(place []string) bool {
	object := false
	for i, s := range place {
		before, rest, hole := strings.Cut(w.segments[i], "{")
		_, after, _ := strings.Cut(rest, "}")
		switch {
		case hole && !(len(s) > len(before)+len(after) && strings.HasPrefix(s, before) && strings.HasSuffix(s, after)):
			return false
		case !hole && s != w.segments[i] && !strings.Contains(s, "{}"):
			return false
		case strings.Contains(s, "{}"): // the last one is the object
			object = hole
		}
	}
	return object
}

// before says whether w is the better of two that cover a place: the one with a word
// where the other has a hole.
func (w *way) before(x *way) bool {
	for i := range w.segments {
		a, b := strings.Contains(w.segments[i], "{"), strings.Contains(x.segments[i], "{")
		if a != b {
			return b
		}
	}
	return false
}

// together is one place of several. What is "5" below one name is another "5" below
// another.
func together(list []*place) *place {
	if len(list) == 1 {
		return list[0]
	}
	sum := &place{objects: map[uint64]*object{}, callers: map[uint64]*walker{}}
	for i, p := range list {
		for id, x := range p.objects {
			sum.objects[id^uint64(i)*0x9e3779b97f4a7c15] = x
		}
		for hash, c := range p.callers {
			all := sum.callers[hash]
			if all == nil {
				all = &walker{}
				sum.callers[hash] = all
			}
			all.distinct += c.distinct
			all.refused += c.refused
		}
	}
	return sum
}
