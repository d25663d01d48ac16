package same

import (
	"net/url"
	"slices"
	"sync"
	"testing"

	"github.com/gabion-io/gabion/filters"
	"github.com/gabion-io/gabion/filters/waf"
)

// FuzzSame: on any request, whatever was asked of the engine before, it comes to
// what the stock engine comes to. Nothing is excused: it runs only where the
// order of visits is fixed (TestInOrder, and scripts/fuzz through it).
func FuzzSame(f *testing.F) {
	if !ordered() {
		f.Skip("only where the order of visits is fixed: TestInOrder runs it")
	}
	if testing.Short() {
		f.Skip("one request after the other: no goroutine meets another")
	}
	var once sync.Once
	fast := map[int]*waf.Engine{}
	for i, m := range suiteMessages(f) {
		if i%120 != 0 {
			continue
		}
		header := ""
		if len(m.head.Headers) > 0 {
			header = m.head.Headers[0].Value
		}
		f.Add(uint8(len(m.body)), m.head.Path, header, "x", m.body)
	}
	f.Add(uint8(1), "/a?q=1%27%20or%201=1--", "curl", "name=<script>", []byte(`{"a":["${jndi:ldap://x}",1,null]}`))
	f.Add(uint8(2), "/a?q=../../etc/passwd", "() { :;}; id", "\xff", []byte("<a b='c'>union select</a>"))
	types := []string{"application/x-www-form-urlencoded", "application/json", "text/xml", "multipart/form-data; boundary=x", "text/plain", ""}
	f.Fuzz(func(t *testing.T, kind uint8, path, header, cookie string, body []byte) {
		once.Do(func() {
			c := waf.NewCompiler()
			for _, i := range []int{0, 1, balanced} {
				e, err := c.Compile(config(i))
				if err != nil {
					t.Fatal(err)
				}
				fast[i] = e
			}
		})
		m := message{id: "fuzz", body: body, head: filters.RequestHead{Method: []string{"POST", "GET", "PUT"}[int(kind)/len(types)%3], Scheme: "http",
			Authority: "shop.example", Path: path, Proto: "HTTP/1.1", Headers: []filters.Header{
				{Name: "user-agent", Value: header}, {Name: "cookie", Value: "c=" + url.QueryEscape(cookie) + "; " + cookie},
				{Name: "content-type", Value: types[int(kind)%len(types)]}, {Name: "x-note", Value: cookie},
			}}}
		for i, e := range fast {
			for range 2 {
				if _, diff := compare(stock[i], e, m); diff != "" {
					t.Fatalf("%d: stock (-), fast (+)\n%s", i, diff)
				}
			}
		}
	})
}

// TestEveryCombination: each switch alone changes nothing either.
func TestEveryCombination(t *testing.T) {
	if !ordered() {
		t.Skip("only where the order of visits is fixed: TestInOrder runs it")
	}
	if testing.Short() {
		t.Skip("no goroutine meets another here that does not in TestFastIsTheSame")
	}
	all := suiteMessages(t)
	var messages []message
	for i := seed(t) % 120; i < len(all); i += 120 {
		messages = append(messages, all[i])
	}
	for _, off := range []func(*waf.Config){
		func(c *waf.Config) { c.Settings.Fast.NoAlphabet = true },
		func(c *waf.Config) { c.Settings.Fast.NoLiterals = true },
		func(c *waf.Config) { c.Settings.Fast.NoSkip = true },
		func(c *waf.Config) { c.Settings.Fast.NoLevels = true },
		func(c *waf.Config) { c.Settings.Fast.NoSetup = true },
		func(c *waf.Config) { c.Settings.Fast.NoMemory = true },
	} {
		for _, i := range []int{1, balanced} {
			c := config(i)
			off(&c)
			e, err := waf.NewCompiler().Compile(c)
			if err != nil {
				t.Fatal(err)
			}
			compareAll(t, stock[i], e, slices.Clone(messages))
			e.Release()
		}
	}
}
