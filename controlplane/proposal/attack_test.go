package proposal

import (
	"strings"
	"testing"

	wafrules "github.com/gabion-io/gabion/waf-rules"
)

func TestMovedAttacksFallUnderTheExclusion(t *testing.T) {
	post := wafrules.AttackRequest{Method: "POST", Target: "/post", Version: "HTTP/1.1", Body: []byte("a=%3Cscript%3E&b=2"), Headers: []wafrules.AttackHeader{
		{Name: "Host", Value: "localhost"}, {Name: "User-Agent", Value: "OWASP CRS test agent"}, {Name: "Content-Type", Value: formType}}}
	query := wafrules.AttackRequest{Method: "GET", Target: "/get?x=1%27%20or%201", Version: "HTTP/1.1", Headers: []wafrules.AttackHeader{{Name: "Host", Value: "localhost"}, {Name: "Referer", Value: "http://e/?q=<svg>"}}}
	traversal := wafrules.AttackRequest{Method: "GET", Target: "/get/../../etc/passwd", Version: "HTTP/1.1"}
	encoded := wafrules.AttackRequest{Encoded: []byte("GET / HTTP/1.1\r\nHost: localhost\r\nCookie: a=b\r\n\r\n")}
	for name, c := range map[string]struct {
		r    wafrules.AttackRequest
		x    wafrules.Exclusion
		want []string // the beginning of each, in order
	}{
		"an argument": {query, wafrules.Exclusion{Target: "ARGS:q", Method: "GET", Host: "*.example.com", Path: "/search"},
			[]string{"GET /search?q=1%27+or+1 HTTP/1.1\r\nHost: www.example.com\r\n", "GET /search?q=http%3A%2F%2Fe%2F%3Fq%3D%3Csvg%3E "}},
		"a form field": {post, wafrules.Exclusion{Target: "ARGS_POST:text", Path: "/a b"},
			[]string{"POST /a%20b HTTP/1.1\r\n", "POST /a%20b HTTP/1.1\r\n"}},
		"a JSON field": {query, wafrules.Exclusion{Target: `ARGS:/^json\.items\.[0-9]+\.name$/`, Method: "PUT", Path: "/o"},
			[]string{"PUT /o HTTP/1.1\r\n", "PUT /o HTTP/1.1\r\n"}},
		"any argument": {query, wafrules.Exclusion{Target: "ARGS", Path: "/s/*"},
			[]string{"GET /s/get?x=1%27%20or%201 ", "GET /s/?q=1%27+or+1 ", "GET /s/?q=http"}},
		"a header":                    {query, wafrules.Exclusion{Target: "REQUEST_HEADERS:referer"}, []string{"GET / HTTP/1.1\r\n", "GET / HTTP/1.1\r\n"}},
		"the path cannot be moved":    {traversal, wafrules.Exclusion{Path: "/search"}, nil},
		"the path can be put below":   {traversal, wafrules.Exclusion{Path: "/files/*"}, []string{"GET /files/get/../../etc/passwd "}},
		"bytes":                       {encoded, wafrules.Exclusion{Path: "/s", Host: "h", Method: "PUT"}, []string{"PUT /s HTTP/1.1\r\nHost: h\r\nCookie: a=b\r\n\r\n"}},
		"a place outside of requests": {query, wafrules.Exclusion{Target: "RESPONSE_BODY:x"}, nil},
	} {
		var got []string
		for _, raw := range Placed(&c.r, c.x) {
			got = append(got, string(raw))
		}
		if len(got) != len(c.want) {
			t.Errorf("%s: %d requests, want %d: %q", name, len(got), len(c.want), got)
			continue
		}
		for i := range got {
			if !strings.HasPrefix(got[i], c.want[i]) {
				t.Errorf("%s: %q", name, got[i])
			}
		}
	}
	if raw := Placed(&query, wafrules.Exclusion{Target: `ARGS:/^json\.items\.[0-9]+\.name$/`, Method: "PUT", Path: "/o"})[0]; !strings.HasSuffix(string(raw), `{"items":[{"name":"1' or 1"}]}`) {
		t.Errorf("JSON body of %q", raw)
	}
}

func FuzzMoved(f *testing.F) {
	f.Add("GET", "/a?b=c", "x=y", "ARGS:q", "/s/*", "*.example.com")
	f.Add("POST", "/%2e%2e/", "{\"a\":[1]}", "REQUEST_HEADERS:/^x$/", "/", "")
	f.Fuzz(func(t *testing.T, method, target, body, variable, path, host string) {
		for _, encoded := range [][]byte{nil, []byte(method + " " + target + " " + body)} {
			r := wafrules.AttackRequest{Method: method, Target: target, Version: "HTTP/1.1", Body: []byte(body), Encoded: encoded,
				Headers: []wafrules.AttackHeader{{Name: "Content-Type", Value: "application/json"}, {Name: "Cookie", Value: body}}}
			if got := Placed(&r, wafrules.Exclusion{Rule: 1, Target: variable, Path: path, Host: host, Method: method}); len(got) > maxVariants {
				t.Fatalf("%d variants", len(got))
			}
		}
	})
}
