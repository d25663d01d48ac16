package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
)

// mix makes distinct benign requests from a pool of values: no two are the same
// bytes, because each carries a fresh request id, timestamp and trace id.
type mix struct {
	rnd                    *rand.Rand
	words, agents, cookies []string
	serial                 int
	sweep                  bool // go through the pool in order, instead of picking
}

// poolSize is how many values of a kind there are: as many requests in a sweep
// show each of them in every place.
const poolSize = 400

type mixCase struct {
	name string
	make func(*mix, string) *http.Request
}

func mixCases() []mixCase {
	return []mixCase{{"GET", (*mix).get}, {"POST 1 KB JSON", (*mix).post}}
}

func newMix(seed uint64) *mix {
	values := rand.New(rand.NewPCG(0, 1)) // the same in every round: it is one service
	m := &mix{rnd: rand.New(rand.NewPCG(seed, 1)), serial: int(seed) << 20}
	m.words = pool(values, poolSize, "tea coffee harbour anchor lamp rope barrel crate invoice garden winter atlas copper linen pepper saddle timber violet window yellow")
	m.cookies = pool(values, poolSize, "session theme locale cart consent")
	for v := range 40 {
		m.agents = append(m.agents, fmt.Sprintf("Mozilla/5.0 (X11; Linux x86_64; rv:1%02d.0) Gecko/20100101 Firefox/1%02d.0", v, v))
	}
	return m
}

// pool makes n distinct values out of a few words.
func pool(rnd *rand.Rand, n int, from string) []string {
	words := bytes.Fields([]byte(from))
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf("%s-%s-%d", words[rnd.IntN(len(words))], words[rnd.IntN(len(words))], i)
	}
	return out
}

func (m *mix) pick(from []string) string {
	if m.sweep {
		return from[m.serial%len(from)]
	}
	return from[m.rnd.IntN(len(from))]
}

// get is a page view with ten headers.
func (m *mix) get(base string) *http.Request {
	m.serial++
	q := url.Values{"q": {m.pick(m.words)}, "page": {fmt.Sprint(m.rnd.IntN(50))}, "sort": {m.pick(m.words)}}
	req, err := http.NewRequest(http.MethodGet, base+"/search?"+q.Encode(), nil)
	if err != nil {
		panic(err) // made of constants and escaped values
	}
	m.headers(req)
	return req
}

// post is 1 KB of JSON.
func (m *mix) post(base string) *http.Request {
	m.serial++
	doc := map[string]any{"id": m.serial, "customer": m.pick(m.words), "note": m.pick(m.words)}
	var items []any
	for len(items) < 12 {
		items = append(items, map[string]any{"sku": m.pick(m.words), "name": m.pick(m.words), "count": m.rnd.IntN(9)})
	}
	doc["items"] = items
	body, err := json.Marshal(doc)
	if err != nil {
		panic(err)
	}
	req, err := http.NewRequest(http.MethodPost, base+"/orders", bytes.NewReader(body))
	if err != nil {
		panic(err)
	}
	m.headers(req)
	req.Header.Set("Content-Type", "application/json")
	return req
}

func (m *mix) headers(req *http.Request) {
	req.Host = "shop.example.com"
	req.Header.Set("User-Agent", m.pick(m.agents))
	req.Header.Set("Accept", "application/json, text/plain, */*")
	req.Header.Set("Accept-Language", "en-GB,en;q=0.7")
	req.Header.Set("Accept-Encoding", "gzip, deflate")
	req.Header.Set("Referer", "https://shop.example.com/list/"+m.pick(m.words))
	req.Header.Set("Cookie", "id="+m.pick(m.cookies))
	req.Header.Set("X-Request-Start", fmt.Sprintf("t=%d", 1700000000000+m.serial))
	req.Header.Set("X-Trace-Id", fmt.Sprintf("%016x%016x", m.rnd.Uint64(), m.rnd.Uint64()))
	req.Header.Set("X-Client-Request-Id", fmt.Sprintf("%08x-%d", m.rnd.Uint32(), m.serial))
}
