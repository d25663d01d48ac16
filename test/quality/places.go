package main

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"net/url"
	"strings"
)

// place puts a payload somewhere into an otherwise harmless request. ok is false
// when the payload cannot stand there: a header cannot hold a line break.
type place struct {
	name string
	put  func(payload string) (raw string, ok bool)
}

func places() []place {
	return []place{
		{"query", func(p string) (string, bool) { return get("/search?q="+url.QueryEscape(p)+"&page=2", ""), true }},
		{"form", func(p string) (string, bool) {
			return post("application/x-www-form-urlencoded", "name=Ann&comment="+url.QueryEscape(p)), true
		}},
		{"json value", func(p string) (string, bool) { return jsonBody(map[string]any{"id": 7, "note": p}), true }},
		{"json key", func(p string) (string, bool) { return jsonBody(map[string]any{"id": 7, p: "x"}), true }},
		{"cookie", func(p string) (string, bool) {
			return get("/", "Cookie: theme=dark; pref="+strings.ReplaceAll(url.QueryEscape(p), "+", "%20")+"\r\n"), true
		}},
		{"referer", func(p string) (string, bool) {
			return get("/", "Referer: http://shop.example.com/list?q="+url.QueryEscape(p)+"\r\n"), true
		}},
		{"user-agent", func(p string) (string, bool) { return header("User-Agent", p) }},
		{"x-header", func(p string) (string, bool) { return header("X-Api-Version", p) }},
		{"xml text", func(p string) (string, bool) { return xmlBody("<order><note>%s</note></order>", p) }},
		{"xml attribute", func(p string) (string, bool) { return xmlBody(`<order note="%s"/>`, p) }},
		{"graphql variable", func(p string) (string, bool) {
			return jsonBody(map[string]any{"operationName": "Find", "query": "query Find($q: String) { items(q: $q) { id name } }", "variables": map[string]any{"q": p}}), true
		}},
		{"multipart field", func(p string) (string, bool) {
			return parts("Content-Disposition: form-data; name=\"title\"\r\n\r\n" + p), true
		}},
		{"file name", func(p string) (string, bool) {
			if strings.ContainsAny(p, "\r\n") {
				return "", false
			}
			name := strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(p)
			return parts("Content-Disposition: form-data; name=\"file\"; filename=\"" + name + "\"\r\nContent-Type: text/plain\r\n\r\nhello"), true
		}},
		{"path segment", func(p string) (string, bool) { return get("/items/"+url.PathEscape(p)+"/view", ""), true }},
	}
}

const agent = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36"

func get(target, headers string) string {
	if !strings.Contains(headers, "User-Agent:") {
		headers = "User-Agent: " + agent + "\r\n" + headers
	}
	return "GET " + target + " HTTP/1.1\r\nHost: shop.example.com\r\nAccept: text/html\r\n" + headers + "\r\n"
}

func post(contentType, body string) string { return postTo("/api/items", contentType, body) }

func postTo(target, contentType, body string) string {
	if contentType != "" {
		contentType = "Content-Type: " + contentType + "\r\n"
	}
	return fmt.Sprintf("POST %s HTTP/1.1\r\nHost: shop.example.com\r\nUser-Agent: %s\r\nAccept: */*\r\n%sContent-Length: %d\r\n\r\n%s",
		target, agent, contentType, len(body), body)
}

func header(name, p string) (string, bool) {
	p = strings.TrimSpace(p)
	for i := range len(p) {
		if p[i] < ' ' && p[i] != '\t' || p[i] == 0x7f {
			return "", false
		}
	}
	return get("/", name+": "+p+"\r\n"), p != ""
}

func jsonBody(v any) string {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(v)
	return post("application/json", b.String())
}

func xmlBody(format, p string) (string, bool) {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(p))
	return post("application/xml", `<?xml version="1.0"?>`+fmt.Sprintf(format, b.String())), true
}

func parts(part string) string {
	return post("multipart/form-data; boundary=XbX", "--XbX\r\nContent-Disposition: form-data; name=\"id\"\r\n\r\n7\r\n--XbX\r\n"+part+"\r\n--XbX--\r\n")
}
