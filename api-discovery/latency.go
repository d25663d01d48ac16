package apidiscovery

import (
	"math"
	"slices"
	"time"
)

// Latency is a histogram whose buckets grow by an eighth, so that a quantile is
// wrong by at most 6 %. Merging is adding: the order does not matter.
type Latency struct {
	Buckets []Bucket `json:"buckets,omitempty"` // by Index, only those with a count
}

// Bucket counts durations in [1.125^Index, 1.125^(Index+1)) microseconds.
type Bucket struct {
	Index int16  `json:"i"`
	Count uint32 `json:"n"`
}

const bucketGrowth = 1.125

// Add counts one duration; none and negative ones are not counted.
func (l *Latency) Add(d time.Duration) {
	if us := float64(d) / 1000; us > 0 {
		l.add(int16(math.Floor(math.Log(max(us, 1))/math.Log(bucketGrowth))), 1)
	}
}

func (l *Latency) add(index int16, n uint32) {
	i, found := slices.BinarySearchFunc(l.Buckets, index, func(b Bucket, i int16) int { return int(b.Index) - int(i) })
	if !found {
		l.Buckets = slices.Insert(l.Buckets, i, Bucket{Index: index})
	}
	l.Buckets[i].Count += n
}

// Merge adds what o counted.
func (l *Latency) Merge(o Latency) {
	for _, b := range o.Buckets {
		l.add(b.Index, b.Count)
	}
}

// Count is how many durations were counted.
func (l Latency) Count() (n uint64) {
	for _, b := range l.Buckets {
		n += uint64(b.Count)
	}
	return n
}

// Quantile answers the duration that q of all (0 to 1) do not exceed; 0 when
// there are none.
func (l Latency) Quantile(q float64) time.Duration {
	rank := uint64(math.Ceil(q * float64(l.Count())))
	for _, b := range l.Buckets {
		if rank <= uint64(b.Count) {
			return time.Duration(math.Pow(bucketGrowth, float64(b.Index)+0.5) * 1000)
		}
		rank -= uint64(b.Count)
	}
	return 0
}
