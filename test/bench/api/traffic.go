package main

import (
	"fmt"
	"math/rand/v2"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/gabion-io/gabion/internal/exchange"
)

// style is how the values of parameters without a format look.
type style struct {
	name  string
	value func(g *generator, name string, i int) string // the i-th value of a pool
	pool  int                                           // distinct values of a parameter
	ids   float64                                       // zipf exponent over them
}

func styles() []style {
	return []style{
		{"words", func(g *generator, n string, i int) string { return g.word(n, i) }, 300, 1.1},
		{"names", func(g *generator, n string, i int) string { return g.handle(n, i) }, 2000, 1.05},
		{"slugs", func(g *generator, n string, i int) string {
			return g.word(n, i) + "-" + g.word(n, i*7+1) + "-" + g.word(n, i*3+2)
		}, 1000, 1.1},
		{"tokens", func(g *generator, n string, i int) string { return g.token(n, i, 22) }, 5000, 1.2},
		{"codes", func(g *generator, n string, i int) string { return g.code(n, i) }, 60, 1.05},
		{"numbered", func(g *generator, n string, i int) string { return n + "-" + strconv.Itoa(i+1) }, 100, 1.1},
		{"few", func(g *generator, n string, i int) string { return g.word(n, i) }, 12, 1.3},
	}
}

// generator makes traffic of operations. Everything comes from the seed.
type generator struct {
	r      *rand.Rand
	ops    []operation
	style  style
	noise  float64
	errors float64
	bodies bool
	// catchAll: what nobody has is answered with a page.
	catchAll bool
	order    []int
	zipf     *rand.Zipf
	pick     *rand.Zipf
	clock    time.Time
	sent     map[string]*tally
}

// tally is what was sent of one operation.
type tally struct {
	op    *operation
	count int
	ok    int
	seen  map[string]int // parameters, by in and name
}

func newGenerator(ops []operation, st style, seed uint64, ex float64) *generator {
	r := rand.New(rand.NewPCG(seed, 0x9e3779b97f4a7c15))
	return &generator{r: r, ops: ops, style: st, noise: 0.05, errors: 0.08, order: r.Perm(len(ops)),
		zipf: rand.NewZipf(r, ex, 2, uint64(len(ops)-1)), pick: rand.NewZipf(r, st.ids, 1.5, uint64(st.pool-1)),
		clock: time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC), sent: map[string]*tally{}}
}

func (g *generator) next() exchange.Raw {
	g.clock = g.clock.Add(time.Duration(g.r.ExpFloat64() * float64(20*time.Millisecond)))
	if g.r.Float64() < g.noise {
		return g.scan()
	}
	op := &g.ops[g.order[g.zipf.Uint64()]]
	key := op.method + " " + op.path
	t := g.sent[key]
	if t == nil {
		t = &tally{op: op, seen: map[string]int{}}
		g.sent[key] = t
	}
	t.count++
	raw := exchange.Raw{Time: g.clock, Client: "10.0." + strconv.Itoa(g.r.IntN(4)) + "." + strconv.Itoa(g.r.IntN(250)), Method: op.method,
		Scheme: "https", Host: "api.example", Status: op.status, Duration: time.Duration(g.r.ExpFloat64() * float64(15*time.Millisecond))}
	raw.Request.Headers = []exchange.Header{{Name: "User-Agent", Value: "bench"}, {Name: "Accept", Value: "application/json"},
		{Name: "Authorization", Value: "Bearer " + g.token("auth", g.r.IntN(50), 40)}}
	g.fill(op, t, &raw)
	if g.r.Float64() < g.errors {
		raw.Status = []int{400, 401, 403, 404, 404, 404, 422, 429, 500, 502}[g.r.IntN(10)]
	} else {
		t.ok++
	}
	if g.bodies {
		g.bodiesOf(op, &raw)
	}
	return raw
}

// fill makes path, query and headers.
func (g *generator) fill(op *operation, t *tally, raw *exchange.Raw) {
	path := op.path
	var query []string
	for i := range op.params {
		p := &op.params[i]
		if !p.required && p.in != "path" && g.r.Float64() >= g.chance(op, p) {
			continue
		}
		t.seen[p.in+" "+p.name]++
		switch p.in {
		case "path":
			v := g.value(p.name, p.schema, 0)
			path = strings.ReplaceAll(path, "{"+p.name+"}", url.PathEscape(v))
		case "query":
			query = append(query, g.queryOf(p)...)
		case "header":
			raw.Request.Headers = append(raw.Request.Headers, exchange.Header{Name: p.name, Value: g.value(p.name, p.schema, 0)})
		case "cookie":
			raw.Request.Headers = append(raw.Request.Headers, exchange.Header{Name: "Cookie", Value: p.name + "=" + g.value(p.name, p.schema, 0)})
		}
	}
	g.r.Shuffle(len(query), func(i, j int) { query[i], query[j] = query[j], query[i] })
	raw.Path = path
	if len(query) > 0 {
		raw.Path += "?" + strings.Join(query, "&")
	}
}

// chance is how often an optional parameter is sent: its own, fixed.
func (g *generator) chance(op *operation, p *param) float64 {
	h := exchange.Key{}.Hash(op.method + op.path + p.name)
	return 0.05 + 0.75*float64(h%1000)/1000
}

func (g *generator) queryOf(p *param) (pairs []string) {
	if typesOf(p.schema) != nil && typesOf(p.schema)[0] == "array" {
		items, _ := p.schema["items"].(map[string]any)
		var list []string
		for range 1 + g.r.IntN(3) {
			list = append(list, url.QueryEscape(g.value(p.name, items, 1)))
		}
		if !p.explode {
			return []string{p.name + "=" + strings.Join(list, ",")}
		}
		for _, v := range list {
			pairs = append(pairs, p.name+"="+v)
		}
		return pairs
	}
	return []string{p.name + "=" + url.QueryEscape(g.value(p.name, p.schema, 0))}
}

// scan is a request of somebody who tries doors.
func (g *generator) scan() exchange.Raw {
	known := []string{"/.env", "/wp-login.php", "/admin", "/.git/config", "/phpmyadmin/index.php", "/actuator/health", "/cgi-bin/test.cgi", "/wp-content/plugins/x.php",
		"/server-status", "/api/v1/users/../../etc/passwd", "/backup.zip", "/config.json", "/.aws/credentials", "/xmlrpc.php", "/vendor/phpunit/phpunit/src/Util/PHP/eval-stdin.php"}
	path := known[g.r.IntN(len(known))]
	switch g.r.IntN(4) {
	case 0:
		path = "/" + g.token("scan", g.r.IntN(1<<30), 3+g.r.IntN(12))
	case 1:
		path = "/" + g.word("scan", g.r.IntN(5000)) + "/" + g.word("scan2", g.r.IntN(5000))
	case 2: // below a true path
		op := &g.ops[g.r.IntN(len(g.ops))]
		at := strings.LastIndexByte(op.path, '/')
		path = strings.NewReplacer("{", "", "}", "").Replace(op.path[:at+1]) + g.word("scan", g.r.IntN(5000)) + ".php"
	}
	raw := exchange.Raw{Time: g.clock, Client: "203.0.113." + strconv.Itoa(g.r.IntN(20)), Method: []string{"GET", "GET", "GET", "POST", "HEAD"}[g.r.IntN(5)], Scheme: "https", Host: "api.example",
		Path: path, Status: []int{404, 404, 404, 404, 403, 400, 401, 405, 301}[g.r.IntN(9)], Duration: time.Millisecond}
	if g.catchAll {
		raw.Status = 200
		raw.Response = exchange.RawMessage{Headers: []exchange.Header{{Name: "Content-Type", Value: "text/html; charset=utf-8"}}, Size: 1815}
		if raw.Method == "HEAD" {
			raw.Response.Size = 0
		}
	}
	return raw
}

func (g *generator) bodiesOf(op *operation, raw *exchange.Raw) {
	if op.request != nil && (op.requires || g.r.IntN(3) > 0) {
		raw.Request.Headers = append(raw.Request.Headers, exchange.Header{Name: "Content-Type", Value: "application/json"})
		raw.Request.Body = appendJSON(nil, g.json(op.spec, op.request, 0))
	}
	raw.Response.Headers = []exchange.Header{{Name: "Content-Type", Value: "application/json; charset=utf-8"}}
	switch {
	case raw.Status >= 400:
		raw.Response.Body = []byte(fmt.Sprintf(`{"message":"error %d","documentation_url":"https://docs.example/"}`, raw.Status))
	case op.response != nil:
		raw.Response.Body = appendJSON(nil, g.json(op.spec, op.response, 0))
	case raw.Status == 204:
		raw.Response.Headers = nil
	}
}
