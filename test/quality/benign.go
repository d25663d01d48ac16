package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/url"
	"slices"
	"strings"
)

// harmless is a request that should pass, of a kind that rule sets mistake.
type harmless struct {
	kind string
	raw  []byte
}

// benign makes n requests, the same ones every time, of all kinds in turn.
func benign(n int) []harmless {
	rnd := rand.New(rand.NewPCG(4, 2))
	kinds := benignKinds()
	names := slices.Sorted(maps.Keys(kinds))
	out := make([]harmless, n)
	for i := range out {
		name := names[i%len(names)]
		out[i] = harmless{name, []byte(kinds[name](&writer{rnd}))}
	}
	return out
}

// writer makes up values.
type writer struct{ *rand.Rand }

func (w *writer) of(list ...string) string { return list[w.IntN(len(list))] }
func (w *writer) id() string               { return fmt.Sprintf("%08x%08x", w.Uint32(), w.Uint32()) }
func (w *writer) bytes(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(w.Uint32())
	}
	return b
}

func (w *writer) words(n int) string {
	out := make([]string, n)
	for i := range out {
		out[i] = w.of("please", "order", "the", "blue", "table", "select", "from", "our", "new", "catalogue", "and", "or", "update", "your", "address", "where", "you",
			"live", "union", "station", "drop", "off", "time", "find", "cat", "more", "like", "this", "having", "fun", "group", "by", "team", "it's", "don't", "we're", "café", "naïve")
	}
	return strings.Join(out, " ")
}

func (w *writer) json(v any) string {
	b, _ := json.Marshal(v)
	return string(b)
}

func (w *writer) event() map[string]any {
	return map[string]any{"event": w.of("page_view", "click", "$pageview", "$identify", "timing"), "ts": 1790000000000 + w.IntN(1_000_000), "sid": w.id(),
		"props": map[string]any{"$current_url": "https://shop.example.com/list?q=" + url.QueryEscape(w.words(2)) + "&page=2", "$set_once": map[string]any{"ref": "$direct"},
			"title": w.words(4), "ua": agent, "screen": "1920x1080"}}
}

func (w *writer) code() string {
	return w.of(
		"Use `git rebase -i HEAD~3` and then\n\n```go\nfor i := range items {\n\tfmt.Println(items[i])\n}\n```\n",
		"```sql\nSELECT name, count(*) FROM orders GROUP BY name;\n```\nThis is slow, why?",
		"The fix: `if (a && b) { return x < y ? a : b; }` in utils.js; see #1234",
		"Run `npm install` & `npm run build`, it's in package.json.\n\n- [x] done\n- [ ] docs",
		"> quoted\n\n**bold** _it_ [link](https://example.com/a?b=c&d=e) <br> done",
		"The regex `^\\d{1,3}(,\\d{3})*$` doesn't match 1000; use {0,} or {1,6} instead.",
		"I don't think $foo->bar() returns null; it's \"undefined\"; see docs/README.md (section 2).",
	)
}

// benignKinds are generators by kind.
func benignKinds() map[string]func(w *writer) string {
	return map[string]func(w *writer) string{
		"telemetry as text/plain": func(w *writer) string {
			return postTo("/collect", "text/plain;charset=UTF-8", w.json(map[string]any{"batch": []any{w.event(), w.event()}}))
		},
		"ndjson": func(w *writer) string {
			return postTo("/bulk", "application/x-ndjson", w.json(w.event())+"\n"+w.json(w.event())+"\n")
		},
		"base64 body": func(w *writer) string {
			return postTo("/log", "text/plain", base64.StdEncoding.EncodeToString(w.bytes(300+w.IntN(300))))
		},
		"base64 parameter": func(w *writer) string {
			return get("/t?data="+url.QueryEscape(base64.StdEncoding.EncodeToString([]byte(w.json(w.event())))), "")
		},
		"protobuf": func(w *writer) string { return postTo("/v1/traces", "application/x-protobuf", string(w.bytes(400))) },
		"search with punctuation": func(w *writer) string {
			return get("/search?q="+url.QueryEscape(w.of("what's new? (2024)", "C++ & C#: which?", "rock'n'roll / pop", "50% off! \"best\" deals", "select * vs select columns", "how to use union in sql",
				"<3 gifts", "a/b testing; pros & cons", "O'Reilly \"SQL\" book", "time to go; find more", "size:>10 color:red|blue", "price < 100 and rating > 4", "cat food & dog food", "id cards"))+"&sort=-price", "")
		},
		"markdown and code": func(w *writer) string {
			return postTo("/comments", "application/json", w.json(map[string]any{"body": w.code() + "\n" + w.words(6)}))
		},
		"comment form": func(w *writer) string {
			return postTo("/comments", "application/x-www-form-urlencoded", "name="+url.QueryEscape(w.of("O'Brien", "Anne-Marie", "D'Angelo & Sons", "Müller"))+"&text="+url.QueryEscape(w.words(12)+w.of("!", "?", " :-)", " ...", " (thanks; bye)")))
		},
		"jwt and analytics cookies": func(w *writer) string {
			token := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"RS256","typ":"JWT"}`)) + "." +
				base64.RawURLEncoding.EncodeToString([]byte(w.json(map[string]any{"sub": w.id(), "email": "o'brien@example.com", "scope": "openid profile", "iss": "https://id.example.com/"}))) + "." +
				base64.RawURLEncoding.EncodeToString(w.bytes(64))
			return get("/account", "Authorization: Bearer "+token+"\r\nCookie: _ga=GA1.2."+w.id()+"; _gid=GA1.2.1; token="+token+"; OptanonConsent=isGpcEnabled=0&datestamp=Mon+Jul+03+2023+19%3A34%3A24+GMT%2B0800&version=6.21.0&groups=C0001%3A1%2CC0002%3A0; prefs=%7B%22theme%22%3A%22dark%22%2C%22q%22%3A%22it%27s%22%7D\r\n")
		},
		"tracking address": func(w *writer) string {
			inner := "https://shop.example.com/p?id=" + w.id() + "&utm_source=mail&utm_campaign=" + url.QueryEscape(w.words(3)) + "&cb=" + url.QueryEscape("https://a.example/x?y=z&t=1")
			return get("/r?u="+url.QueryEscape(inner)+"&ref="+url.QueryEscape("https://www.example.com/search?q="+url.QueryEscape(w.words(3)))+"&e="+w.id(), "")
		},
		"graphql": func(w *writer) string {
			return postTo("/graphql", "application/json", w.json(map[string]any{"operationName": "Items", "variables": map[string]any{"first": 10, "filter": map[string]any{"name_contains": w.words(2)}},
				"query": "query Items($first: Int!, $filter: ItemFilter) {\n  items(first: $first, filter: $filter) {\n    id\n    url\n    name @include(if: true)\n    ... on Book { author { name } }\n  }\n}\n"}))
		},
		"profile with apostrophes": func(w *writer) string {
			return postTo("/profile", "application/json", w.json(map[string]any{"email": w.of("conan.o'brien@example.com", "a+b@example.com"), "name": "Seán O'Neill", "about": w.words(10) + "; " + w.words(3), "phone": "+44 (0)20 7946 0958"}))
		},
		"json in a parameter": func(w *writer) string {
			return get("/api/list?filter="+url.QueryEscape(w.json(map[string]any{"where": map[string]any{"price": map[string]any{"lt": 100}}, "order": []string{"price DESC", "name"}, "q": w.words(2)}))+"&range="+url.QueryEscape("[0,24]"), "")
		},
		"signed address": func(w *writer) string {
			return get("/files/report.pdf?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential="+url.QueryEscape("AKIA/20240101/eu-west-1/s3/aws4_request")+"&X-Amz-Signature="+w.id()+w.id()+"&response-content-disposition="+url.QueryEscape(`attachment; filename="report (1).pdf"`), "")
		},
		"csp report": func(w *writer) string {
			return postTo("/csp", "application/csp-report", w.json(map[string]any{"csp-report": map[string]any{"document-uri": "https://shop.example.com/list?q=" + url.QueryEscape(w.words(2)),
				"violated-directive": "script-src-elem", "original-policy": "default-src 'self'; script-src 'self' 'unsafe-inline' https://*.example.com; img-src data: *", "blocked-uri": "inline"}}))
		},
		"network error log": func(w *writer) string {
			return postTo("/nel", "application/reports+json", w.json([]any{map[string]any{"age": 1, "type": "network-error", "url": "https://shop.example.com/a?b=c&d=e", "body": map[string]any{"phase": "application", "type": "http.error", "status_code": 404}}}))
		},
		"sentry envelope": func(w *writer) string {
			return postTo("/api/1/envelope/", "text/plain;charset=UTF-8", w.json(map[string]any{"event_id": w.id(), "sdk": map[string]any{"name": "sentry.javascript.browser"}})+"\n"+w.json(map[string]any{"type": "event"})+"\n"+
				w.json(map[string]any{"exception": map[string]any{"values": []any{map[string]any{"type": "TypeError", "value": "Cannot read properties of undefined (reading 'map')",
					"stacktrace": map[string]any{"frames": []any{map[string]any{"filename": "https://shop.example.com/static/js/main.a1b2.js", "function": "Object.$g", "lineno": 1, "colno": 44123}, map[string]any{"function": "<anonymous>", "filename": "node_modules/react-dom/cjs/react-dom.js"}}}}}},
					"breadcrumbs": []any{map[string]any{"category": "ui.click", "message": "div.list > ul > li[class=\"item\"] > button#buy"}, map[string]any{"category": "console", "message": "[vue] it's slow; see docs"}}})+"\n")
		},
		"page of a shop": func(w *writer) string {
			return get("/shop/"+w.of("shoes", "bin/liner", "etc", "home & garden", "women's")[:3]+"/item-"+w.id()+".html?color=blue&size=10%2F12", "Referer: https://www.google.com/search?q="+url.QueryEscape(w.words(3))+"&oq=it%27s&sourceid=chrome&ie=UTF-8\r\nX-Requested-With: XMLHttpRequest\r\n")
		},
		"upload": func(w *writer) string {
			return postTo("/upload", "multipart/form-data; boundary=XbX", "--XbX\r\nContent-Disposition: form-data; name=\"title\"\r\n\r\n"+w.words(4)+"\r\n--XbX\r\nContent-Disposition: form-data; name=\"file\"; filename=\"holiday (1).final.jpg\"\r\nContent-Type: image/jpeg\r\n\r\n"+string(w.bytes(2000))+"\r\n--XbX--\r\n")
		},
		"soap": func(w *writer) string {
			return postTo("/ws", "text/xml; charset=utf-8", `<?xml version="1.0"?><soap:Envelope xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/"><soap:Body><note lang="en">`+strings.ReplaceAll(w.words(8), "'", "&apos;")+`</note></soap:Body></soap:Envelope>`)
		},
	}
}

func benignPart(profile string) error {
	all := benign(3000)
	raws := make([][]byte, len(all))
	for i := range all {
		raws[i] = all[i].raw
	}
	counts := map[string]map[string]*tally{}
	rules := map[int]int{}
	profiles := slices.Compact([]string{"crs", profile})
	for _, p := range profiles {
		j, err := newJudge(p)
		if err != nil {
			return err
		}
		verdicts := judgeAll(j, raws)
		j.Close()
		for i, b := range all {
			for _, kind := range []string{b.kind, "all"} {
				if counts[kind] == nil {
					counts[kind] = map[string]*tally{"crs": {}, profile: {}}
				}
				counts[kind][p].add(outcomeOf(verdicts[i]))
			}
			if p == profile && outcomeOf(verdicts[i]) != passed {
				for _, id := range verdicts[i].Rules {
					rules[id]++
				}
			}
		}
	}
	fmt.Printf("harmless requests of our own, stopped         crs %%  %9s %%  requests\n", profile)
	for _, kind := range slices.Sorted(maps.Keys(counts)) {
		c := counts[kind]
		fmt.Printf("  %-40s %7.1f %12.1f %9d\n", kind, percent(c["crs"].denied+c["crs"].malformed, c["crs"].all), percent(c[profile].denied+c[profile].malformed, c[profile].all), c[profile].all)
	}
	fmt.Printf("top rules behind them: %s\n\n", top(rules, 12))
	return nil
}
