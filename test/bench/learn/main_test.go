package main

import "testing"

// What the benchmark reports holds for small worlds, where few workloads can speak
// for one another.
func TestSmallTopologies(t *testing.T) {
	for seed := range uint64(48) {
		w := newTopology(seed+100, 1, 5)
		check(t, w, append(append(w.traffic(), w.attacks()...), w.noise()...), seed+100)
	}
}

// The other generator's scans may look at what is open only, once: in a world of a
// handful of workloads nothing tells two or three such looks from a rare job.
func TestForeignTopologies(t *testing.T) {
	for seed := range uint64(24) {
		w := newForeign(seed+100, 5, 12)
		check(t, w.topology, w.observe(), seed+100)
	}
}

func check(t *testing.T, w *topology, records []record, seed uint64) {
	t.Helper()
	got, _ := measure(w, records, seed)
	if got.Learned > 0 || got.Frequent < 0.95 || got.Precision < 0.95 {
		t.Errorf("%+v", got)
	}
}
