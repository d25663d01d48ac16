package same

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/url"
	"strings"
	"testing"

	"github.com/gabion-io/gabion/filters"
	"github.com/gabion-io/gabion/filters/waf"
)

// TestManyValues: among hundreds of arguments, harmless ones with an attack or
// two, or all of them taken from attacks, both engines find the same.
func TestManyValues(t *testing.T) {
	if !ordered() {
		t.Skip("in the ordered run")
	}
	if testing.Short() {
		t.Skip("the race detector makes long requests longer, and finds no more in them")
	}
	var attacks []string
	for _, m := range suiteMessages(t) {
		_, query, _ := strings.Cut(m.head.Path, "?")
		for pair := range strings.SplitSeq(query, "&") {
			if _, value, ok := strings.Cut(pair, "="); ok && value != "" {
				if v, err := url.QueryUnescape(value); err == nil {
					attacks = append(attacks, v)
				}
			}
		}
	}
	const count = 60
	rnd := rand.New(rand.NewPCG(9, 10))
	var messages []message
	for i := range count {
		messages = append(messages, manyValues(rnd, attacks, i))
	}
	c := waf.NewCompiler()
	for i, slow := range stock[:2] {
		fast, err := c.Compile(config(i))
		if err != nil {
			t.Fatal(err)
		}
		defer fast.Release()
		if scored := compareAll(t, slow, fast, messages); scored < count/2 {
			t.Errorf("only %d of %d score", scored, count)
		}
	}
}

// manyValues is a form, or JSON if i is odd.
func manyValues(rnd *rand.Rand, attacks []string, i int) message {
	value := func() string {
		switch rnd.IntN(4) {
		case 0:
			return fmt.Sprint(rnd.IntN(1_000_000))
		case 1:
			return fmt.Sprintf("%08x-%04x", rnd.Uint32(), rnd.IntN(1<<16))
		case 2:
			return fmt.Sprintf("first.last%d@example.com", rnd.IntN(10_000))
		}
		return fmt.Sprintf("two blue shoes %d", rnd.IntN(100_000))
	}
	values := make([]string, 270+rnd.IntN(60))
	for j := range values {
		if values[j] = value(); i%8 < 2 {
			values[j] = attacks[rnd.IntN(len(attacks))]
		}
	}
	for range 2 {
		values[rnd.IntN(len(values))] = attacks[rnd.IntN(len(attacks))]
	}
	m := message{id: fmt.Sprintf("many %d", i)}
	media := "application/x-www-form-urlencoded"
	if i%2 == 1 {
		media = "application/json"
		m.body, _ = json.Marshal(map[string]any{"items": values})
	} else {
		var b strings.Builder
		for j, v := range values {
			fmt.Fprintf(&b, "field_%d=%s&", j, url.QueryEscape(v))
		}
		m.body = []byte(b.String())
	}
	m.head = filters.RequestHead{Method: "POST", Scheme: "http", Authority: "shop.example.com", Path: "/post", Proto: "HTTP/1.1",
		Headers: []filters.Header{{Name: "user-agent", Value: "Mozilla/5.0"}, {Name: "accept", Value: "*/*"},
			{Name: "content-type", Value: media}, {Name: "content-length", Value: fmt.Sprint(len(m.body))}}}
	return m
}
