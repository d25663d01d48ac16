package learn

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gabion-io/gabion/api-discovery"
	"github.com/gabion-io/gabion/internal/exchange"
)

// answered gives exchanges an answer.
func answered(list []exchange.Raw, status int, media, body string) []exchange.Raw {
	for i := range list {
		list[i].Status = status
		list[i].Response = exchange.RawMessage{Body: []byte(body)}
		if media != "" {
			list[i].Response.Headers = []exchange.Header{{Name: "content-type", Value: media}}
		}
	}
	return list
}

// tried are paths as scanners try them, under the host that traffic asks.
func tried(seed uint64, n int) (list []exchange.Raw) {
	r := rand.New(rand.NewPCG(seed, 2))
	letters := func(n int) string {
		b := make([]byte, n)
		for i := range b {
			b[i] = "abcdefghijklmnopqrstuvwxyz0123"[r.IntN(30)]
		}
		return string(b)
	}
	for range n {
		path := []string{"/.env", "/admin", "/wp-login.php", "/.git/config", "/v1/orders/backup.zip"}[r.IntN(5)]
		switch r.IntN(5) {
		case 0:
			path = "/" + letters(3+r.IntN(12))
		case 1:
			path = "/" + letters(5) + "/" + letters(4+r.IntN(20))
		case 2:
			path = "/" + letters(6) + ".php"
		case 3:
			path = "/v1/" + letters(6) + "/" + letters(7) + ".php"
		}
		list = append(list, exchange.Raw{Method: []string{"GET", "GET", "GET", "HEAD", "POST"}[r.IntN(5)], Host: "api.example", Path: path})
	}
	return list
}

// Where anything is answered with success, success proves nothing: what scanners
// tried is aside, and the API is what it is without them.
func TestCatchAll(t *testing.T) {
	list := traffic(20, 1200)
	want := templates(learned(list, inOrder(len(list))).Conclude(nil))
	for _, c := range []struct {
		name        string
		status      int
		media, body string
	}{
		{"a page", 200, "text/html; charset=utf-8", "<!doctype html><div id=app></div>"},
		{"a document", 200, "application/json", `{"status":"ok","at":{"zone":"a"}}`},
		{"to the login", 302, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			noise := answered(tried(21, 600), c.status, c.media, c.body)
			for i := range noise {
				if noise[i].Method == "HEAD" {
					noise[i].Response.Body = nil
				}
			}
			all := append(slices.Clone(list), noise...)
			l := learned(all, rand.New(rand.NewPCG(22, 22)).Perm(len(all)))
			specs := l.Conclude(nil)
			if diff := cmp.Diff(want, templates(specs)); diff != "" {
				t.Error(diff)
			}
			if n := asideOf(specs[0], "catch-all"); n != uint64(len(noise)) {
				t.Errorf("%d aside, want %d", n, len(noise))
			}
			parts := learned(all, inOrder(len(all))[:len(all)/2])
			parts.Merge(stored(t, learned(all, inOrder(len(all))[len(all)/2:])))
			again := parts.Conclude(nil)
			if diff := cmp.Diff(specs[0].Operations, again[0].Operations, equalTemplates); diff != "" || asideOf(again[0], "catch-all") != uint64(len(noise)) {
				t.Error("in two parts: ", diff)
			}
			pin := apidiscovery.Override{Action: apidiscovery.OverridePin, Template: apidiscovery.MustPathTemplate("/wp-login.php")}
			if got := templates(l.Conclude([]apidiscovery.Override{pin})); !slices.Contains(got, "GET /wp-login.php") {
				t.Error("what a person pinned is gone: ", got)
			}
		})
	}
}

// However many words are tried where paths part, those of the API stay.
func TestCatchAllOfManyWords(t *testing.T) {
	var list []exchange.Raw
	want := []string{}
	for i, word := range strings.Fields("amber birch cedar delta ember fern grove heath ivy jade kelp lily marsh nettle olive pine quince reed sage thyme") {
		list = append(list, answered(get(4+i, "/"+word+"s", fmt.Sprintf("/%ss/%d", word, 17*i)), 200, "application/json", fmt.Sprintf(`{"%s":1}`, word))...)
		want = append(want, fmt.Sprintf("GET /%ss", word), fmt.Sprintf("GET /%ss/{%sId}", word, word))
	}
	r := rand.New(rand.NewPCG(24, 24))
	for i := range 6000 {
		path := "/"
		for range 5 + i%3 {
			path += string(rune('a' + r.IntN(26)))
		}
		if i%3 == 0 {
			path += path
		}
		list = append(list, answered(get(1, path), 200, "text/html", "<!doctype html><div id=app></div>")...)
	}
	slices.Sort(want)
	order := r.Perm(len(list))
	l := learned(list, order)
	if got := l.Conclude(nil)[0]; !slices.Equal(templates([]apidiscovery.Spec{got}), want) || asideOf(got, "catch-all") != 6000 {
		t.Errorf("%d aside: %s", asideOf(got, "catch-all"), cmp.Diff(want, templates([]apidiscovery.Spec{got})))
	}
	if n := l.size.proven; n > 1000 || n != l.services["h"].proven.places() {
		t.Errorf("%d places, counted as %d", l.services["h"].proven.places(), n)
	}
	whole := New(Limits{})
	for part := range 12 {
		whole.Merge(storedAs(t, learned(list, order[part*len(list)/12:(part+1)*len(list)/12]), "h"))
	}
	if got := whole.Conclude(nil)[0]; !slices.Equal(templates([]apidiscovery.Spec{got}), want) || asideOf(got, "catch-all") != 6000 {
		t.Errorf("in parts: %d aside: %s", asideOf(got, "catch-all"), cmp.Diff(want, templates([]apidiscovery.Spec{got})))
	}
}

// What only looks like it: names at the root, commands that all answer alike, lists
// that are empty.
func TestNoCatchAll(t *testing.T) {
	var names, commands, lists []exchange.Raw
	for i := range 60 {
		owner := fmt.Sprintf("%c%cna", 'a'+i%26, 'e'+i/26)
		names = append(names, answered(get(1, "/"+owner), 200, "application/json", `{"login":"x","id":1}`)...)
		names = append(names, answered(get(1, "/"+owner+"x/things"), 200, "application/json", `[{"name":"x"}]`)...)
		path := "/" + owner
		if i%2 == 0 {
			path += "/restart"
		}
		commands = append(commands, answered(get(3, path), 200, "application/json", `{"ok":true}`)...)
		lists = append(lists, answered(get(1, "/v1/"+owner+"s", "/v1/"+owner+"s/parts"), 200, "application/json", `[]`)...)
	}
	for name, list := range map[string][]exchange.Raw{"names": names, "commands": commands, "lists": lists} {
		l := learned(list, inOrder(len(list)))
		if n := asideOf(l.Conclude(nil)[0], "catch-all"); n > 0 {
			t.Errorf("%s: %d exchanges are aside", name, n)
		}
	}
}
