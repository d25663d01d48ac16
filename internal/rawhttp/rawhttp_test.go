package rawhttp

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

// testCase is a raw request and what Envoy's filters are shown of it: status of
// the refusal, or "method host path [body] header: value|…".
type testCase struct{ name, raw, want string }

func cases() []testCase {
	const h = "Host: a.example\r\n"
	get := func(target string) string { return "GET " + target + " HTTP/1.1\r\n" + h + "\r\n" }
	with := func(header string) string { return "GET /x HTTP/1.1\r\n" + h + header + "\r\n\r\n" }
	host := func(host string) string { return "GET /x HTTP/1.1\r\nHost:" + host + "\r\n\r\n" }
	version := func(v string) string { return "GET /x " + v + "\r\n" + h + "\r\n" }
	post := func(header, body string) string { return "POST /x HTTP/1.1\r\n" + h + header + "\r\n\r\n" + body }
	chunked := func(body string) string { return post("Transfer-Encoding: chunked", body) }
	path := func(p string) string { return "GET a.example " + p + " []" }
	list := []testCase{
		{"plain", get("/x?y"), path("/x?y")},
		{"line feeds only", "GET /x HTTP/1.1\nHost: a\n\n", "GET a /x []"},
		{"empty lines first", "\r\n\r\n" + get("/x"), path("/x")},
		{"two spaces", "GET  /x HTTP/1.1\r\n" + h + "\r\n", path("/x")},
		{"tabs", "GET\t/x\tHTTP/1.1\r\n" + h + "\r\n", path("/x")},
		{"space at the end", "GET /x HTTP/1.1 \r\n" + h + "\r\n", path("/x")},
		{"space first", "  " + get("/x"), "400"},
		{"space in path", get("/x y"), "400"},
		{"no version", "GET /x\r\n\r\n", "400"},
		{"unknown method", "FOO /x HTTP/1.1\r\n" + h + "\r\n", "400"},
		{"method in lower case", "get /x HTTP/1.1\r\n" + h + "\r\n", "400"},
		{"bad method", "G@T /x HTTP/1.1\r\n" + h + "\r\n", "400"},
		{"PURGE", "PURGE /x HTTP/1.1\r\n" + h + "\r\n", "PURGE a.example /x []"},
		{"CONNECT", "CONNECT a.example:80 HTTP/1.1\r\n" + h + "\r\n", "CONNECT a.example:80  []"},
		{"CONNECT without port", "CONNECT a.example HTTP/1.1\r\n" + h + "\r\n", "400"},
		{"OPTIONS *", "OPTIONS * HTTP/1.1\r\n" + h + "\r\n", "404"},
		{"GET *", get("*"), "400"},
		{"relative", get("x"), "400"},
		{"query only", get("?x"), "400"},
		{"fragment", get("/x?y#z"), "400"},
		{"NUL in path", get("/x\x00"), "400"},
		{"non-ASCII in path", get("/\xc3\xa9"), "400"},
		{"HTTP/1.0", version("HTTP/1.0"), path("/x")},
		{"HTTP/4.0", version("HTTP/4.0"), path("/x")},
		{"HTTP/10.1", version("HTTP/10.1"), "400"},
		{"http/1.1", version("http/1.1"), "400"},
		{"junk version", version("JUNK/1.1"), "400"},
		{"absolute", get("http://b.example:81/x?y"), "GET b.example:81 /x?y []"},
		{"absolute without path", get("HTTP://b.example"), "GET b.example / []"},
		{"absolute with user", get("http://u:p@b.example/x"), "GET b.example /x []"},
		{"absolute with query only", get("http://b.example?x"), "404"},
		{"absolute https", get("https://b.example/x"), "403"},
		{"absolute ftp", get("ftp://b.example/x"), "400"},
		{"absolute without host", get("http:///x"), "400"},
		{"absolute bad port", get("http://q:99999/x"), "400"},
		{"no host", "GET /x HTTP/1.1\r\n\r\n", "400"},
		{"no host 1.0", "GET /x HTTP/1.0\r\n\r\n", "400"},
		{"empty host", host(""), "GET  /x []"},
		{"two hosts", "GET /x HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "GET a,b /x []"},
		{"host with space", host(" a b"), "400"},
		{"host with slash", host(" a/b"), "400"},
		{"host with percent", host(" a%00"), "GET a%00 /x []"},
		{"host with user", host(" u@a"), "GET u@a /x []"},
		{"host v6", host(" [::1]:80"), "GET [::1]:80 /x []"},
		{"folded", with("X: a\r\n  b"), path("/x") + " x: a  b"},
		{"first line folded", "GET /x HTTP/1.1\r\n Host: a\r\n\r\n", "400"},
		{"space before colon", with("X : a"), "400"},
		{"no colon", with("Xa"), "400"},
		{"empty name", with(": a"), "400"},
		{"bad name", with("X(: a"), "400"},
		{"pseudo header", with(":path: /y"), "400"},
		{"underscore", with("X_Y: a"), path("/x") + " x_y: a"},
		{"NUL in value", with("X: a\x00"), "400"},
		{"control in value", with("X: a\x01"), "400"},
		{"DEL in value", with("X: a\x7f"), "400"},
		{"high byte in value", with("X: a\xe9"), path("/x") + " x: a\xe9"},
		{"tabs in value", with("X: \ta\tb \t"), path("/x") + " x: a\tb"},
		{"CR in value", with("X: a\rb"), path("/x") + " x: ab"},
		{"empty value", with("X:"), path("/x") + " x: "},
		{"joined", with("X: 1\r\nX: 2\r\nCookie: a\r\nCookie: b\r\nContent-Type: a/b\r\nContent-Type: c/d\r\nUser-Agent: u\r\nUser-Agent: v"),
			path("/x") + " x: 1|x: 2|cookie: a|cookie: b|content-type: a/b,c/d|user-agent: u,v"},
		{"hop by hop", with("Connection: close, X-A\r\nX-A: 1\r\nX-B: 2\r\nKeep-Alive: 3\r\nProxy-Connection: y"), path("/x") + " x-b: 2"},
		{"content length", post("Content-Length: 3", "abcdef"), "POST a.example /x [abc] content-length: 3"},
		{"length padded", post("Content-Length: 0003", "abc"), "POST a.example /x [abc] content-length: 0003"},
		{"length twice", post("Content-Length: 3\r\nContent-Length: 3", "abc"), "400"},
		{"length list", post("Content-Length: 3, 3", "abc"), "400"},
		{"length signed", post("Content-Length: +3", "abc"), "400"},
		{"length empty", post("Content-Length:", "abc"), "400"},
		{"length huge", post("Content-Length: 99999999999999999999", "abc"), "400"},
		{"length missing", post("X: 1", "abc"), "POST a.example /x [] x: 1"},
		{"GET with body", with("Content-Length: 1") + "z", path("/x")[:len(path("/x"))-1] + "z] content-length: 1"},
		{"chunked", chunked("3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"), "POST a.example /x [abcde]"},
		{"chunk extension", chunked("3;a=b\r\nabc\r\n0\r\n\r\n"), "POST a.example /x [abc]"},
		{"trailers", chunked("3\r\nabc\r\n0\r\nX-T: 1\r\n\r\n"), "POST a.example /x [abc]"},
		{"chunk with line feeds", chunked("3\nabc\n0\n\n"), "400"},
		{"chunk size junk", chunked("xyz\r\nabc\r\n0\r\n\r\n"), "400"},
		{"chunk size 0x", chunked("0x3\r\nabc\r\n0\r\n\r\n"), "400"},
		{"chunk size negative", chunked("-3\r\nabc\r\n0\r\n\r\n"), "400"},
		{"chunk size huge", chunked("fffffffffffffffff\r\nabc\r\n0\r\n\r\n"), "400"},
		{"chunk size space", chunked("3 \r\nabc\r\n0\r\n\r\n"), "POST a.example /x [abc]"},
		{"chunk longer than said", chunked("3\r\nabcd\r\n0\r\n\r\n"), "POST a.example /x [abc]"},
		{"gzip", post("Transfer-Encoding: gzip", "abc"), "501"},
		{"gzip, chunked", post("Transfer-Encoding: gzip, chunked", "3\r\nabc\r\n0\r\n\r\n"), "501"},
		{"identity", post("Transfer-Encoding: identity", ""), "501"},
		{"chunked twice", post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", "0\r\n\r\n"), "501"},
		{"chunked and length", post("Transfer-Encoding: chunked\r\nContent-Length: 3", "3\r\nabc\r\n0\r\n\r\n"), "400"},
		{"upgrade h2c", with("Connection: upgrade, http2-settings\r\nUpgrade: h2c\r\nHTTP2-Settings: A"), path("/x")},
		{"connection content-length", post("Connection: content-length\r\nContent-Length: 3", "abc"), "POST a.example /x [abc]"},
		{"connection host", with("Connection: host"), "400"},
		{"folded length", post("Content-Length:\r\n 3", "abc"), "POST a.example /x [abc] content-length: 3"},
		{"folded host", "GET /x HTTP/1.1\r\nHost: a\r\n b\r\n\r\n", "400"},
		{"chunk ends in line feed", chunked("3\r\nabc\n0\r\n\r\n"), "POST a.example /x [abc]"},
		{"bad trailer", chunked("3\r\nabc\r\n0\r\nX@: 1\r\n\r\n"), "400"},
		{"upgrade other", with("Connection: upgrade\r\nUpgrade: foo"), "403"},
		{"100 headers", with(strings.TrimSuffix(strings.Repeat("X: 1\r\n", 99), "\r\n")), path("/x") + " " + strings.TrimSuffix(strings.Repeat("x: 1|", 99), "|")},
		{"101 headers", with(strings.TrimSuffix(strings.Repeat("X: 1\r\n", 100), "\r\n")), "431"},
		{"long header", with("X: " + strings.Repeat("a", 61*1024)), "431"},
		{"long target", get("/" + strings.Repeat("a", 61*1024)), "431"},
	}
	for in, out := range map[string]string{
		"/%41%2f%2F%5c%7e%zz": "/A%2f%2F%5c~%zz", "/a%2e%2e/b": "/a../b", "/a/%2E%2e/b": "/b", "/a/.": "/a/", "/a/b/..": "/a/",
		"/..": "/", "/a//../b": "/a/b", "//../b": "/b", "///": "//", "/a///": "/a/", "/a\\b": "/a/b", "/%25%32%65": "/%252e",
		"/a/..;x/b": "/b", "/a/%2e%2e;x/b": "/a/..;x/b", "/a/..%3b/b": "/a/..%3b/b", "/a/..;x?y": "/?y", "/a\\..;\\b": "/a/..;/b",
		"/a/.%2E;/..;/b": "/a/b", "/a//?b//../c": "/a/?b//../c", "/x\"<>{}|^`": "/x%22%3C%3E%7B%7D%7C%5E%60", "/a%4": "/a%4",
	} {
		list = append(list, testCase{"path " + in, get(in), path(out)})
	}
	for _, kept := range []string{"", "https://a.example", "HTTP://A.example/x?y", "ftp://a/", "h-1://a/", "a.example/x", "/x", "?", "*", "/x:y", "a@b",
		"https://a/#", "https://a?x", "https://a/x%zz", "https://a/\"q\"<x>`{|}^\\", "https://[::1]:80/", "https://-/", "https://a:0/", "/x%zz", "/~!$&'()*+,;=@",
		"https://a:65535", "https://1.2.3.4/", "https://a../", "https://a:080/", "https://[1.2.3.4]/", "https://a/##"} {
		list = append(list, testCase{"referer kept " + kept, with("Referer: " + kept), path("/x") + " referer: " + kept})
	}
	for _, removed := range []string{"https://a/?q#frag", "https://a#x", "https://a/b c", "https://a/\xc3\xa4", "https://a/\tb", "https://a:65536/", "https://a:x/", "https://a:/",
		"https://u@a/", "https://a_b/", "https://a%20/", "https://[::1/", "https://[v1.x]/", "https:///x", "https://", "https:", "http:/a", "mailto:x", "about:blank", "https://a:", "HTTPS://",
		"a:80", "1h://a/", "cat /etc/passwd", "#x", "/x#y", "<x>", "a\"b", "a`b", "a|b", "a\\b", "[a]", "a{b}", "a^b", "https://[::1%25eth0]/",
		"https://[::ffff:1.2.3.4]x/", "https://é/"} {
		list = append(list, testCase{"referer removed " + removed, with("Referer: " + removed), path("/x")})
	}
	list = append(list, testCase{"two referers", with("Referer: /x\r\nReferer: /y"), path("/x") + " referer: /x,/y"})
	return append(list, testCase{"path %00", get("/%00"), "400"}, testCase{"query %00", get("/?%00"), path("/?%00")})
}

// show writes a parsed request the way testCase.want does.
func show(raw []byte) string {
	r, err := Parse(raw)
	if err != nil {
		return fmt.Sprint(err.(*Malformed).Status)
	}
	var headers []string
	for _, f := range r.Headers {
		headers = append(headers, f.Name+": "+f.Value)
	}
	text := fmt.Sprintf("%s %s %s [%s]", r.Method, r.Authority, r.Path, r.Body)
	if len(headers) > 0 {
		text += " " + strings.Join(headers, "|")
	}
	return text
}

func TestParse(t *testing.T) {
	for _, c := range cases() {
		if got := show([]byte(c.raw)); got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

func TestIncomplete(t *testing.T) {
	full := "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"
	for i := range full {
		if _, err := Parse([]byte(full[:i])); err == nil {
			t.Errorf("%d bytes of %d are accepted", i, len(full))
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, c := range cases() {
		f.Add([]byte(c.raw))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		before := bytes.Clone(raw)
		r, err := Parse(raw)
		if !bytes.Equal(before, raw) {
			t.Fatal("input was changed")
		}
		if err != nil {
			if m, ok := err.(*Malformed); !ok || m.Reason == "" || m.Status < 400 {
				t.Fatalf("error %#v", err)
			}
			return
		}
		if !strings.HasPrefix(r.Path, "/") && r.Method != "CONNECT" {
			t.Fatalf("path %q", r.Path)
		}
		if again, m := normalise(r.Path); m == nil && strings.Contains(again, "/../") && !strings.Contains(again, "?") {
			t.Fatalf("path %q still climbs", again)
		}
	})
}
