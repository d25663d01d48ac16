package main

import (
	"testing"

	"github.com/gabion-io/gabion/test/bench/sensitive/corpus"
)

// What the benchmark promises holds on other seeds than the documented ones.
func TestPrecisionAndRecall(t *testing.T) {
	if kinds := corpus.Kinds(); len(kinds) < 30 {
		t.Errorf("%d kinds", len(kinds))
	}
	for _, seed := range []uint64{11, 12} {
		f := measure(corpus.Make(seed, 40))
		if f.Precision < 0.98 || f.Recall < 0.95 {
			t.Errorf("seed %d: precision %.4f, recall %.4f", seed, f.Precision, f.Recall)
		}
		for kind, k := range f.Kinds {
			if k.recall() < 0.9 {
				t.Errorf("seed %d: %s: %d found, %d missed", seed, kind, k.Right, k.Missed)
			}
		}
	}
}

func TestWalkSeesEveryField(t *testing.T) {
	n := 0
	walk([]byte(`{"a":"x","b":[1,2.5,{"c":"y"}]}`), func(_, _ []byte) { n++ })
	if n != 4 {
		t.Errorf("%d fields", n)
	}
}
