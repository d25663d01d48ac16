package server_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gabion-io/gabion/controlplane/server"
	"github.com/gabion-io/gabion/controlplane/server/servertest"
	"github.com/gabion-io/gabion/controlplane/store"
	"github.com/gabion-io/gabion/controlplane/store/storetest"
)

// database is the one PostgreSQL all tests of this package share.
var database storetest.Postgres

func TestMain(m *testing.M) {
	code := m.Run()
	database.Stop()
	os.Exit(code)
}

// onReplicas runs a test on two replicas over one state. They never look for each
// other's changes by themselves, as if each had only just looked.
func onReplicas(t *testing.T, test func(t *testing.T, a, b caller, st *store.Store)) {
	run := func(name string, changes func(*testing.T) servertest.Changes) {
		t.Run(name, func(t *testing.T) {
			dir, ch := t.TempDir(), changes(t)
			one, other := servertest.StartWith(t, dir, ch), servertest.StartWith(t, dir, ch)
			test(t, caller{t, one.URL, one.Token(t, "ann", store.RoleEditor)}, caller{t, other.URL, other.Token(t, "bob", store.RoleEditor)}, one.Store)
		})
	}
	run("sqlite", func(*testing.T) servertest.Changes { return servertest.Changes{} })
	run("postgres", func(t *testing.T) servertest.Changes { return servertest.Changes{Database: database.Database(t)} })
}

// Who is let in is known by the database: without it nobody is, for reading neither,
// and is told so. What is in force stays, and when it is back all is as before.
func TestDatabaseIsAway(t *testing.T) {
	dsn := database.Database(t)
	p := servertest.StartWith(t, t.TempDir(), servertest.Changes{Database: dsn})
	c := caller{t, p.URL, p.Token(t, "ann", store.RoleEditor)}
	c.want(200, "POST", "/api/v1/apply", servertest.Shop, nil)
	before := p.Loop.State()
	back := database.Away(t, dsn)
	for _, call := range []struct{ method, path, body string }{
		{"GET", shopRoute, ""}, {"POST", "/api/v1/diff", servertest.Policy}, {"POST", "/api/v1/apply", servertest.Policy}, {"DELETE", shopRoute, ""},
	} {
		if text := c.want(503, call.method, call.path, call.body, nil); !strings.Contains(text, "nothing was changed") {
			t.Errorf("%s %s is told %s", call.method, call.path, text)
		}
	}
	if now := p.Loop.State(); now.Snapshot.ID() != before.Snapshot.ID() {
		t.Error("other things are in force")
	}
	back()
	time.Sleep(1100 * time.Millisecond) // connections unused for a second are tried first
	c.want(200, "GET", shopRoute, "", nil)
	c.want(404, "GET", "/api/v1/resources/WAFPolicy/default/shop", "", nil)
	c.want(200, "POST", "/api/v1/apply", servertest.Policy, nil)
}

const shopRoute = "/api/v1/resources/HTTPRoute/default/shop"

// What is written is judged by what is there, not by what was there a moment before.
func TestApplyIsJudgedByWhatItIsWrittenInto(t *testing.T) {
	var happens func()
	p := servertest.StartWith(t, t.TempDir(), servertest.Changes{Options: func(o *server.Options) { o.Live = interrupted{o.Live, &happens} }})
	c := caller{t, p.URL, p.Token(t, "ann", store.RoleEditor)}
	c.want(200, "POST", "/api/v1/apply", servertest.Shop, nil)
	happens = func() {
		happens = nil
		c.want(200, "DELETE", shopRoute, "", nil)
	}
	if text := c.want(422, "POST", "/api/v1/apply", servertest.Policy, nil); !strings.Contains(text, "HTTPRoute default/shop does not exist") {
		t.Errorf("refused with %s", text)
	}
	c.want(404, "GET", "/api/v1/resources/WAFPolicy/default/shop", "", nil)
}

// A replica that does not know yet what another wrote judges by it all the same.
func TestReplicasJudgeByTheSameState(t *testing.T) {
	onReplicas(t, func(t *testing.T, a, b caller, _ *store.Store) {
		var result server.ApplyResult
		a.want(200, "POST", "/api/v1/apply", servertest.Shop+"---\n"+servertest.Policy, nil)
		b.want(200, "GET", "/api/v1/resources/WAFPolicy/default/shop", "", nil)
		block := strings.Replace(servertest.Policy, "detect", "block", 1)
		a.want(200, "POST", "/api/v1/apply", block, nil)
		if b.want(200, "POST", "/api/v1/apply", servertest.Policy, &result); !result.Written || result.Items[0].Action != server.Updated || result.Items[0].Revision != 3 {
			t.Errorf("what the other changed is %+v", result)
		}
		b.want(200, "POST", "/api/v1/resources/WAFPolicy/default/shop/rollback", "", nil)
		var r server.Resource
		if a.want(200, "GET", "/api/v1/resources/WAFPolicy/default/shop", "", &r); r.Revision != 4 || !strings.Contains(string(r.Manifest), `"block"`) {
			t.Errorf("after the rollback: %+v", r)
		}
		a.want(200, "DELETE", "/api/v1/resources/WAFPolicy/default/shop", "", nil)
		b.want(404, "DELETE", "/api/v1/resources/WAFPolicy/default/shop", "", nil)
		a.want(200, "DELETE", shopRoute, "", nil)
		if text := b.want(422, "POST", "/api/v1/apply", servertest.Policy, nil); !strings.Contains(text, "does not exist") {
			t.Errorf("refused with %s", text)
		}
		a.want(200, "POST", "/api/v1/apply", servertest.Shop, nil)
		b.want(200, "DELETE", shopRoute, "", &result)
	})
}

// Clients of two replicas write and delete what refers to each other, all at once.
// Whenever a policy was made the route it names was there: the audit log says so.
func TestNoReferenceDangles(t *testing.T) {
	onReplicas(t, func(t *testing.T, a, b caller, st *store.Store) {
		a.want(200, "POST", "/api/v1/apply", servertest.Shop, nil)
		route := func(i int) string {
			return strings.Replace(strings.Split(servertest.Shop, "---\n")[1], "name: shop\nspec", fmt.Sprintf("name: r%d\nspec", i), 1)
		}
		policy := func(i, n int) string { // another one each time
			return strings.ReplaceAll(servertest.Policy, "name: shop", fmt.Sprintf("name: r%d", i)) + fmt.Sprintf("  maxArguments: %d\n", 1000+n)
		}
		var clients sync.WaitGroup
		for n := range 4 {
			clients.Go(func() {
				c, random := []caller{a, b}[n%2], rand.New(rand.NewPCG(1, uint64(n)))
				for op := range 40 {
					i := random.IntN(2)
					var status int
					var text string
					switch random.IntN(4) {
					case 0:
						status, text = c.do("POST", "/api/v1/apply", route(i))
					case 1:
						status, text = c.do("DELETE", fmt.Sprintf("/api/v1/resources/HTTPRoute/default/r%d", i), "")
					case 2:
						status, text = c.do("POST", "/api/v1/apply", policy(i, 100*n+op))
					case 3:
						status, text = c.do("DELETE", fmt.Sprintf("/api/v1/resources/WAFPolicy/default/r%d", i), "")
					}
					if status != 200 && status != 404 && status != 422 {
						t.Errorf("answered %d: %s", status, text)
					}
				}
			})
		}
		clients.Wait()
		checkReferences(t, st)
	})
}

// checkReferences goes through the audit log in its order.
func checkReferences(t *testing.T, st *store.Store) {
	t.Helper()
	log, err := st.AuditLog(context.Background(), store.AuditQuery{Limit: 10_000})
	if err != nil {
		t.Fatal(err)
	}
	there, made := map[string]bool{}, 0
	for _, e := range slices.Backward(log) {
		kind, name, _ := strings.Cut(e.Resource, " default/r")
		// One that is there may be changed: that its route is not was told of the deletion.
		if kind == "WAFPolicy" && e.Action == "apply" && !there[e.Resource] {
			made++
			if !there["HTTPRoute default/r"+name] {
				t.Errorf("entry %d: a policy was made for route r%s, which was not there", e.Seq, name)
			}
		}
		there[e.Resource] = e.Action == "apply"
	}
	if made == 0 {
		t.Error("no policy was made at all")
	}
	if v, err := st.VerifyAudit(context.Background()); err != nil || v.Broken != 0 {
		t.Errorf("verified: %+v %v", v, err)
	}
}
