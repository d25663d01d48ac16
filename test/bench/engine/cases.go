package main

import (
	"fmt"
	"math/rand/v2"
	"net/url"
	"strings"

	"github.com/gabion-io/gabion/filters"
	"github.com/gabion-io/gabion/internal/rawhttp"
	"github.com/gabion-io/gabion/waf-rules/regression"
)

// kind is one case: generate makes n requests that are all different, out of
// the pool's values and, for some of them, new ones.
type kind struct {
	name     string
	heavy    bool
	generate func(rnd *rand.Rand, p *pool, n int) []message
}

func cases() []kind {
	var out []kind
	for _, m := range []struct {
		name string
		new  float64
	}{{"warm", 0}, {"zipf 10% new", .1}, {"zipf 30% new", .3}, {"zipf 50% new", .5}, {"all new", 1}} {
		out = append(out,
			kind{"GET, " + m.name, false, each(m.new, get)},
			kind{"JSON 1 KB, " + m.name, true, each(m.new, jsonPost)})
	}
	return append(out,
		kind{"form of 100 fields, warm", true, each(0, form)},
		kind{"GraphQL, warm", true, each(0, graphQL)},
		kind{"multipart with a 64 KB file", true, each(0, multipart)},
		kind{"attacks", false, attacks},
		kind{"random values", false, each(1, random)},
	)
}

func each(fresh float64, request func(*source) message) func(*rand.Rand, *pool, int) []message {
	return func(rnd *rand.Rand, p *pool, n int) []message {
		s := &source{rnd: rnd, pool: p, fresh: fresh, zipf: rand.NewZipf(rnd, 1.2, 4, uint64(len(p.values)-1))}
		out := make([]message, n)
		for i := range out {
			out[i] = request(s)
		}
		return out
	}
}

// pool is the values a service sees again and again.
type pool struct{ values, agents, paths []string }

func newPool(rnd *rand.Rand) *pool {
	p := &pool{}
	for i := range 400 {
		p.values = append(p.values, text(rnd, i))
	}
	for i := range 20 {
		p.agents = append(p.agents, fmt.Sprintf("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/%d.0.%d.0 Safari/537.36", 100+i, i*7))
	}
	for i := range 60 {
		p.paths = append(p.paths, fmt.Sprintf("/api/v1/%s/%d", words[i%len(words)], i))
	}
	return p
}

var words = strings.Fields("order customer basket invoice blue summer shoes delivery address comment report weekly garden table chair lamp window kitchen paper light")

// text is a plausible value: words, a number, an identifier, a date, an address.
func text(rnd *rand.Rand, i int) string {
	switch i % 6 {
	case 0:
		return fmt.Sprint(rnd.IntN(1_000_000))
	case 1:
		return fmt.Sprintf("%08x-%04x-4%03x-a%03x-%012x", rnd.Uint32(), rnd.IntN(1<<16), rnd.IntN(1<<12), rnd.IntN(1<<12), rnd.Uint64()>>16)
	case 2:
		return fmt.Sprintf("2026-%02d-%02dT%02d:%02d:%02dZ", 1+rnd.IntN(12), 1+rnd.IntN(28), rnd.IntN(24), rnd.IntN(60), rnd.IntN(60))
	case 3:
		return fmt.Sprintf("%s.%s%d@example.com", words[rnd.IntN(len(words))], words[rnd.IntN(len(words))], rnd.IntN(10_000))
	default:
		n := 1 + rnd.IntN(6)
		var b []string
		for range n {
			b = append(b, words[rnd.IntN(len(words))])
		}
		return strings.Join(b, " ") + fmt.Sprintf(" %d", rnd.IntN(100_000))
	}
}

type source struct {
	rnd   *rand.Rand
	pool  *pool
	fresh float64
	zipf  *rand.Zipf
}

func (s *source) isNew() bool { return s.rnd.Float64() < s.fresh }

func (s *source) value() string {
	if s.isNew() {
		return text(s.rnd, s.rnd.IntN(6))
	}
	return s.pool.values[s.zipf.Uint64()]
}

func (s *source) of(list []string) string {
	v := list[s.rnd.IntN(len(list))]
	if s.isNew() {
		v += fmt.Sprint(s.rnd.Uint32())
	}
	return v
}

// head has ten headers; request id, trace and time are new in every request.
func (s *source) head(method, path, contentType string, body int) *filters.RequestHead {
	h := &filters.RequestHead{Method: method, Scheme: "http", Authority: "shop.example.com", Path: path, Proto: "HTTP/1.1"}
	add := func(name, value string) { h.Headers = append(h.Headers, filters.Header{Name: name, Value: value}) }
	add("user-agent", s.of(s.pool.agents))
	add("accept", "application/json, text/plain, */*")
	add("accept-language", "en-GB,en;q=0.9")
	add("accept-encoding", "gzip, deflate, br")
	add("referer", "https://shop.example.com"+s.of(s.pool.paths))
	add("cookie", "theme=dark; sid="+strings.ReplaceAll(s.value(), " ", "-"))
	add("x-request-id", text(s.rnd, 1))
	add("x-request-start", fmt.Sprintf("t=%d", 1_790_000_000_000+s.rnd.IntN(1_000_000_000)))
	add("traceparent", fmt.Sprintf("00-%016x%016x-%016x-01", s.rnd.Uint64(), s.rnd.Uint64(), s.rnd.Uint64()))
	add("x-forwarded-proto", "https")
	if contentType != "" {
		add("content-type", contentType)
		add("content-length", fmt.Sprint(body))
	}
	return h
}

func get(s *source) message {
	q := url.Values{"q": {s.value()}, "page": {fmt.Sprint(s.rnd.IntN(20))}, "sort": {"price"}, "ref": {s.value()}}
	return message{head: s.head("GET", s.of(s.pool.paths)+"?"+q.Encode(), "", 0)}
}

func jsonPost(s *source) message {
	var b strings.Builder
	b.WriteString(`{"id":"` + text(s.rnd, 1) + `","items":[`)
	for i := 0; b.Len() < 930; i++ {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"name":%q,"note":%q,"price":%d.50,"active":true}`, s.value(), s.value(), s.rnd.IntN(90))
	}
	b.WriteString(`]}`)
	return message{s.head("POST", s.of(s.pool.paths), "application/json", b.Len()), []byte(b.String())}
}

func form(s *source) message {
	q := url.Values{}
	for i := range 100 {
		q.Set(fmt.Sprintf("field_%d", i), s.value())
	}
	body := q.Encode()
	return message{s.head("POST", s.of(s.pool.paths), "application/x-www-form-urlencoded", len(body)), []byte(body)}
}

func graphQL(s *source) message {
	body := fmt.Sprintf(`{"operationName":"Basket","variables":{"id":%q,"note":%q,"first":%d},"query":"query Basket($id: ID!, $note: String, $first: Int) { basket(id: $id) { id lines(first: $first) { product { name price } quantity } customer { name email } } }"}`,
		s.value(), s.value(), s.rnd.IntN(20))
	return message{s.head("POST", "/graphql", "application/json", len(body)), []byte(body)}
}

func multipart(s *source) message {
	var b strings.Builder
	for _, name := range []string{"title", "album"} {
		fmt.Fprintf(&b, "--XbX\r\nContent-Disposition: form-data; name=\"%s\"\r\n\r\n%s\r\n", name, s.value())
	}
	b.WriteString("--XbX\r\nContent-Disposition: form-data; name=\"file\"; filename=\"photo.jpg\"\r\nContent-Type: image/jpeg\r\n\r\n")
	for range 64 << 10 / 8 {
		v := s.rnd.Uint64()
		for range 8 {
			b.WriteByte(byte(v))
			v >>= 8
		}
	}
	b.WriteString("\r\n--XbX--\r\n")
	return message{s.head("POST", "/upload", "multipart/form-data; boundary=XbX", b.Len()), []byte(b.String())}
}

// random has values that were never seen and will never come again.
func random(s *source) message {
	q := url.Values{}
	for i := range 10 {
		v := make([]byte, 24)
		for j := range v {
			v[j] = byte(' ' + s.rnd.IntN(95))
		}
		q.Set(fmt.Sprintf("k%d", i), strings.Map(func(r rune) rune {
			if strings.ContainsRune("'\"<>(){}`$|;&", r) {
				return 'x'
			}
			return r
		}, string(v)))
	}
	return message{head: s.head("GET", "/random?"+q.Encode(), "", 0)}
}

// attacks are the rule set's own positive tests.
func attacks(rnd *rand.Rand, _ *pool, n int) []message {
	all, err := regression.Load()
	if err != nil {
		return nil
	}
	var out []message
	for i := range all {
		if !all[i].Attack() {
			continue
		}
		for _, st := range all[i].Stages {
			r, err := rawhttp.Parse(st.Request.Bytes())
			if err != nil {
				continue
			}
			h := &filters.RequestHead{Method: r.Method, Scheme: "http", Authority: r.Authority, Path: r.Path, Proto: r.Proto}
			for _, f := range r.Headers {
				h.Headers = append(h.Headers, filters.Header(f))
			}
			out = append(out, message{h, r.Body})
		}
	}
	rnd.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out[:min(n, len(out))]
}
