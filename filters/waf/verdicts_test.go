package waf

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/corazawaf/coraza/v3/types/variables"

	"github.com/gabion-io/gabion/filters"
	wafrules "github.com/gabion-io/gabion/waf-rules"
)

// TestVerdictsBounded: many times as many values as there is room for, from
// several goroutines, never take more than the bound.
func TestVerdictsBounded(t *testing.T) {
	const bound, words = 1 << 20, 6
	c := newVerdicts(bound)
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 50_000 {
				c.of(fmt.Sprintf("value %d of %d", i, g), words).learn(0, 1, 1)
				if i%1000 == 0 {
					if _, bytes := c.size(); bytes > bound {
						t.Errorf("%d bytes of at most %d", bytes, bound)
					}
				}
			}
		})
	}
	wg.Wait()
	values, bytes := c.size()
	if bytes > bound || values == 0 {
		t.Errorf("%d values, %d bytes of at most %d", values, bytes, bound)
	}
	t.Logf("%d values in %d bytes", values, bytes)
}

// TestVerdictsShards: values spread over the shards.
func TestVerdictsShards(t *testing.T) {
	c := newVerdicts(1 << 24)
	for i := range 10_000 {
		c.of(fmt.Sprint(i), 1)
	}
	for i := range c.shards {
		if n := len(c.shards[i].young); n < 10_000/verdictShards/3 || n > 10_000/verdictShards*3 {
			t.Errorf("shard %d has %d of 10000 values", i, n)
		}
	}
}

// TestVerdictsShared: what one policy learned of a value, another with the same
// rules knows; what it has not asked, it learns.
func TestVerdictsShared(t *testing.T) {
	c := NewCompiler()
	var engines []*Engine
	for _, threshold := range []int{5, 7} {
		s := wafrules.Defaults()
		s.Inbound = threshold
		e, err := c.Compile(Config{Settings: s, Limits: wafrules.Limits{RequestBody: 1 << 20}})
		if err != nil {
			t.Fatal(err)
		}
		defer e.Release()
		engines = append(engines, e)
	}
	for range 8 { // what another value of the request settled is not asked at once
		ask(t, engines[0], "name", "some harmless words")
	}
	before := c.Stats()
	ask(t, engines[1], "name", "some harmless words")
	after := c.Stats()
	if after.Remembered != before.Remembered {
		t.Errorf("remembers %d values, %d before", after.Remembered, before.Remembered)
	}
	ask(t, engines[1], "name", "some other harmless words")
	if fresh, again := c.Stats().Asked-after.Asked, after.Asked-before.Asked; again*3 > fresh*2 {
		t.Errorf("a value the first policy knows made the second ask %d predicates, a new one %d", again, fresh)
	}
}

// TestNotRemembered: values under sensitive names, long ones, and ones made of
// others leave nothing behind.
func TestNotRemembered(t *testing.T) {
	compiler := NewCompiler()
	e, err := compiler.Compile(Config{Settings: wafrules.Defaults(), Limits: wafrules.Limits{RequestBody: 1 << 20}})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Release()
	long := strings.Repeat("long harmless words ", maxRemembered/20+1)
	for _, c := range []struct {
		name, value string
		kept        bool
	}{
		{"note", "a value unlike any", true},
		{"password", "hunter2 and more", false},
		{"user[apiToken]", "a token unlike any", false},
		{"cvv", "a number unlike any", false},
		{"note", long, false},
	} {
		ask(t, e, c.name, c.value)
		if kept := remembers(compiler, c.value); kept != c.kept {
			t.Errorf("%s=%.20q: remembered: %v", c.name, c.value, kept)
		}
		for _, whole := range []string{"/a?" + c.name + "=" + strings.ReplaceAll(c.value, " ", "+"), c.name + "=" + strings.ReplaceAll(c.value, " ", "+")} {
			if remembers(compiler, whole) {
				t.Errorf("%s: remembers the whole %.30q", c.name, whole)
			}
		}
	}
}

func TestSensitive(t *testing.T) {
	for _, c := range []struct {
		v    variables.RuleVariable
		key  string
		want bool
	}{
		{variables.RequestHeaders, "Authorization", true},
		{variables.RequestHeaders, "cookie", true},
		{variables.RequestHeaders, "Proxy-Authorization", true},
		{variables.RequestHeaders, "X-CSRF-Token", true},
		{variables.RequestHeaders, "api-key", true},
		{variables.RequestHeaders, "accept", false},
		{variables.Args, "json.user.Password", true},
		{variables.RequestCookies, "PHPSESSID", true},
		{variables.RequestCookies, "connect.sid", true},
		{variables.Args, "author", false},
		{variables.Args, "q", false},
		{variables.ArgsNames, "password", false},
	} {
		if got := sensitive(c.v, c.key); got != c.want {
			t.Errorf("sensitive(%s, %q) = %v", c.v.Name(), c.key, got)
		}
	}
}

// TestFlood: a flood of unique values stays within the configured bytes.
func TestFlood(t *testing.T) {
	c := NewCompiler()
	c.fast.verdicts = newVerdicts(256 << 10)
	e, err := c.Compile(Config{Settings: wafrules.Defaults(), Limits: wafrules.Limits{RequestBody: 1 << 20}})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Release()
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		ask(t, e, "q", fmt.Sprintf("%x%x%x", rnd.Uint64(), rnd.Uint64(), rnd.Uint64()))
		if s := c.Stats(); s.Bytes > 256<<10 {
			t.Fatalf("%d bytes", s.Bytes)
		}
	}
}

func remembers(c *Compiler, value string) bool {
	for i := range c.fast.verdicts.shards {
		s := &c.fast.verdicts.shards[i]
		if s.young[value] != nil || s.old[value] != nil {
			return true
		}
	}
	return false
}

func ask(t *testing.T, e *Engine, name, value string) {
	t.Helper()
	x := e.Begin("x")
	defer x.Close()
	x.RequestHeaders(&filters.RequestHead{Method: "GET", Scheme: "http", Authority: "shop.example", Proto: "HTTP/1.1",
		Path: "/a?" + name + "=" + strings.ReplaceAll(value, " ", "+"), Headers: []filters.Header{{Name: "user-agent", Value: "test"}, {Name: "accept", Value: "*/*"}}})
	if err := x.RequestBody(nil, false); err != nil {
		t.Fatal(err)
	}
}
