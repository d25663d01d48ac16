package learn

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gabion-io/gabion/api-discovery"
	"github.com/gabion-io/gabion/internal/exchange"
)

var equalTemplates = cmp.Comparer(func(a, b apidiscovery.PathTemplate) bool { return a == b })

// traffic is random exchanges of a small API, noise included.
func traffic(seed uint64, n int) (list []exchange.Raw) {
	r := rand.New(rand.NewPCG(seed, 1))
	names := strings.Fields("anna bob carol dave erin frank grace heidi ivan judy mallory niaj olivia peggy rupert sybil trent victor walter zoe")
	for i := range n {
		raw := exchange.Raw{Time: time.Unix(1_800_000_000+int64(i), 0), Client: fmt.Sprint(r.IntN(90)), Method: "GET", Host: "api.example", Status: 200,
			Duration: time.Duration(r.IntN(90)) * time.Millisecond}
		name := names[r.IntN(len(names))] + names[r.IntN(len(names))]
		switch r.IntN(9) {
		case 0:
			raw.Path = fmt.Sprintf("/v1/orders/%d?expand=%t", r.IntN(1e6), r.IntN(2) == 0)
		case 1:
			raw.Path = "/v1/users/" + name
		case 2:
			raw.Path = "/v1/users/" + name + "/posts/" + fmt.Sprint(r.IntN(5000))
			raw.Response = exchange.RawMessage{Headers: []exchange.Header{{Name: "content-type", Value: "application/json"}}, Body: []byte(fmt.Sprintf(`{"id":%d,"title":"t","type":"%s"}`, i, names[r.IntN(3)]))}
		case 3:
			raw.Path = "/v1/users/me"
		case 4:
			raw.Path, raw.Method, raw.Status = "/v1/orders", "POST", 201
			raw.Request = exchange.RawMessage{Headers: []exchange.Header{{Name: "content-type", Value: "application/json"}, {Name: "X-Tenant", Value: "a"}}, Body: []byte(`{"sku":"x","amount":1}`)}
		case 5:
			raw.Path, raw.Status = "/"+name+".php", 404
		case 6:
			raw.Path, raw.Status = fmt.Sprintf("/v1/orders/%d", r.IntN(1e6)), 404
		case 7:
			raw.Path, raw.Method = "/v1/orders", "OPTIONS"
			raw.Request.Headers = []exchange.Header{{Name: "Access-Control-Request-Method", Value: "POST"}}
		case 8:
			raw.Path = "/v1/search?q=" + name
		}
		list = append(list, raw)
	}
	return list
}

// Beside ids of one length, what has another length is a word; and an id that
// looks like a word by chance is an id. Where names are taken as well, they are.
func TestIdsOfOneLength(t *testing.T) {
	var list []exchange.Raw
	get := func(path string) {
		list = append(list, exchange.Raw{Method: "GET", Host: "h", Path: path, Status: 200})
	}
	for i := range 24 {
		id := fmt.Sprintf("Zq%02dxKpW7vLmTa%02dRbNc9e", i, i*3)
		get("/scripts/" + id)
		get("/scripts/" + id + "/json")
		get("/scripts/datum/" + id)
		get("/people/" + id + "/friends")
		get("/people/" + strings.Repeat("anna", 1+i%3) + string(rune('a'+i)) + "/friends")
	}
	get("/scripts/abcdefghijklmnopqrstuv")
	get("/scripts/retired")
	var got []string
	for _, o := range learned(list, inOrder(len(list))).Conclude(nil)[0].Operations {
		got = append(got, o.Template.String())
	}
	want := []string{"/people/{peopleId}/friends", "/scripts/datum/{datumId}", "/scripts/retired", "/scripts/{scriptId}", "/scripts/{scriptId}/json"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// A collection of its own stands beside names that are asked for: paths end at
// each of those and go on, and never end at the collection.
func TestCollectionsBesideNames(t *testing.T) {
	var list []exchange.Raw
	get := func(path string, times int) {
		for range times {
			list = append(list, exchange.Raw{Method: "GET", Host: "h", Path: path, Status: 200})
		}
	}
	for i := range 60 {
		name := fmt.Sprintf("%s-%s", []string{"amber", "birch", "cedar", "delta", "ember", "fern"}[i%6], []string{"fox", "owl", "elk", "hen", "ant", "bee", "cat", "dog", "eel", "gnu"}[i/6])
		get("/blocks/"+name, 3)
		get("/blocks/"+name+"/next", 2)
		get("/blocks/"+name+"/txs", 2)
		get("/blocks/slot/"+fmt.Sprint(100_000+i*37), 2)
	}
	var got []string
	for _, o := range learned(list, inOrder(len(list))).Conclude(nil)[0].Operations {
		got = append(got, o.Template.String())
	}
	want := []string{"/blocks/slot/{slotId}", "/blocks/{blockId}", "/blocks/{blockId}/next", "/blocks/{blockId}/txs"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// The few words of a parameter are the API's own only if they cannot be people's.
func TestEnumerationsHoldNoNames(t *testing.T) {
	var list []exchange.Raw
	for i := range 60 {
		name := []string{"anna", "bob", "carol"}[i%3]
		list = append(list, exchange.Raw{Method: "GET", Host: "h", Status: 200,
			Path: fmt.Sprintf("/v1/orders?sort=%s&customer=%s&assigned_user=%s&q=%s&city=%s", []string{"date", "price"}[i%2], name, name, name, name)})
	}
	for _, p := range learned(list, inOrder(len(list))).Conclude(nil)[0].Operations[0].Params {
		want := []string(nil)
		if p.Name == "sort" {
			want = []string{"date", "price"}
		}
		if diff := cmp.Diff(want, p.Schema.Enum); diff != "" {
			t.Errorf("%s: %s", p.Name, diff)
		}
	}
}

// Of a list every value is looked at, however it is written.
func TestLists(t *testing.T) {
	var list []exchange.Raw
	for i := range 60 {
		list = append(list, exchange.Raw{Method: "GET", Host: "h", Status: 200,
			Path: fmt.Sprintf("/v1/items/%d,%d,x%dy%dz?ids=%d,%d,k%d9q&state=%s&state=%s&sizes=%d|%d", i, i+1, i, i*7, i, i+1, i, []string{"open", "paid"}[i%2], []string{"sent", "lost"}[i/2%2], i, i+1)})
	}
	o := learned(list, inOrder(len(list))).Conclude(nil)[0].Operations[0]
	var got []string
	for _, p := range o.Params {
		got = append(got, fmt.Sprint(p.In, " ", p.Name, " ", p.Schema.Types, p.Style, p.Explode, " ", p.Schema.Items.Types, p.Schema.Items.Enum, p.Count))
	}
	want := []string{"path itemId [array]formfalse [string] [] 60", "query ids [array]formfalse [string] [] 60", "query sizes [array]pipeDelimitedfalse [integer] [] 60",
		"query state [array]formtrue [string] [lost open paid sent] 60"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func learned(list []exchange.Raw, order []int) *Learner {
	l := New(Limits{})
	door := &exchange.Door{}
	var o exchange.Observation
	for _, i := range order {
		raw := list[i]
		door.Observe(&raw, &o)
		l.Add(&o)
	}
	return l
}

func inOrder(n int) (order []int) {
	for i := range n {
		order = append(order, i)
	}
	return order
}

func templates(specs []apidiscovery.Spec) (list []string) {
	for _, s := range specs {
		for _, o := range s.Operations {
			list = append(list, strings.TrimSpace(o.Method+" "+o.Template.String()+" "+o.Name))
		}
	}
	return list
}

func TestLearn(t *testing.T) {
	list := traffic(1, 3000)
	specs := learned(list, inOrder(len(list))).Conclude(nil)
	want := []string{"POST /v1/orders", "GET /v1/orders/{orderId}", "GET /v1/search", "GET /v1/users/me", "GET /v1/users/{userId}", "GET /v1/users/{userId}/posts/{postId}"}
	if diff := cmp.Diff(want, templates(specs)); diff != "" {
		t.Fatal(diff)
	}
	orders := specs[0].Operations[1]
	if orders.Traffic.Missing == 0 || orders.Traffic.Count < orders.Traffic.Missing*3/2 {
		t.Errorf("missing %d of %d", orders.Traffic.Missing, orders.Traffic.Count)
	}
	if specs[0].Operations[0].Traffic.Preflights == 0 {
		t.Error("the preflights are nowhere")
	}
	for _, a := range specs[0].Aside {
		if a.Reason == "missing" && a.Count > 0 && len(a.Examples) > 0 {
			return
		}
	}
	t.Error("the scanner is nowhere: ", specs[0].Aside)
}

// The order does not matter.
func TestOrderDoesNotMatter(t *testing.T) {
	list := traffic(2, 4000)
	want := learned(list, inOrder(len(list))).Conclude(nil)
	r := rand.New(rand.NewPCG(3, 3))
	for range 3 {
		if diff := cmp.Diff(want, learned(list, r.Perm(len(list))).Conclude(nil), equalTemplates); diff != "" {
			t.Fatal(diff)
		}
	}
}

// Parts merged are the whole, also when a part went through its encoded form.
func TestMergeIsTheFold(t *testing.T) {
	list := traffic(4, 4000)
	want := learned(list, inOrder(len(list))).Conclude(nil)
	r := rand.New(rand.NewPCG(5, 5))
	parts := [3][]int{}
	for i := range list {
		k := r.IntN(3)
		parts[k] = append(parts[k], i)
	}
	whole := learned(list, parts[0])
	whole.Merge(learned(list, parts[1]))
	whole.Merge(stored(t, learned(list, parts[2])))
	if diff := cmp.Diff(want, whole.Conclude(nil), equalTemplates); diff != "" {
		t.Fatal(diff)
	}
}

// stored is a learner of one service that went to disk and came back.
func stored(t *testing.T, l *Learner) *Learner {
	t.Helper()
	return storedAs(t, l, "api.example")
}

func storedAs(t *testing.T, l *Learner, service string) *Learner {
	t.Helper()
	back, err := Decode(l.Encode(service, false))
	if err != nil {
		t.Fatal(err)
	}
	return back
}

// More names than a place keeps: which ones stay does not depend on the order.
func TestWidePlacesAreOrderless(t *testing.T) {
	var list []exchange.Raw
	r := rand.New(rand.NewPCG(6, 6))
	for range 6000 {
		name := ""
		for range 4 + r.IntN(6) {
			name += string(rune('a' + r.IntN(26)))
		}
		list = append(list, exchange.Raw{Method: "GET", Host: "h", Path: "/users/" + name + "/posts", Status: 200})
		list = append(list, exchange.Raw{Method: "GET", Host: "h", Path: "/users/me/settings", Status: 200})
	}
	want := learned(list, inOrder(len(list)))
	if n := want.size.proven; n > 3000 {
		t.Errorf("%d places for two operations", n)
	}
	specs := want.Conclude(nil)
	if diff := cmp.Diff([]string{"GET /users/me/settings", "GET /users/{userId}/posts"}, templates(specs)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(specs, learned(list, r.Perm(len(list))).Conclude(nil), equalTemplates); diff != "" {
		t.Fatal(diff)
	}
	parts := learned(list, inOrder(len(list))[:5000])
	parts.Merge(learned(list, inOrder(len(list))[5000:]))
	if diff := cmp.Diff(specs, parts.Conclude(nil), equalTemplates); diff != "" {
		t.Fatal(diff)
	}
}

// At its bound the tree becomes smaller, and the operations stay the same.
func TestCompact(t *testing.T) {
	list := traffic(7, 6000)
	free := learned(list, inOrder(len(list)))
	l := New(Limits{Nodes: 400})
	door := &exchange.Door{}
	var o exchange.Observation
	for i := range list {
		door.Observe(&list[i], &o)
		l.Add(&o)
	}
	if l.size.proven > l.nodes {
		t.Errorf("%d places, at most %d are allowed", l.size.proven, l.nodes)
	}
	want, got := free.Conclude(nil), l.Conclude(nil)
	if diff := cmp.Diff(templates(want), templates(got)); diff != "" {
		t.Fatal(diff)
	}
	for i := range want[0].Operations {
		if a, b := want[0].Operations[i].Traffic.Count, got[0].Operations[i].Traffic.Count; a != b {
			t.Errorf("%s: %d exchanges, want %d", got[0].Operations[i].Template, b, a)
		}
	}
}

func TestScannersAreBounded(t *testing.T) {
	l := New(Limits{Strays: 500})
	door := &exchange.Door{}
	var o exchange.Observation
	for i := range 5000 {
		raw := exchange.Raw{Method: "GET", Host: "h", Path: fmt.Sprintf("/a%db/x%dy/z", i*7919%5003, i), Status: 404}
		door.Observe(&raw, &o)
		l.Add(&o)
	}
	if l.size.stray > 600 {
		t.Errorf("%d places", l.size.stray)
	}
	specs := l.Conclude(nil)
	if n := asideOf(specs[0], "missing") + l.Evicted(); len(specs[0].Operations) > 0 || n != 5000 {
		t.Error(n, templates(specs))
	}
}

func TestOverrides(t *testing.T) {
	var list []exchange.Raw
	for i := range 400 {
		list = append(list, exchange.Raw{Method: "GET", Host: "h", Path: fmt.Sprintf("/shops/s%d/items/%d", i%80, i), Status: 200})
		list = append(list, exchange.Raw{Method: "GET", Host: "h", Path: "/modes/" + []string{"fast", "slow"}[i%2], Status: 200})
	}
	learner := learned(list, inOrder(len(list)))
	at := apidiscovery.MustPathTemplate
	for _, c := range []struct {
		o    apidiscovery.Override
		want []string
	}{
		{apidiscovery.Override{}, []string{"GET /modes/fast", "GET /modes/slow", "GET /shops/{shopId}/items/{itemId}"}},
		{apidiscovery.Override{Action: apidiscovery.OverrideMerge, Template: at("/modes/{mode}")}, []string{"GET /modes/{mode}", "GET /shops/{shopId}/items/{itemId}"}},
		{apidiscovery.Override{Action: apidiscovery.OverrideSplit, Template: at("/shops/{s}"), Value: "s7"},
			[]string{"GET /modes/fast", "GET /modes/slow", "GET /shops/s7/items/{itemId}", "GET /shops/{shopId}/items/{itemId}"}},
		{apidiscovery.Override{Action: apidiscovery.OverrideRename, Template: at("/shops/{a}/items/{b}"), Names: []string{"shop", "number"}},
			[]string{"GET /modes/fast", "GET /modes/slow", "GET /shops/{shop}/items/{number}"}},
		{apidiscovery.Override{Action: apidiscovery.OverridePin, Service: "other", Template: at("/modes/{mode}")},
			[]string{"GET /modes/fast", "GET /modes/slow", "GET /shops/{shopId}/items/{itemId}"}},
	} {
		if diff := cmp.Diff(c.want, templates(learner.Conclude([]apidiscovery.Override{c.o}))); diff != "" {
			t.Errorf("%s %s: %s", c.o.Action, c.o.Template, diff)
		}
	}
}

// Whatever comes, the template is one, and holds no more than it may.
func FuzzLearn(f *testing.F) {
	f.Add("/v1/users/4711?x=1", "/v1/users/4712/;a=b/%2F..", 200)
	f.Add("//", "/Users(5)/x.json", 404)
	f.Fuzz(func(t *testing.T, a, b string, status int) {
		l, door := New(Limits{Nodes: 50}), &exchange.Door{}
		var o exchange.Observation
		for i, path := range []string{a, b, a + b, a, b + "/x"} {
			raw := exchange.Raw{Method: "GET", Host: "h", Path: path, Status: 200 + i%2*(status%400)}
			door.Observe(&raw, &o)
			l.Add(&o)
		}
		for _, s := range l.Conclude(nil) {
			for _, op := range s.Operations {
				if _, err := apidiscovery.ParsePathTemplate(op.Template.String()); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
}

// get makes exchanges of paths, each called so often.
func get(times int, paths ...string) (list []exchange.Raw) {
	for range times {
		for _, p := range paths {
			list = append(list, exchange.Raw{Method: "GET", Host: "h", Path: p, Status: 200})
		}
	}
	return list
}

// A verb behind a colon is the API's; what stands behind many colons is a value.
func TestColons(t *testing.T) {
	var list []exchange.Raw
	names := strings.Fields("amber birch cedar delta ember fern grove heath iris jade kelp lily moss nettle olive pine quince reed sage thyme")
	for i, a := range names {
		list = append(list, get(2, "/entities/team:"+a, "/entities/user:"+a+names[(i+7)%20], fmt.Sprintf("/jobs/%d:cancel", i*31), fmt.Sprintf("/jobs/%d:retry", i*17), fmt.Sprintf("/jobs/%d", i*17))...)
	}
	want := []string{"GET /entities/{entityId}", "GET /jobs/{jobId}", "GET /jobs/{jobId}:cancel", "GET /jobs/{jobId}:retry"}
	if diff := cmp.Diff(want, templates(learned(list, inOrder(len(list))).Conclude(nil))); diff != "" {
		t.Error(diff)
	}
	missing := exchange.Raw{Method: "GET", Host: "h", Path: "/entities/team:nobody", Status: 404}
	o := learned(append(list, missing), inOrder(len(list)+1)).Conclude(nil)[0].Operations[0]
	if o.Traffic.Missing != 1 {
		t.Errorf("%s has %d missing", o.Template, o.Traffic.Missing)
	}
}

// Slashes and dots too many make no operations of their own.
func TestPathsThatAreTheSame(t *testing.T) {
	var list []exchange.Raw
	for i := range 30 {
		list = append(list, get(1, fmt.Sprintf("/v1/orders/%d", 1000+i*7), fmt.Sprintf("//v1/orders/%d", 1003+i*7), fmt.Sprintf("/v1//orders/%d", 1005+i*7), fmt.Sprintf("/x/../v1/./orders/%d", 1006+i*7))...)
	}
	l := learned(append(list, exchange.Raw{Method: "GET", Host: "h", Path: "//v1/orders/1", Status: 404}), inOrder(len(list)+1))
	for _, l := range []*Learner{l, storedAs(t, l, "h")} {
		spec := l.Conclude(nil)[0]
		if diff := cmp.Diff([]string{"GET /v1/orders/{orderId}"}, templates([]apidiscovery.Spec{spec})); diff != "" {
			t.Fatal(diff)
		}
		if n := spec.Operations[0].Traffic; n.Count != 121 || n.Missing != 1 {
			t.Errorf("%d exchanges, %d missing", n.Count, n.Missing)
		}
	}
}

// Whatever stands in a URL, its kind of data is known where it stands, also after
// it was stored.
func TestSensitiveParameters(t *testing.T) {
	var list []exchange.Raw
	for i := range 30 {
		list = append(list, get(1, fmt.Sprintf("/users/by-mail/u%d@example.com?session=eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiI%d.abcdefgh&zip=%05d&expand[0]=a&expand[1]=b", i, i, i))...)
	}
	l := learned(list, inOrder(len(list)))
	for _, l := range []*Learner{l, storedAs(t, l, "h")} {
		var got []string
		for _, p := range l.Conclude(nil)[0].Operations[0].Params {
			got = append(got, fmt.Sprint(p.In, " ", p.Name, " ", p.Type(), " ", p.Schema.Sensitive, p.Style))
		}
		want := []string{"path byMailId string [email]", "query expand array []form", "query session string [jwt]", "query zip string [postal-code]"}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	}
}

// Few names in brackets are names; many are one object's members.
func TestNamesInBrackets(t *testing.T) {
	var list []exchange.Raw
	for i := range 40 {
		list = append(list, get(1, fmt.Sprintf("/v1/items?page[size]=%d&page[number]=%d&created[gte]=2026-01-%02d&filter[%s]=x", i, i, 1+i%28, strings.Fields("amber birch cedar delta ember fern grove heath iris jade")[i%10]))...)
	}
	var got []string
	for _, p := range learned(list, inOrder(len(list))).Conclude(nil)[0].Operations[0].Params {
		got = append(got, fmt.Sprint(p.Name, " ", p.Type(), " ", p.Style, " ", p.Required))
	}
	want := []string{"created[gte] string  true", "filter object deepObject false", "page[number] integer  true", "page[size] integer  true"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// Where values are kept stands beside things that have parts, and is none of them.
func TestCollectionOfValues(t *testing.T) {
	var list []exchange.Raw
	for i := range 200 {
		name := fmt.Sprintf("%c%c%cset", 'a'+i%26, 'a'+i/26, 'a'+i%7)
		list = append(list, get(1, "/v1/assets/"+name, "/v1/assets/"+name+"/history", fmt.Sprintf("/v1/assets/policy/%032x", i%40*7919))...)
	}
	want := []string{"GET /v1/assets/policy/{policyId}", "GET /v1/assets/{assetId}", "GET /v1/assets/{assetId}/history"}
	if diff := cmp.Diff(want, templates(learned(list, inOrder(len(list))).Conclude(nil))); diff != "" {
		t.Error(diff)
	}
}

// A few words that can each be deleted are things of one kind; such as are put are
// settings.
func TestThingsAreDeleted(t *testing.T) {
	var list []exchange.Raw
	for i := range 330 {
		name := strings.Fields("amber birch cedar delta ember fern grove heath iris jade kelp")[i%11]
		list = append(list,
			exchange.Raw{Method: []string{"PATCH", "DELETE"}[i/11%2], Host: "h", Path: "/repo/refs/" + name, Status: 200},
			exchange.Raw{Method: []string{"PUT", "GET"}[i/11%2], Host: "h", Path: "/repo/permissions/" + name, Status: 200})
	}
	got := templates(learned(list, inOrder(len(list))).Conclude(nil))
	if want := []string{"DELETE /repo/refs/{refId}", "PATCH /repo/refs/{refId}"}; len(got) != 24 || !slices.Equal(got[22:], want) {
		t.Error(got)
	}
}

// What was a word is an id when more like it come, and says what made it one; what
// a person pins stays.
func TestDecisionsAreRevised(t *testing.T) {
	l, door := New(Limits{}), &exchange.Door{}
	var o exchange.Observation
	at := int64(1_800_000_000)
	get := func(path string) {
		at++
		raw := exchange.Raw{Time: time.Unix(at, 0), Client: fmt.Sprint(at % 7), Method: "GET", Host: "h", Path: path, Status: 200}
		door.Observe(&raw, &o)
		l.Add(&o)
	}
	for range 40 {
		get("/teams/red/members")
		get("/teams/blue/members")
	}
	if diff := cmp.Diff([]string{"GET /teams/blue/members", "GET /teams/red/members"}, templates(l.Conclude(nil))); diff != "" {
		t.Fatal("two names, often:\n", diff)
	}
	names := strings.Fields("alder birch cedar dogwood elm fir ginkgo hazel iris juniper kauri larch maple nutmeg oak pine quince rowan spruce teak")
	for _, a := range names {
		for _, b := range names[:4] {
			get("/teams/" + a + "-" + b + "/members")
		}
	}
	specs := l.Conclude(nil)
	if diff := cmp.Diff([]string{"GET /teams/{teamId}/members"}, templates(specs)); diff != "" {
		t.Fatal("eighty more, once each:\n", diff)
	}
	why := specs[0].Operations[0].Evidence.Segments[1].Reasons
	if len(why) == 0 || !strings.ContainsAny(strings.Join(why, " "), "0123456789") {
		t.Errorf("no observation is named: %q", why)
	}
}
