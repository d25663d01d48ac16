package learn

import (
	"cmp"
	"slices"
	"strings"

	"github.com/gabion-io/gabion/api-discovery"
	"github.com/gabion-io/gabion/internal/exchange"
)

// asides counts what is not in the inventory.
type asides []aside // by reason

type aside struct {
	reason   string
	count    uint64
	paths    values // of their hashes
	examples []string
}

func (a *asides) of(reason string) *aside {
	i, found := slices.BinarySearchFunc(*a, reason, func(x aside, r string) int { return cmp.Compare(x.reason, r) })
	if !found {
		*a = slices.Insert(*a, i, aside{reason: reason})
	}
	return &(*a)[i]
}

func (a *asides) add(reason string, o *exchange.Observation, examples int) {
	x := a.of(reason)
	x.count++
	hash := unmixed
	for i := range o.Segments {
		hash = mix(hash^o.Segments[i].Hash, "/")
	}
	x.paths.addSample(hash, 1, "")
	x.paths.count++
	x.example(masked(o), examples)
}

// example keeps the alphabetically first, so that the order does not matter.
func (x *aside) example(s string, most int) {
	i, found := slices.BinarySearch(x.examples, s)
	if found || i >= most {
		return
	}
	x.examples = slices.Insert(x.examples, i, s)
	x.examples = x.examples[:min(len(x.examples), most)]
}

func masked(o *exchange.Observation) string {
	var b strings.Builder
	for i := range o.Segments {
		b.WriteString("/" + o.Segments[i].Head)
		b.WriteString(maskedValue(&o.Segments[i].Value))
		b.WriteString(o.Segments[i].Suffix)
	}
	if b.Len() == 0 {
		return "/"
	}
	return b.String()
}

func maskedValue(v *exchange.Value) string {
	if v.Kind == exchange.KindWord {
		return exchange.MaskSegment(v.Text)
	}
	return "{" + strings.ReplaceAll(v.Kind.String(), " ", "-") + "}"
}

func (a *asides) merge(o asides, examples int) {
	for i := range o {
		x := a.of(o[i].reason)
		x.count += o[i].count
		x.paths.merge(&o[i].paths)
		for _, e := range o[i].examples {
			x.example(e, examples)
		}
	}
}

func (a asides) conclude() (list []apidiscovery.Aside) {
	for i := range a {
		list = append(list, apidiscovery.Aside{Reason: a[i].reason, Count: a[i].count, Paths: uint64(a[i].paths.distinct()), Examples: a[i].examples})
	}
	return list
}
