package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gabion-io/gabion/filters"
)

// What the filter does to one exchange, seen from outside, through both
// transports.
func TestFilter(t *testing.T) {
	for _, transport := range transports {
		t.Run(transport, func(t *testing.T) {
			t.Parallel()
			u := startUp(t, "--transport", transport)
			mirror := startUpstream(t, http.HandlerFunc(mirror))
			u.apply(service("mirror", mirror, "") + httpRoute("mirror", "gabion", "/mirror", "mirror", mirror))
			u.eventually("the route is in force", func() error { return u.wantStatus("/mirror", 200) })
			for _, step := range []struct {
				name string
				test func(*testing.T, *up)
			}{
				{"detect changes nothing", testDetectEqualsOff},
				{"event", testEvent},
				{"no raw value is kept", testNoRawValue},
				{"block page", testBlockPage},
				{"body limits", testBodyLimits},
				{"base rules", testBaseRules},
				{"no route", testNoRoute},
			} {
				t.Run(step.name, func(t *testing.T) { step.test(t, u.with(t)) })
			}
		})
	}
}

// with is u for a subtest.
func (u *up) with(t testing.TB) *up {
	sub := *u
	sub.t = t
	return &sub
}

// mirror answers with what arrived, as far as that is the client's doing.
func mirror(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	for _, own := range []string{"X-Request-Id", "X-Forwarded-Proto", "X-Envoy-Expected-Rq-Timeout-Ms"} {
		r.Header.Del(own)
	}
	w.Header().Set("Content-Type", "text/html")
	w.Header().Set("X-Mirror", "yes")
	fmt.Fprintf(w, "%s %s %s %q %v\n", r.Method, r.Host, r.RequestURI, body, err)
	r.Header.Write(w)
}

// raw sends bytes on a connection of their own and gives the response as text,
// without its framing and what differs between two equal requests.
func raw(t testing.TB, address, name, request string) string {
	t.Helper()
	conn, err := net.DialTimeout("tcp", address, patience)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	go io.WriteString(conn, request)
	method, _, _ := strings.Cut(request, " ")
	res, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	if err != nil {
		return err.Error() // Envoy hangs up on some: the same in every mode, then
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Errorf("%s: %s, then %v", name, res.Status, err)
	}
	for _, varying := range []string{"Date", "X-Request-Id", "X-Envoy-Upstream-Service-Time"} {
		res.Header.Del(varying)
	}
	var out strings.Builder
	fmt.Fprintln(&out, res.Proto, res.Status)
	res.Header.Write(&out)
	out.Write(body)
	return out.String()
}

// oddRequests are attacks, malformed bodies and oddities, ended by close.
func oddRequests() map[string]string {
	head := func(method, target string, more ...string) string {
		lines := append([]string{method + " " + target + " HTTP/1.1", "Host: 127.0.0.1", "Connection: close"}, more...)
		return strings.Join(lines, "\r\n") + "\r\n\r\n"
	}
	body := func(kind, text string) string {
		return head("POST", "/mirror", "Content-Type: "+kind, fmt.Sprintf("Content-Length: %d", len(text))) + text
	}
	return map[string]string{
		"attack":       head("GET", "/mirror?q=1%27%20OR%20%271%27=%271"),
		"no agent":     head("GET", "/mirror"),
		"bad escape":   head("GET", "/mirror?a=%zz%"),
		"traversal":    head("GET", "/mirror/..%2f..%2fetc/passwd?f=../../etc/passwd"),
		"slashes":      head("GET", "/mirror//a///b"),
		"method":       head("PROPFIND", "/mirror"),
		"head":         head("HEAD", "/mirror?q=<script>"),
		"log4j":        head("GET", "/mirror", "User-Agent: ${jndi:ldap://x/y}", "X-Api: \xff\xfe"),
		"bad json":     body("application/json", `{"a":`),
		"deep json":    body("application/json", strings.Repeat("[", 500)+strings.Repeat("]", 500)),
		"bad xml":      body("text/xml", `<a><b>`),
		"bad form":     body("application/x-www-form-urlencoded", "%%%=&&&=%1"),
		"bad upload":   body("multipart/form-data; boundary=x", "--x\r\nContent-Disposition: nonsense\r\n"),
		"no boundary":  body("multipart/form-data", "--x--"),
		"binary":       body("application/octet-stream", "\x00\x01\xff' OR 1=1"),
		"long":         body("text/plain", strings.Repeat("union select ", 20_000)),
		"many fields":  body("application/x-www-form-urlencoded", strings.Repeat("a=1&", 12_000)),
		"chunked":      head("POST", "/mirror", "Content-Type: application/json", "Transfer-Encoding: chunked") + "3\r\n{\"a\r\n2\r\n\":\r\n0\r\n\r\n",
		"both lengths": head("POST", "/mirror", "Content-Length: 3", "Transfer-Encoding: chunked") + "0\r\n\r\n",
		"no route":     head("GET", "/nothing/here?q=1%27%20OR%20%271%27=%271"),
	}
}

// In detect nothing the filter does changes a response: every byte is what it is
// when the filter is off.
func testDetectEqualsOff(t *testing.T, u *up) {
	answers := func(mode string) map[string]string {
		u.apply(wafMode("'"+mode+"'", "requestBody: {beyondLimit: reject}", "failureMode: closed"))
		u.eventually(mode+" is in force", func() error { return u.wantMode(mode) })
		out := map[string]string{}
		for name, request := range oddRequests() {
			out[name] = raw(t, u.listen, name, request)
		}
		return out
	}
	off, detect := answers("off"), answers("detect")
	if diff := cmp.Diff(off, detect); diff != "" {
		t.Errorf("detect is not off (-off +detect):\n%.4000s", diff)
	}
}

// wantMode sees by an event, or its absence, whether detect or off is in force.
func (u *up) wantMode(mode string) error {
	host := fmt.Sprintf("probe-%d.example.com", time.Now().UnixNano())
	if _, err := u.request("GET", sqli, "", "Host", host); err != nil {
		return err
	}
	for range 20 {
		for _, e := range u.events("--limit", "20") {
			if e.Host == host {
				if mode == "off" {
					return fmt.Errorf("still %s", e.Mode)
				}
				return nil
			}
		}
		time.Sleep(50 * time.Millisecond)
	}
	if mode == "off" {
		return nil
	}
	return fmt.Errorf("no event")
}

// An event names what caused it, and nothing a client sent.
func testEvent(t *testing.T, u *up) {
	u.inMode(t, "block")
	began := time.Now()
	if a := u.get("/mirror/shelf?q=1%27%20OR%20%271%27=%271", "Host", "event.example.com"); a.status != 403 {
		t.Fatalf("the attack got %d", a.status)
	}
	e := u.awaitEvent("the event", func(e filters.Event) bool { return e.Host == "event.example.com" })
	t.Logf("readable %s after the request was sent, at the command line", time.Since(began).Round(time.Millisecond))
	if e.Decision != filters.Denied || e.Status != 403 || e.WouldBe != 403 || e.Mode != filters.ModeBlock {
		t.Errorf("decision %s, status %d, would be %d, mode %s", e.Decision, e.Status, e.WouldBe, e.Mode)
	}
	if !strings.Contains(e.Route, "mirror") || e.Policy != "WAFPolicy default/default" || e.Path != "/mirror/shelf" || e.Method != "GET" {
		t.Errorf("route %q, policy %q, %s %s", e.Route, e.Policy, e.Method, e.Path)
	}
	found := false
	for _, m := range e.Matches {
		if m.Rule == 949110 {
			t.Error("the event names the rule that adds up, not only the ones that caused the score")
		}
		if m.Variable == "ARGS:q" && m.Value != "" {
			found = true
			if strings.Contains(m.Value, "'1'='1") {
				t.Errorf("the matched part is not redacted: %q", m.Value)
			}
		}
	}
	if !found {
		t.Errorf("no match in ARGS:q with a redacted part: %+v", e.Matches)
	}
}

// What a client sent is nowhere in the state directory: not in the database, not
// in a spool, and in recordings only sealed.
func testNoRawValue(t *testing.T, u *up) {
	const marker = "Zk7Q9mPwX2vL"
	u.inMode(t, "detect")
	u.do("POST", "/mirror/login", "user=eve&password="+marker+"%27%20OR%20%271%27=%271",
		"Content-Type", "application/x-www-form-urlencoded", "Host", "raw.example.com")
	u.get("/mirror/"+marker+"/orders?token="+marker+"&q=1%27%20OR%20%271%27=%271%20"+marker, "Host", "raw.example.com",
		"Cookie", "session="+marker, "Authorization", "Bearer "+marker, "X-Note", "<script>"+marker+"</script>")
	u.get("/mirror/49155512345678?q=1%27%20OR%20%271%27=%271", "Host", "raw.example.com") // names are kept, numbers are not
	u.eventually("the three events", func() error {
		n := 0
		for _, e := range u.events("--limit", "200") {
			if e.Host == "raw.example.com" {
				n++
			}
		}
		if n < 3 {
			return fmt.Errorf("%d", n)
		}
		return nil
	})
	for _, e := range u.events("--limit", "200") {
		if b, _ := json.Marshal(e); bytes.Contains(b, []byte(marker)) {
			t.Errorf("an event quotes a value: %s", b)
		}
	}
	for _, word := range []string{marker, "49155512345678"} {
		if files := grep(t, u.state, word); len(files) > 0 {
			t.Errorf("%s lies in %v", word, files)
		}
	}
	if log := u.log.String(); strings.Contains(log, marker) {
		t.Error("the log quotes a value")
	}
}

// grep lists the regular files below dir that hold word.
func grep(t testing.TB, dir, word string) (files []string) {
	t.Helper()
	filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return nil
		}
		if b, err := os.ReadFile(path); err == nil && bytes.Contains(b, []byte(word)) {
			rel, _ := filepath.Rel(dir, path)
			files = append(files, rel)
		}
		return nil
	})
	return files
}

// The page follows Accept and names the event.
func testBlockPage(t *testing.T, u *up) {
	u.inMode(t, "block")
	for accept, kind := range map[string]string{
		"text/html,application/xhtml+xml,*/*;q=0.8": "text/html", "application/json": "application/problem+json", "*/*": "application/problem+json",
	} {
		a := u.get(sqli, "Accept", accept, "Host", "page.example.com")
		if a.status != 403 || !strings.HasPrefix(a.header.Get("Content-Type"), kind) {
			t.Errorf("Accept %s: %d %s, want 403 %s", accept, a.status, a.header.Get("Content-Type"), kind)
		}
		id := regexp.MustCompile(`[0-9A-HJKMNP-TV-Z]{26}`).FindString(a.body)
		if id == "" {
			t.Errorf("Accept %s: the page names no event: %s", accept, a.body)
			continue
		}
		u.eventually("the event on the page", func() error {
			_, errOut, err := u.try("", "waf", "event", id)
			if err != nil {
				return fmt.Errorf("%w: %s", err, errOut)
			}
			return nil
		})
	}
	u.apply(wafMode("block", `block: {status: 418, json: '{"sorry":"{{event}}"}', html: '<p>sorry {{event}}</p>'}`))
	u.eventually("the page of the policy", func() error { return u.wantStatus(sqli, 418) })
	var page struct{ Sorry string }
	if a := u.get(sqli, "Accept", "application/json"); json.Unmarshal([]byte(a.body), &page) != nil || len(page.Sorry) != 26 {
		t.Errorf("the policy's own JSON: %s", a.body)
	}
	if a := u.get(sqli, "Accept", "text/html"); !strings.HasPrefix(a.body, "<p>sorry 0") {
		t.Errorf("the policy's own HTML: %s", a.body)
	}
}

// Beyond its limit a body is inspected in part, refused, or not inspected.
func testBodyLimits(t *testing.T, u *up) {
	attackAt := func(n int) string { return "a=" + strings.Repeat("x", n) + "&q=1'+OR+'1'='1'+--+" }
	post := func(body string) int {
		return u.do("POST", "/mirror", body, "Content-Type", "application/x-www-form-urlencoded", "Host", "limit.example.com").status
	}
	for _, c := range []struct {
		mode, beyond string
		early, late  int
	}{
		{"block", "partial", 403, 200}, {"block", "reject", 403, 413}, {"block", "pass", 403, 200}, {"detect", "reject", 200, 200},
	} {
		u.apply(wafMode(c.mode, "requestBody: {limit: 2Ki, structuredLimit: 2Ki, beyondLimit: "+c.beyond+"}"))
		what := c.mode + ", " + c.beyond
		u.eventually(what, func() error {
			if early, beyond := post(attackAt(10)), post(attackAt(8000)); early != c.early || beyond != c.late {
				return fmt.Errorf("an attack early in the body got %d, beyond the limit %d; want %d and %d", early, beyond, c.early, c.late)
			}
			return nil
		})
	}
	u.awaitEvent("an event that says the body was refused for its length", func(e filters.Event) bool {
		return e.Host == "limit.example.com" && e.Status == 413 && strings.Contains(e.Reason, "beyond")
	})
}

// Bodies that cannot be parsed are events, obey the mode, and can be excluded.
func testBaseRules(t *testing.T, u *up) {
	post := func() int {
		return u.do("POST", "/mirror", `{"a":`, "Content-Type", "application/json", "Host", "base.example.com").status
	}
	u.inMode(t, "detect")
	if got := post(); got != 200 {
		t.Errorf("detect answered a malformed body with %d", got)
	}
	u.awaitEvent("the event of the parse error", func(e filters.Event) bool {
		return e.Host == "base.example.com" && e.Decision == filters.Detect && len(e.Matches) > 0 && e.Matches[0].Rule == 200002
	})
	u.inMode(t, "block")
	if got := post(); got != 400 {
		t.Errorf("block answered a malformed body with %d, want 400", got)
	}
	u.apply(wafMode("block", "exclusions: [{rule: 200002, path: /mirror, reason: test}]"))
	u.eventually("the exclusion", func() error {
		if got := post(); got != 200 {
			return fmt.Errorf("status %d", got)
		}
		return nil
	})
}

// What matches no route is 404, also in block mode.
func testNoRoute(t *testing.T, u *up) {
	u.inMode(t, "block")
	u.apply(httpRoute("default", "gabion", "/search", "upstream", strings.TrimPrefix(u.upstream(), "http://")))
	u.eventually("no route for the rest", func() error { return u.wantStatus("/orders", 404) })
	if a := u.get("/nowhere"); a.status != 404 {
		t.Errorf("status %d", a.status)
	}
	if a := u.get(sqli); a.status != 403 {
		t.Errorf("an attack on a route got %d", a.status)
	}
}
