package risk

import (
	"bytes"
	"slices"
	"testing"

	"github.com/gabion-io/gabion/api-discovery"
	"github.com/gabion-io/gabion/internal/exchange"
)

// What was known is known again, and to merge it twice changes nothing.
func TestOwnersSurvive(t *testing.T) {
	op := operation("GET", "/orders/{id}", apidiscovery.AuthBearer)
	find := func(w *Owners) (where []string) {
		for _, f := range Findings(apidiscovery.Spec{Operations: []apidiscovery.Operation{op}}, w) {
			where = append(where, f.Where+": "+f.Evidence)
		}
		return where
	}
	w := NewOwners()
	for caller := range uint64(20) {
		for k := range uint64(3) {
			ask(w, caller+1, 1000*(caller+1)+k, 200)
		}
	}
	ask(w, 2, 1000, 200)
	for id := range uint64(100) {
		ask(w, 99, 50000+id*7, 404)
	}
	want := find(w)
	if len(want) != 2 {
		t.Fatalf("findings are %v", want)
	}
	state := w.Encode()
	again := NewOwners()
	for range 2 {
		if err := again.Merge(state); err != nil {
			t.Fatal(err)
		}
		if got := find(again); !slices.Equal(got, want) || !bytes.Equal(again.Encode(), state) {
			t.Errorf("after a restart: %v, want %v", got, want)
		}
	}
	// Two that each saw a half know all of it together.
	left, right := NewOwners(), NewOwners()
	ask(left, 1, 7, 200)
	ask(right, 2, 7, 200)
	if err := left.Merge(right.Encode()); err != nil {
		t.Fatal(err)
	}
	if err := right.Merge(left.Encode()); err != nil {
		t.Fatal(err)
	}
	if x := left.places["shop GET /orders/{}"].objects[7]; x.first != 1 || x.second != 2 {
		t.Errorf("together they know %+v", x)
	}
	small := NewOwnersWithin(Bounds{Places: 1, Objects: 2, Callers: 1})
	if err := small.Merge(state); err != nil || small.objects > 2 || small.callers > 1 {
		t.Errorf("%d objects, %d callers, %v", small.objects, small.callers, err)
	}
}

// A text that may be a value does not go to disk.
func TestOwnersKeepNoText(t *testing.T) {
	w := NewOwners()
	for _, text := range []string{"orders", "a1b2c3d4e5f6a7b8c9"} {
		w.Add(&exchange.Observation{Service: "shop", Method: "GET", Status: 200, Caller: exchange.CallerSeen{Kind: "subject", Hash: 1},
			Segments: []exchange.Segment{{Value: exchange.Value{Kind: exchange.KindWord, Text: text}}, {Value: exchange.Value{Kind: exchange.KindNumber, Hash: 5}}}})
	}
	state := w.Encode()
	if !bytes.Contains(state, []byte("orders")) || bytes.Contains(state, []byte("a1b2c3")) {
		t.Errorf("stored is %q", state)
	}
}

func FuzzOwnersState(f *testing.F) {
	w := NewOwners()
	ask(w, 1, 7, 200)
	f.Add(w.Encode()[len(ownersMark)+4:])
	f.Add([]byte{255, 255, 255, 255, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		r := ownersReader{b: b}
		w := NewOwnersWithin(Bounds{10, 100, 10})
		for range r.count(3) {
			w.mergePlace(&r)
		}
		if len(w.places) > 10 || w.objects > 100 || w.callers > 10 {
			t.Fatal("a bound was passed")
		}
		again := NewOwnersWithin(Bounds{10, 100, 10})
		if err := again.Merge(w.Encode()); err != nil {
			t.Fatal(err)
		}
	})
}
