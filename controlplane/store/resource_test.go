package store

import (
	"bytes"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	_ "github.com/jackc/pgx/v5/stdlib"
)

var shop = Key{"WAFPolicy", "default", "shop"}

func manifest(k Key, text string) Resource { return Resource{Key: k, Manifest: []byte(text)} }

func expect(n int64) *int64 { return &n }

func TestResourceLife(t *testing.T) {
	onBoth(t, func(t *testing.T, open func(Options) *Store) {
		ctx, c := t.Context(), newClock()
		s := open(Options{Now: c.now})
		changed := s.Changed()
		r, did, err := s.PutResource(ctx, manifest(shop, "mode: detect\n\x00\xff"), PutOptions{Author: "ann", ExpectRevision: expect(0)})
		if err != nil || !did {
			t.Fatal(did, err)
		}
		want := Resource{Key: shop, Origin: OriginStore, Manifest: []byte("mode: detect\n\x00\xff"), Revision: 1, Author: "ann", Time: c.now()}
		if diff := cmp.Diff(want, r); diff != "" {
			t.Fatal(diff)
		}
		select {
		case <-changed:
		default:
			t.Fatal("Changed stays open")
		}
		if got := must(s.Resource(ctx, shop)); cmp.Diff(want, got) != "" {
			t.Fatal(cmp.Diff(want, got))
		}
		if _, did, err := s.PutResource(ctx, manifest(shop, "mode: detect\n\x00\xff"), PutOptions{Author: "bob"}); err != nil || did {
			t.Fatal("an equal manifest was written", err)
		}
		_, _, err = s.PutResource(ctx, manifest(shop, "mode: block"), PutOptions{Author: "bob", ExpectRevision: expect(7)})
		var conflict *ConflictError
		if !errors.As(err, &conflict) || conflict.Actual != 1 {
			t.Fatal(err)
		}
		if err := s.DeleteResource(ctx, shop, PutOptions{Author: "bob", ExpectRevision: expect(1)}); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Resource(ctx, shop); !errors.Is(err, ErrNotFound) {
			t.Fatal(err)
		}
		if err := s.DeleteResource(ctx, shop, PutOptions{Author: "bob"}); !errors.Is(err, ErrNotFound) {
			t.Fatal(err)
		}
		r, _, err = s.PutResource(ctx, manifest(shop, "mode: off"), PutOptions{Author: "cy", Action: "rollback"})
		if err != nil || r.Revision != 3 {
			t.Fatalf("numbers restarted: %+v %v", r, err)
		}
		var got []string
		for _, rev := range must(s.Revisions(ctx, shop, 0)) {
			got = append(got, fmt.Sprint(rev.Revision, rev.Action, rev.Deleted, rev.Author, len(rev.Manifest)))
		}
		if diff := cmp.Diff([]string{"3rollbackfalsecy9", "2deletetruebob0", "1applyfalseann15"}, got); diff != "" {
			t.Fatal(got)
		}
		if at := must(s.ResourceAt(ctx, shop, 1)); string(at.Manifest) != "mode: detect\n\x00\xff" {
			t.Fatalf("%q", at.Manifest)
		}
		if _, err := s.ResourceAt(ctx, shop, 9); !errors.Is(err, ErrNotFound) {
			t.Fatal(err)
		}
		if v := must(s.VerifyAudit(ctx)); v.Entries != 3 || v.Broken != 0 {
			t.Fatalf("%+v", v)
		}
	})
}

func TestRefusedWritesLeaveNothing(t *testing.T) {
	onBoth(t, func(t *testing.T, open func(Options) *Store) {
		ctx, s := t.Context(), open(Options{})
		for _, bad := range []struct {
			k      Key
			author string
		}{{Key{"", "a", "b"}, "ann"}, {Key{"K", "a", ""}, "ann"}, {shop, ""}} {
			if _, _, err := s.PutResource(ctx, manifest(bad.k, "x"), PutOptions{Author: bad.author}); err == nil {
				t.Errorf("accepted %v by %q", bad.k, bad.author)
			}
		}
		_, err := s.PutResources(ctx, []Resource{manifest(shop, "good"), manifest(Key{Kind: "K"}, "bad")}, PutOptions{Author: "ann"})
		if err == nil {
			t.Fatal("half a bad set was accepted")
		}
		if rs := must(s.Resources(ctx, "")); len(rs) != 0 {
			t.Fatalf("left behind: %v", rs)
		}
		if v := must(s.VerifyAudit(ctx)); v.Entries != 0 {
			t.Fatalf("%+v", v)
		}
	})
}

func TestListAndBigManifest(t *testing.T) {
	onBoth(t, func(t *testing.T, open func(Options) *Store) {
		ctx, s := t.Context(), open(Options{})
		big := make([]byte, 3<<20)
		for i := range big {
			big[i] = byte(i * 7)
		}
		_, err := s.PutResources(ctx, []Resource{
			manifest(Key{"B", "z", "a"}, "1"), manifest(Key{"B", "", "a"}, "3"), manifest(Key{"A", "z", "b"}, "2"), {Key: Key{"A", "a", "b"}, Manifest: big},
		}, PutOptions{Author: "ann"})
		if err != nil {
			t.Fatal(err)
		}
		var keys []string
		for _, r := range must(s.Resources(ctx, "")) {
			keys = append(keys, r.Key.String())
		}
		if diff := cmp.Diff([]string{"A a/b", "A z/b", "B a", "B z/a"}, keys); diff != "" {
			t.Fatal(diff)
		}
		if rs := must(s.Resources(ctx, "B")); len(rs) != 2 {
			t.Fatal(rs)
		}
		if r := must(s.Resource(ctx, Key{"A", "a", "b"})); !bytes.Equal(big, r.Manifest) {
			t.Fatal("a big manifest came back different")
		}
	})
}

func TestConcurrentWritersKeepNumbersAndChain(t *testing.T) {
	onBoth(t, func(t *testing.T, open func(Options) *Store) {
		ctx := t.Context()
		replicas := []*Store{open(Options{}), open(Options{})}
		var wg sync.WaitGroup
		for w := range 6 {
			wg.Go(func() {
				for i := range 10 {
					_, _, err := replicas[w%2].PutResource(ctx, manifest(shop, fmt.Sprintf("%d/%d", w, i)), PutOptions{Author: fmt.Sprint(w)})
					if err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		revs := must(replicas[0].Revisions(ctx, shop, 0))
		if len(revs) != 60 || revs[0].Revision != 60 || revs[59].Revision != 1 {
			t.Fatalf("%d revisions", len(revs))
		}
		if v := must(replicas[1].VerifyAudit(ctx)); v.Entries != 60 || v.Broken != 0 {
			t.Fatalf("%+v", v)
		}
	})
}

func TestOneOfManyWinsOptimisticRace(t *testing.T) {
	onBoth(t, func(t *testing.T, open func(Options) *Store) {
		ctx, s := t.Context(), open(Options{})
		must(s.PutResources(ctx, []Resource{manifest(shop, "base")}, PutOptions{Author: "ann"}))
		var wg sync.WaitGroup
		won := make(chan int, 8)
		for i := range 8 {
			wg.Go(func() {
				_, did, err := s.PutResource(ctx, manifest(shop, fmt.Sprint(i)), PutOptions{Author: "x", ExpectRevision: expect(1)})
				var conflict *ConflictError
				if err == nil && did {
					won <- i
				} else if !errors.As(err, &conflict) {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if len(won) != 1 {
			t.Fatalf("%d writers won", len(won))
		}
	})
}

func TestRevisionsOfFiles(t *testing.T) {
	onBoth(t, func(t *testing.T, open func(Options) *Store) {
		ctx, s := t.Context(), open(Options{})
		file := Resource{Key: shop, Origin: OriginFile, Manifest: []byte("a"), Author: "shop.yaml"}
		steps := []struct {
			manifest string
			deleted  bool
			want     int64
		}{{"", true, 0}, {"a", false, 1}, {"a", false, 1}, {"b", false, 2}, {"", true, 3}, {"", true, 3}, {"b", false, 4}}
		for i, st := range steps {
			file.Manifest = []byte(st.manifest)
			if n, err := s.RecordRevision(ctx, file, st.deleted, "on a"); err != nil || n != st.want {
				t.Fatalf("step %d: revision %d, want %d (%v)", i, n, st.want, err)
			}
		}
		if rs := must(s.Resources(ctx, "")); len(rs) != 0 {
			t.Fatal("a file's resource became the store's")
		}
		gone := Resource{Key: Key{"K", "a", "gone"}, Origin: OriginFile, Manifest: []byte("x"), Author: "gone.yaml"}
		must(s.RecordRevision(ctx, gone, false, ""))
		must(s.RecordRevision(ctx, gone, true, ""))
		if last := must(s.LastOwned(ctx, OriginFile)); len(last) != 1 || last[0].Key != shop || last[0].Revision != 4 || last[0].Author != "shop.yaml" {
			t.Fatalf("files own %+v", last)
		}
		var audited []string
		for _, e := range must(s.AuditLog(ctx, AuditQuery{Author: "shop.yaml"})) {
			audited = append(audited, fmt.Sprintf("%d %s %s of %s %t %t", e.Revision, e.Note, e.Action, e.Resource, e.Before != "", e.After != ""))
		}
		want := []string{"4 on a file of WAFPolicy default/shop false true", "3 on a file of WAFPolicy default/shop true false",
			"2 on a file of WAFPolicy default/shop true true", "1 on a file of WAFPolicy default/shop false true"}
		if diff := cmp.Diff(want, audited); diff != "" {
			t.Fatal(diff)
		}
		r, _, err := s.PutResource(ctx, manifest(shop, "b"), PutOptions{Author: "ann"})
		if err != nil || r.Revision != 5 {
			t.Fatal(r.Revision, err)
		}
		if last := must(s.LastOwned(ctx, OriginFile)); len(last) != 0 {
			t.Fatalf("files own %+v", last)
		}
	})
}

// What was judged by all resources is written only into them.
func TestJudgedWritesMeetWhatTheyWereJudgedBy(t *testing.T) {
	onBoth(t, func(t *testing.T, open func(Options) *Store) {
		ctx, here, there := t.Context(), open(Options{}), open(Options{})
		other := Key{"WAFPolicy", "default", "other"}
		must(here.PutResources(ctx, []Resource{manifest(shop, "a")}, PutOptions{Author: "ann"}))
		must(here.PutProposal(ctx, Proposal{ID: "p"}))
		mark := must(there.Mark(ctx))
		if held, m, err := there.Held(ctx); err != nil || len(held) != 1 || m != mark {
			t.Fatalf("%+v %d %v, the mark is %d", held, m, err, mark)
		}
		must(here.PutResources(ctx, []Resource{manifest(shop, "b")}, PutOptions{Author: "ann", Judged: &mark}))
		stale := PutOptions{Author: "bob", Judged: &mark}
		_, _, one := there.PutResource(ctx, manifest(other, "x"), stale)
		_, several := there.PutResources(ctx, []Resource{manifest(other, "x")}, stale)
		_, decided := there.DecideProposal(ctx, "p", ProposalAccepted, nil, stale)
		for name, err := range map[string]error{"one": one, "several": several, "decided": decided} {
			if !errors.Is(err, ErrMoved) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if rs := must(here.Resources(ctx, "")); len(rs) != 1 || must(here.Proposal(ctx, "p")).Status != ProposalOpen {
			t.Errorf("written all the same: %+v", rs)
		}
		for _, change := range []func() error{
			func() error { return here.DeleteResource(ctx, shop, PutOptions{Author: "ann"}) },
			func() error {
				_, err := here.RecordRevision(ctx, Resource{Key: other, Origin: OriginFile, Author: "x.yaml"}, false, "")
				return err
			},
		} {
			before := must(there.Mark(ctx))
			if err := change(); err != nil || must(there.Mark(ctx)) == before {
				t.Errorf("a change left the mark at %d, %v", before, err)
			}
		}
		mark = must(there.Mark(ctx))
		must(here.PutProposal(ctx, Proposal{ID: "q"})) // no resource
		must(there.PutResources(ctx, []Resource{manifest(other, "x")}, stale))
	})
}

// Another replica's write wakes those who wait here.
func TestChangedAcrossReplicas(t *testing.T) {
	onBoth(t, func(t *testing.T, open func(Options) *Store) {
		ctx := t.Context()
		here, there := open(Options{Poll: 20 * time.Millisecond}), open(Options{})
		for _, when := range []string{"before the first look", "after it"} {
			changed, events := here.Changed(), here.EventsChanged()
			must(there.PutResources(ctx, []Resource{manifest(shop, when)}, PutOptions{Author: "ann"}))
			event := sampleEvents(1)
			event[0].ID = when
			must(there.AddEvents(ctx, event))
			if when == "before the first look" {
				go here.Run(ctx)
			}
			for name, ch := range map[string]<-chan struct{}{"resources": changed, "events": events} {
				select {
				case <-ch:
				case <-time.After(20 * time.Second):
					t.Fatalf("%s: nobody woke for what was written %s", name, when)
				}
			}
		}
	})
}
