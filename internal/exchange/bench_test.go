package exchange

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// pages are page views of one service as a proxy shows them, no two alike: what the
// benchmark of the WAF sends (test/bench/waf).
func pages(n int) []Raw {
	rnd := rand.New(rand.NewPCG(1, 1))
	words := []string{"tea-anchor", "copper-rope", "violet-atlas", "winter-saddle", "lamp-crate", "garden-linen"}
	word := func() string { return fmt.Sprint(words[rnd.IntN(len(words))], "-", rnd.IntN(400)) }
	list := make([]Raw, n)
	for i := range list {
		version := rnd.IntN(40)
		list[i] = Raw{Method: "GET", Scheme: "http", Client: "192.0.2.7", Status: 200,
			Path: fmt.Sprintf("?page=%d&q=%s&sort=%s", rnd.IntN(50), word(), word()),
			Request: RawMessage{Headers: []Header{
				{"user-agent", fmt.Sprintf("Mozilla/5.0 (X11; Linux x86_64; rv:1%02d.0) Gecko/20100101 Firefox/1%02d.0", version, version)},
				{"accept", "application/json, text/plain, */*"}, {"accept-encoding", "gzip, deflate"}, {"accept-language", "en-GB,en;q=0.7"},
				{"cookie", "id=" + word()}, {"referer", "https://shop.example.com/list/" + word()},
				{"x-client-request-id", fmt.Sprintf("%08x-%d", rnd.Uint32(), 1<<20+i)}, {"x-request-start", fmt.Sprintf("t=%d", 1700000000000+i)},
				{"x-trace-id", fmt.Sprintf("%016x%016x", rnd.Uint64(), rnd.Uint64())}, {"x-forwarded-proto", "http"},
				{"x-request-id", fmt.Sprintf("%08x-1c2d-4e3f-8a9b-%012x", rnd.Uint32(), rnd.Uint64()>>16)}}},
			Response: RawMessage{Headers: []Header{{"content-type", "application/json"}, {"content-length", "23"}, {"date", "Sat, 28 Nov 2026 00:00:00 GMT"},
				{"x-envoy-upstream-service-time", "0"}, {"server", "envoy"}}}}
	}
	return list
}

// What the filter pays to tell of an exchange whose bodies it does not look into.
func BenchmarkFacts(b *testing.B) {
	list := pages(4096)
	door := &Door{Service: "-", Key: Key{1}, Names: new(Names), Facts: true}
	var o Observation
	var f Facts
	var text []byte
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		door.Observe(&list[i%len(list)], &o)
		f.Take(&o)
		if text = f.Encode(text); text == nil {
			b.Fatal("nothing is told")
		}
	}
}
