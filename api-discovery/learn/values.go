package learn

import (
	"cmp"
	"math"
	"slices"

	"github.com/gabion-io/gabion/internal/exchange"
	"github.com/gabion-io/gabion/internal/sensitive"
)

// Bounds of values.
const (
	maxSample    = 24 // distinct values that are told apart
	maxSensitive = 8  // kinds of sensitive data
)

// values is what is known of the values at one place: their kinds, and the ones
// with the smallest hashes. Those are a fair sample of all, whatever the order;
// while there are fewer than maxSample they are all.
type values struct {
	count    uint32
	listed   uint32
	repeated uint32
	kinds    []kindCount // by kind
	sample   []sampled   // by hash
	over     bool        // there were more than the sample holds
	prefix   string      // of all prefixed ids; "-" when they differ
	length   int32       // longest, in bytes
	shortest int32       // 0 before the first
	// sensitive are the kinds of data that they were, by kind.
	sensitive []exchange.SensitiveCount
}

type kindCount struct {
	kind  exchange.Kind
	count uint32
}

type sampled struct {
	hash  uint64
	count uint32
	text  string // only if a developer may have written it
}

func (v *values) add(x *exchange.Value, n uint32, listed, repeated bool) {
	v.count += n
	if listed {
		v.listed += n
	}
	if repeated {
		v.repeated += n
	}
	length := int32(min(x.Length, math.MaxInt16))
	v.addLength(length, length)
	v.addKind(x.Kind, n)
	v.addSample(x.Hash, n, x.Text)
	v.addPrefix(x.Prefix)
	v.addSensitive(x.Sensitive, n)
}

func (v *values) addSensitive(k sensitive.Kind, n uint32) {
	if k == sensitive.None {
		return
	}
	i, found := slices.BinarySearchFunc(v.sensitive, k, func(c exchange.SensitiveCount, k sensitive.Kind) int { return cmp.Compare(c.Kind, k) })
	if !found {
		if len(v.sensitive) == maxSensitive {
			return
		}
		v.sensitive = slices.Insert(v.sensitive, i, exchange.SensitiveCount{Kind: k})
	}
	v.sensitive[i].Count += n
}

func (v *values) addKid(k *kid) {
	v.count += k.count
	v.addLength(k.length, k.length)
	v.addKind(k.kind, k.count)
	v.addSample(k.id, k.count, k.text)
}

func (v *values) addLength(shortest, longest int32) {
	if v.shortest == 0 || shortest > 0 && shortest < v.shortest {
		v.shortest = shortest
	}
	v.length = max(v.length, longest)
}

// width is how long each of the values is, if all are the same, there are some of
// them, and that is no chance; else 0. Numbers are about as long as each other.
func (v *values) width() int {
	if v.shortest != v.length || v.length < 12 || v.distinct() < 4 ||
		v.of(exchange.KindNumber, exchange.KindDate, exchange.KindDateTime) > 0 {
		return 0
	}
	return int(v.length)
}

func (v *values) addPrefix(p string) {
	switch {
	case p == "" || p == v.prefix:
	case v.prefix == "":
		v.prefix = string([]byte(p))
	default:
		v.prefix = "-"
	}
}

func (v *values) addKind(k exchange.Kind, n uint32) {
	i, found := slices.BinarySearchFunc(v.kinds, k, func(c kindCount, k exchange.Kind) int { return cmp.Compare(c.kind, k) })
	if !found {
		v.kinds = slices.Insert(v.kinds, i, kindCount{kind: k})
	}
	v.kinds[i].count += n
}

func (v *values) addSample(hash uint64, n uint32, text string) {
	if v.over && len(v.sample) > 0 && hash > v.sample[len(v.sample)-1].hash {
		return
	}
	i, found := slices.BinarySearchFunc(v.sample, hash, func(s sampled, h uint64) int { return cmp.Compare(s.hash, h) })
	if found {
		v.sample[i].count += n
		if v.sample[i].text == "" && text != "" { // it was left out when the values were stored
			v.sample[i].text = string([]byte(text))
		}
		return
	}
	if len(v.sample) == maxSample {
		v.over = true
		if i == maxSample {
			return
		}
		v.sample = v.sample[:maxSample-1]
	}
	v.sample = slices.Insert(v.sample, i, sampled{hash, n, string([]byte(text))})
}

func (v *values) merge(o *values) {
	v.count += o.count
	v.listed += o.listed
	v.repeated += o.repeated
	v.addLength(o.shortest, o.length)
	for _, k := range o.kinds {
		v.addKind(k.kind, k.count)
	}
	for _, s := range o.sample {
		v.addSample(s.hash, s.count, s.text)
	}
	if o.over {
		v.over = true
	}
	v.addPrefix(o.prefix)
	for _, x := range o.sensitive {
		v.addSensitive(x.Kind, x.Count)
	}
}

// distinct estimates how many distinct values there were; it is exact while the
// sample holds all.
func (v *values) distinct() int {
	if !v.over || len(v.sample) == 0 {
		return len(v.sample)
	}
	share := float64(v.sample[len(v.sample)-1].hash) / math.MaxUint64
	return max(len(v.sample)+1, min(int(float64(len(v.sample)-1)/share), int(v.count)))
}

// of counts the values of some kinds.
func (v *values) of(kinds ...exchange.Kind) (n uint32) {
	for _, k := range v.kinds {
		if slices.Contains(kinds, k.kind) {
			n += k.count
		}
	}
	return n
}
