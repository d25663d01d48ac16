package learn

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gabion-io/gabion/internal/exchange"
)

// What was stored in pieces, whatever their order, concludes the same as what
// never left the memory; written again, it is the same bytes.
func TestStoredIsTheFold(t *testing.T) {
	list := traffic(8, 6000)
	want := learned(list, inOrder(len(list))).Conclude(nil)
	whole := New(Limits{})
	r := rand.New(rand.NewPCG(9, 9))
	const pieces = 40
	for _, i := range r.Perm(pieces) {
		from, to := i*len(list)/pieces, (i+1)*len(list)/pieces
		whole.Merge(stored(t, learned(list[from:to], inOrder(to-from))))
	}
	if diff := cmp.Diff(want, whole.Conclude(nil), equalTemplates); diff != "" {
		t.Fatal(diff)
	}
	base := whole.Encode("api.example", false)
	back, err := Decode(base)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(base, back.Encode("api.example", false)) {
		t.Error("written again it differs")
	}
	if back.size != whole.size {
		t.Errorf("%+v places, want %+v", back.size, whole.size)
	}
	settled, err := Decode(whole.Encode("api.example", true))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(templates(want), templates(settled.Conclude(nil))); diff != "" {
		t.Errorf("settled: %s", diff)
	}
	if n := len(base); n > 64<<10 {
		t.Errorf("%d bytes for six operations", n)
	}
}

// What an earlier version stored is read.
func TestReadsTheFirstForm(t *testing.T) {
	list := traffic(12, 800)
	l := learned(list, inOrder(len(list)))
	w := &wire{writing: true, known: map[string]uint64{}, version: 1}
	w.service(l.services["api.example"])
	back, err := Decode(append([]byte(firstMark), w.pack()[len(stateMark):]...))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(l.Conclude(nil), back.Conclude(nil), equalTemplates); diff != "" {
		t.Error(diff)
	}
}

// What is settled holds nobody's name, and a word whose text was left out is one
// again when it comes again.
func TestStoredHoldsNoValue(t *testing.T) {
	var list []exchange.Raw
	for i := range 200 {
		list = append(list,
			exchange.Raw{Method: "GET", Host: "h", Path: "/v1/users/" + []string{"anna", "bob", "carol", "dave", "erin", "frank", "grace", "heidi", "ivan", "judy"}[i%10] + string(rune('a'+i%23)) + "/posts?q=mallory&sort=" + []string{"price", "date"}[i%2], Status: 200},
			exchange.Raw{Method: "GET", Host: "h", Path: "/api/oauth2-99x/keys", Status: 200},
			exchange.Raw{Method: "GET", Host: "h", Path: fmt.Sprintf("/v1/teams/team:niaj%c%c", 'a'+i%23, 'a'+i%7), Status: 200},
			exchange.Raw{Method: "GET", Host: "h", Path: fmt.Sprintf("/v1/teams/%d:olivia%c", 1000+i*3, 'a'+i%23), Status: 200},
			exchange.Raw{Method: "GET", Host: "h", Path: fmt.Sprintf("/v1/users/sybil%c/posts", 'a'+i%23), Status: 404},
			exchange.Raw{Method: "GET", Host: "h", Path: "/v1/teams/team:trent", Status: 404})
	}
	l := learned(list, inOrder(len(list)))
	w, err := unpack(l.Encode("h", true))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"anna", "bob", "heidi", "mallory", "niaj", "olivia", "sybil", "trent"} {
		if bytes.Contains(w.b, []byte(name)) {
			t.Errorf("%q is in it", name)
		}
	}
	for _, word := range []string{"users", "posts", "price"} {
		if !bytes.Contains(w.b, []byte(word)) {
			t.Errorf("%q is not in it", word)
		}
	}
	back, err := Decode(l.Encode("h", true))
	if err != nil {
		t.Fatal(err)
	}
	if again := back.Encode("h", true); !bytes.Equal(again, l.Encode("h", true)) {
		t.Error("settled twice it differs")
	}
	back.Merge(learned(list[:20], inOrder(20)))
	if diff := cmp.Diff(templates(l.Conclude(nil)), templates(back.Conclude(nil))); diff != "" {
		t.Error(diff)
	}
}

func TestForget(t *testing.T) {
	at := func(day int, path string, status int) exchange.Raw {
		return exchange.Raw{Time: time.Unix(1_800_000_000, 0).AddDate(0, 0, day), Method: "GET", Host: "h", Path: path, Status: status}
	}
	l := learned([]exchange.Raw{at(0, "/v1/old", 200), at(0, "/v1/items/17", 200), at(9, "/v1/items/18", 200), at(0, "/v1/gone", 404)}, inOrder(4))
	if n := l.Forget("h", time.Unix(1_800_000_000, 0).AddDate(0, 0, 5)); n != 2 {
		t.Errorf("%d places were forgotten", n)
	}
	if diff := cmp.Diff([]string{"GET /v1/items/{itemId}"}, templates(l.Conclude(nil))); diff != "" {
		t.Error(diff)
	}
	if l.size.proven != l.services["h"].proven.places() || l.size.stray != 0 {
		t.Errorf("%+v", l.size)
	}
	l.Forget("h", l.Last("h", 1))
	if specs := l.Conclude(nil); len(specs[0].Operations) > 0 || l.size.proven != 0 {
		t.Error(templates(specs), l.size)
	}
}

// Merging does not lead beyond the bound of what proves nothing, and what an
// operation claims is the last to go.
func TestMergedStraysAreBounded(t *testing.T) {
	whole := New(Limits{Strays: 300})
	door := &exchange.Door{}
	for part := range 40 {
		l := New(Limits{})
		var o exchange.Observation
		for i := range 50 {
			for _, raw := range []exchange.Raw{
				{Method: "GET", Host: "h", Path: "/v1/things/" + strings.Repeat("x", i%5) + "7", Status: 404},
				{Method: "GET", Host: "h", Path: "/v1/things/17", Status: 200},
				{Method: "GET", Host: "h", Path: "/probe" + string(rune('a'+part%26)) + string(rune('a'+i%26)) + string(rune('a'+i/26)) + "/q", Status: 404},
			} {
				door.Observe(&raw, &o)
				l.Add(&o)
			}
		}
		whole.Merge(l)
	}
	if whole.size.stray > 300 {
		t.Errorf("%d places", whole.size.stray)
	}
	spec := whole.Conclude(nil)[0]
	if got := spec.Operations[0].Traffic; got.Missing == 0 {
		t.Errorf("%+v", got)
	}
	for _, a := range spec.Aside {
		if a.Reason == "missing" && a.Count >= 40*50 {
			return
		}
	}
	t.Errorf("%+v", spec.Aside)
}

// Whatever stands on disk, it is read or refused, and what was read can be merged,
// concluded and written.
func FuzzDecode(f *testing.F) {
	l := learned(traffic(10, 40), inOrder(40))
	for _, settled := range []bool{false, true} {
		w, err := unpack(l.Encode("api.example", settled))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(w.b)
	}
	f.Add([]byte{})
	f.Add(bytes.Repeat([]byte{0xff}, 40))
	f.Fuzz(func(t *testing.T, b []byte) {
		_, _ = Decode(b)
		back, err := Decode((&wire{b: b}).pack()) // past mark and checksum
		if err != nil {
			return
		}
		whole := learned(traffic(10, 9), inOrder(9))
		whole.Merge(back)
		whole.Conclude(nil)
		for _, name := range whole.Services() {
			if _, err := Decode(whole.Encode(name, false)); err != nil {
				t.Fatal(err)
			}
		}
	})
}
