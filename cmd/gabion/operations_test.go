package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gabion-io/gabion/api-discovery"
	"github.com/gabion-io/gabion/api-discovery/risk"
	"github.com/gabion-io/gabion/controlplane/inventory"
	"github.com/gabion-io/gabion/controlplane/store"
	"github.com/gabion-io/gabion/internal/exchange"
)

// keeping is an inventory over a real store, with the real learner.
type keeping struct {
	*inventory.Inventory
	store *store.Store
	log   *strings.Builder
}

func keep(t *testing.T, dir string, limit store.Limit, change func(inventory.Store) inventory.Store) *keeping {
	t.Helper()
	st, err := store.Open(t.Context(), store.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	k := &keeping{store: st, log: new(strings.Builder)}
	var s inventory.Store = st
	if change != nil {
		s = change(st)
	}
	k.Inventory, err = inventory.Open(t.Context(), inventory.Options{Store: s, Learning: operationLearning{}, Documents: documents{}, Limit: limit,
		Log: slog.New(slog.NewTextHandler(k.log, nil)), Now: func() time.Time { return time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC) }})
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// get adds exchanges of a service, each at a later second than the one before.
func (k *keeping) get(service string, from, to int, path func(i int) string) {
	door := exchange.Door{Service: service}
	for i := from; i < to; i++ {
		o := new(exchange.Observation)
		door.Observe(&exchange.Raw{Time: time.Date(2026, 3, 1, 0, 0, i, 0, time.UTC), Client: fmt.Sprint(i % 7), Method: "GET", Path: path(i), Status: 200}, o)
		k.Add(o)
	}
}

func shopPath(i int) string {
	return []string{"/v1/orders/" + fmt.Sprint(1000+i*37), "/v1/orders?status=" + []string{"open", "paid"}[i/3%2], "/v1/users/anna" + string(rune('a'+i%26)) + "/posts"}[i%3]
}

func (k *keeping) templates(t *testing.T) (list []string) {
	t.Helper()
	for _, s := range k.Specs(t.Context()) {
		for _, o := range s.Operations {
			list = append(list, fmt.Sprintf("%s %s %s %d", s.Service, o.Method, o.Template, o.Traffic.Count))
		}
	}
	return list
}

var shopTemplates = []string{"a/shop GET /v1/orders 400", "a/shop GET /v1/orders/{orderId} 400", "a/shop GET /v1/users/{userId}/posts 400"}

// What was flushed is there again whatever happened, in many parts or in one.
func TestOperationsSurvive(t *testing.T) {
	dir := t.TempDir()
	k := keep(t, dir, store.Limit{}, nil)
	for i := range 240 {
		k.get("a/shop", i*5, i*5+5, shopPath)
		if err := k.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(shopTemplates, k.templates(t)); diff != "" {
		t.Fatal(diff)
	}
	parts := 0
	if err := k.store.OperationParts(t.Context(), func(store.OperationPart) error { parts++; return nil }); err != nil {
		t.Fatal(err)
	}
	if parts > 101 {
		t.Errorf("%d parts: they were never made one", parts)
	}
	want, err := k.Document(t.Context(), "a/shop", false)
	if err != nil {
		t.Fatal(err)
	}
	k.store.Close() // and nobody flushed: as after kill -9
	again := keep(t, dir, store.Limit{}, nil)
	if diff := cmp.Diff(shopTemplates, again.templates(t)); diff != "" {
		t.Fatal(diff)
	}
	got, err := again.Document(t.Context(), "a/shop", false)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("the document differs after a restart: %s", diff)
	}
}

// refusing is a store whose disk is full.
type refusing struct {
	inventory.Store
	full bool
}

func (r *refusing) AddOperationParts(ctx context.Context, p []store.OperationPart) ([]int64, error) {
	if r.full {
		return nil, store.ErrDiskFull
	}
	return r.Store.AddOperationParts(ctx, p)
}

func (r *refusing) ReplaceOperationParts(ctx context.Context, old []int64, p store.OperationPart) (int64, error) {
	if r.full {
		return 0, store.ErrDiskFull
	}
	return r.Store.ReplaceOperationParts(ctx, old, p)
}

// What cannot be stored is in memory, and is stored once it can be.
func TestOperationsOnAFullDisk(t *testing.T) {
	dir := t.TempDir()
	disk := &refusing{full: true}
	k := keep(t, dir, store.Limit{}, func(s inventory.Store) inventory.Store { disk.Store = s; return disk })
	k.get("a/shop", 0, 600, shopPath)
	if err := k.Flush(t.Context()); !errors.Is(err, store.ErrDiskFull) {
		t.Errorf("flushed: %v", err)
	}
	if n := len(k.templates(t)); n != 3 || k.State().Unsaved != 1 {
		t.Errorf("%d operations, %+v", n, k.State())
	}
	disk.full = false
	k.get("a/shop", 600, 1200, shopPath)
	if err := k.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	k.store.Close()
	if diff := cmp.Diff(shopTemplates, keep(t, dir, store.Limit{}, nil).templates(t)); diff != "" {
		t.Error(diff)
	}
}

// A damaged part is said aloud, and costs no more than what stood in it.
func TestDamagedOperations(t *testing.T) {
	dir := t.TempDir()
	k := keep(t, dir, store.Limit{}, nil)
	k.get("a/shop", 0, 1200, shopPath)
	if err := k.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, body := range []string{"", "garbage", "gabion operations 1\nxxxxxxxxxxxxxxxx"} {
		if _, err := k.store.AddOperationParts(t.Context(), []store.OperationPart{{Service: "a/shop", Body: []byte(body)}}); err != nil {
			t.Fatal(err)
		}
	}
	k.store.Close()
	again := keep(t, dir, store.Limit{}, nil)
	if again.State().Broken != 3 || !strings.Contains(again.log.String(), "cannot be read") {
		t.Errorf("%+v, log %s", again.State(), again.log)
	}
	if diff := cmp.Diff(shopTemplates, again.templates(t)); diff != "" {
		t.Error(diff)
	}
	again.store.Close()
	if whole := keep(t, dir, store.Limit{}, nil); whole.State().Broken != 0 { // the next base took their place
		t.Errorf("%+v", whole.State())
	}
}

// Within its bound the inventory keeps what was called last.
func TestOperationsAreBounded(t *testing.T) {
	dir := t.TempDir()
	k := keep(t, dir, store.Limit{Bytes: 12_000}, nil)
	for i := range 40 {
		k.get("a/shop", i*20, i*20+20, func(n int) string {
			return "/v1/" + strings.Repeat(string(rune('a'+n/20%26)), 3+n/520) + "things/" + string(rune('a'+n%20)) + "list?page=" + fmt.Sprint(n)
		})
		if err := k.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	k.get("b/new", 10_000, 10_001, func(int) string { return "/fresh" })
	list := strings.Join(k.templates(t), "\n")
	if !strings.Contains(list, "/fresh") || strings.Contains(list, "/v1/aaathings") || k.State().Evicted == 0 {
		t.Errorf("%+v\n%s", k.State(), list)
	}
	size := int64(0)
	for _, c := range func() store.Status { st, _ := k.store.Status(t.Context()); return st }().Classes {
		if c.Name == "operations" {
			size = c.Bytes
		}
	}
	if size == 0 || size > 13_000 {
		t.Errorf("%d bytes are stored", size)
	}
}

// Two that write one store lose nothing to each other.
func TestOperationsOfTwo(t *testing.T) {
	dir := t.TempDir()
	one, two := keep(t, dir, store.Limit{}, nil), keep(t, dir, store.Limit{}, nil)
	for i := range 120 {
		one.get("a/shop", i*5, i*5+5, shopPath)
		two.get("a/shop", 600+i*5, 600+i*5+5, shopPath)
		for _, k := range []*keeping{one, two} {
			if err := k.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	one.store.Close()
	two.store.Close()
	if diff := cmp.Diff(shopTemplates, keep(t, dir, store.Limit{}, nil).templates(t)); diff != "" {
		t.Error(diff)
	}
}

// What persons say through one replica is known to another that runs.
func TestDecisionsAreHeardElsewhere(t *testing.T) {
	dir := t.TempDir()
	one, two := keep(t, dir, store.Limit{}, nil), keep(t, dir, store.Limit{}, nil)
	two.get("a/shop", 0, 300, func(i int) string { return "/top/" + []string{"artists", "tracks"}[i%2] })
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	t.Cleanup(running.Wait)
	t.Cleanup(cancel)
	running.Go(func() { _ = two.store.Run(ctx) })
	running.Go(func() { _ = two.Run(ctx) })
	hears := func(what string, said func() bool) {
		t.Helper()
		for end := time.Now().Add(time.Minute); !said(); time.Sleep(20 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%s is not heard: %v", what, two.templates(t))
			}
		}
	}
	merged, err := one.Decide(t.Context(), apidiscovery.Override{Service: "a/shop", Action: apidiscovery.OverrideMerge, Template: apidiscovery.MustPathTemplate("/top/{kind}"), Author: "anna"})
	if err != nil {
		t.Fatal(err)
	}
	hears("a decision", func() bool { return slices.Equal(two.templates(t), []string{"a/shop GET /top/{kind} 300"}) })
	if err := one.Undo(t.Context(), merged.ID, "anna"); err != nil {
		t.Fatal(err)
	}
	hears("what was taken back", func() bool { return len(two.templates(t)) == 2 })
	doc := "openapi: 3.1.0\ninfo: {title: t, version: '1'}\npaths: {/never: {get: {responses: {'200': {description: ok}}}}}\n"
	if _, _, err := one.Declare(t.Context(), store.DeclaredAPI{Service: "a/shop", Name: "shop.yaml", Body: []byte(doc), Author: "anna"}); err != nil {
		t.Fatal(err)
	}
	hears("a declaration", func() bool { _, known := two.Declaration("a/shop"); return known })
}

// distant is a store that is away now and then, and counts what is read whole.
type distant struct {
	inventory.Store
	away  atomic.Bool
	whole atomic.Int64
}

func (d *distant) Overrides(ctx context.Context) ([]store.StoredOverride, error) {
	if d.away.Load() {
		return nil, errors.New("the store is away")
	}
	return d.Store.Overrides(ctx)
}

func (d *distant) Declared(ctx context.Context) ([]store.DeclaredAPI, error) {
	d.whole.Add(1)
	return d.Store.Declared(ctx)
}

// What was said while the store was away is heard when it is back, though nobody
// says more; and what is said of other things has no document read.
func TestWhatWasNotHeardIsHeardLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &distant{}
		k := keep(t, t.TempDir(), store.Limit{}, func(s inventory.Store) inventory.Store { d.Store = s; return d })
		k.get("a/shop", 0, 300, func(i int) string { return "/top/" + []string{"artists", "tracks"}[i%2] })
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		defer running.Wait()
		defer cancel()
		running.Go(func() { _ = k.store.Run(ctx) })
		running.Go(func() { _ = k.Run(ctx) })
		time.Sleep(10 * time.Second)
		d.away.Store(true)
		if _, err := k.store.AddOverride(ctx, apidiscovery.Override{Service: "a/shop", Action: apidiscovery.OverrideMerge, Template: apidiscovery.MustPathTemplate("/top/{kind}"), Author: "anna"}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * time.Minute)
		d.away.Store(false)
		time.Sleep(time.Minute)
		synctest.Wait()
		if diff := cmp.Diff([]string{"a/shop GET /top/{kind} 300"}, k.templates(t)); diff != "" {
			t.Error(diff)
		}
		before := d.whole.Load()
		if _, _, err := k.store.PutResource(ctx, store.Resource{Key: store.Key{Kind: "WAFPolicy", Namespace: "default", Name: "shop"}, Origin: store.OriginStore, Manifest: []byte("{}")}, store.PutOptions{Author: "anna"}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Minute)
		if n := d.whole.Load() - before; n != 0 {
			t.Errorf("all documents were read %d times for a resource", n)
		}
	})
}

// What persons say goes before what was observed, at once and after a restart.
func TestDecisionsAndDeclarations(t *testing.T) {
	dir := t.TempDir()
	k := keep(t, dir, store.Limit{}, nil)
	k.get("a/shop", 0, 300, func(i int) string { return "/top/" + []string{"artists", "tracks"}[i%2] })
	if diff := cmp.Diff([]string{"a/shop GET /top/artists 150", "a/shop GET /top/tracks 150"}, k.templates(t)); diff != "" {
		t.Fatal(diff)
	}
	merged, err := k.Decide(t.Context(), apidiscovery.Override{Service: "a/shop", Action: apidiscovery.OverrideMerge, Template: apidiscovery.MustPathTemplate("/top/{kind}"), Author: "anna"})
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range []*keeping{k, keep(t, dir, store.Limit{}, nil)} {
		if diff := cmp.Diff([]string{"a/shop GET /top/{kind} 300"}, x.templates(t)); diff != "" {
			t.Error(diff)
		}
	}
	if err := k.Undo(t.Context(), merged.ID, "anna"); err != nil {
		t.Fatal(err)
	}
	doc := "openapi: 3.1.0\ninfo: {title: t, version: '1'}\npaths:\n  /top/{what}:\n    get:\n      deprecated: true\n      parameters: [{name: what, in: path, required: true, schema: {type: string}}]\n      responses: {'200': {description: ok}}\n  /never:\n    get: {responses: {'200': {description: ok}}}\n"
	if _, _, err := k.Declare(t.Context(), store.DeclaredAPI{Service: "a/shop", Name: "shop.yaml", Body: []byte("no: document"), Author: "anna"}); !errors.Is(err, inventory.ErrInvalid) {
		t.Errorf("declared: %v", err)
	}
	if _, _, err := k.Declare(t.Context(), store.DeclaredAPI{Service: "a/shop", Name: "shop.yaml", Body: []byte(doc), Author: "anna"}); err != nil {
		t.Fatal(err)
	}
	r, err := k.Report(t.Context(), "a/shop")
	if err != nil {
		t.Fatal(err)
	}
	var drift []string
	for _, d := range r.Drift {
		drift = append(drift, string(d.Kind)+" "+d.Template.String())
	}
	if diff := cmp.Diff([]string{"zombie /top/{what}", "orphan /never"}, drift); diff != "" {
		t.Error(diff)
	}
	first, added, err := k.Revise(t.Context(), "a/shop", "anna")
	if err != nil || !added {
		t.Fatal(added, err)
	}
	k.get("a/shop", 300, 310, func(int) string { return "/fresh" })
	list, err := k.Changes(t.Context(), "a/shop", first.Revision, 0)
	if err != nil || len(list) != 1 || list[0].Path != "/fresh" {
		t.Errorf("%+v, %v", list, err)
	}
}

// Who asked for which object is known again after a restart, and makes findings.
func TestEvidenceSurvives(t *testing.T) {
	dir := t.TempDir()
	open := func() (*inventory.Inventory, *store.Store) {
		st, err := store.Open(t.Context(), store.Options{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { st.Close() })
		owners := risk.NewOwnersWithin(risk.LiveBounds())
		in, err := inventory.Open(t.Context(), inventory.Options{Store: st, Learning: operationLearning{}, Documents: documents{owners}, Evidence: owners})
		if err != nil {
			t.Fatal(err)
		}
		return in, st
	}
	in, st := open()
	ask := func(caller, id int) {
		o := new(exchange.Observation)
		door := exchange.Door{Service: "a/shop"}
		door.Observe(&exchange.Raw{Time: time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC), Method: "GET", Path: fmt.Sprintf("/orders/%d", id), Status: 200,
			Request: exchange.RawMessage{Headers: []exchange.Header{{Name: "x-api-key", Value: fmt.Sprintf("key-of-caller-%d-1f2e3d4c5b6a7980", caller)}}}}, o)
		in.Add(o)
	}
	for caller := range 20 {
		for k := range 3 {
			ask(caller, 100000*(caller+1)+k*37)
		}
	}
	ask(2, 100000)
	found := func(in *inventory.Inventory) (list []string) {
		r, err := in.Report(t.Context(), "a/shop")
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range r.Findings {
			if strings.Contains(f.Where, "two owners") {
				list = append(list, f.Evidence)
			}
		}
		return list
	}
	want := found(in)
	if len(want) != 1 {
		t.Fatalf("findings are %v", want)
	}
	ended, end := context.WithCancel(t.Context())
	end()
	if err := in.Run(ended); err != nil { // the end of a control plane
		t.Fatal(err)
	}
	if err := in.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	st.Close()
	again, _ := open()
	if diff := cmp.Diff(want, found(again)); diff != "" {
		t.Error(diff)
	}
}
