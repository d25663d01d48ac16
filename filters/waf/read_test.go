package waf

import (
	"encoding/json"
	"fmt"
	"net/url"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/gabion-io/gabion/filters"
	wafrules "github.com/gabion-io/gabion/waf-rules"
)

func TestReadings(t *testing.T) {
	for value, want := range map[string]string{
		"MSBvciAxPTEtLSA9":           "1 or 1=1-- =",
		`\x61lert\u{28}1\51`:         "alert(1)",
		"&#60;script&#62;":           "<script>",
		"plain words and 1234567890": "",
		"AbCdEfGhIjKlMnOp":           "",
	} {
		got := ""
		if r := readings(value); len(r) > 0 {
			got = r[0].text
		}
		if got != want {
			t.Errorf("readings(%q) = %q, want %q", value, got, want)
		}
	}
}

func TestKindOf(t *testing.T) {
	for _, c := range []struct {
		declared, body string
		want           bodyKind
	}{
		{"text/plain", `{"a":[1,"x"]}`, bodyJSON},
		{"application/json", `{"a":1}`, bodyEngine},
		{"application/json", `{"a":`, bodyEngine},
		{"application/x-ndjson", "{\"a\":1}\n{\"b\":2}\n", bodyLines},
		{"", "a=1&b=two", bodyForm},
		{"text/plain", "Ham & eggs; is it lunch?", bodyText},
		{"text/plain", `<Request><a b="c"/></Request>`, bodyXML},
		{"text/plain", "<script>alert(1)</script>", bodyText},
		{"application/x-protobuf", "\x0a\x03abc\x00\x01", bodyBinary},
		{"application/x-www-form-urlencoded", "a=1&b=2", bodyEngine},
	} {
		if got := kindOf(c.declared, c.body); got != c.want {
			t.Errorf("kindOf(%q, %q) = %d, want %d", c.declared, c.body, got, c.want)
		}
	}
}

// TestReadWhereFrom: an attack that is found in a decoded value is shown under
// the name an exclusion needs, and with how it was got.
func TestReadWhereFrom(t *testing.T) {
	e, err := NewCompiler().Compile(Config{Settings: wafrules.Defaults(), Limits: wafrules.Limits{RequestBody: 1 << 20}, Detect: true})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Release()
	const attack = "MScgVU5JT04gU0VMRUNUIHBhc3N3b3JkIEZST00gdXNlcnMtLSA" // 1' UNION SELECT password FROM users--
	for target, want := range map[string][2]string{
		"/?q=" + attack: {"ARGS:q", "base64"},
		"/?q=%7B%22a%22%3A%22" + attack + "%22%7D": {"ARGS:q", "base64"},
	} {
		tx := e.Begin("t")
		tx.RequestHeaders(&filters.RequestHead{Method: "GET", Scheme: "http", Authority: "a.example", Path: target, Proto: "HTTP/1.1",
			Headers: []filters.Header{{Name: "user-agent", Value: "x/1"}, {Name: "accept", Value: "*/*"}}})
		if err := tx.RequestBody(nil, false); err != nil {
			t.Fatal(err)
		}
		matches, _ := tx.Matches(10)
		if len(matches) == 0 || tx.Denial() == nil {
			t.Errorf("%s: nothing was found", target)
			continue
		}
		if m := matches[0]; m.Variable != want[0] || m.Read != want[1] {
			t.Errorf("%s: found in %s (%s), want %v", target, m.Variable, m.Read, want)
		}
		tx.Close()
	}
}

// FuzzJSONLeaves: the reader accepts what encoding/json accepts, and nothing
// else, as long as no limit is in the way.
func FuzzJSONLeaves(f *testing.F) {
	for _, s := range []string{`{"a":1}`, `[]`, `[1,]`, `{"a":"\u0041\ud83d\ude00"}`, `[1e5,-0.5,true,null]`, `{"a":{"b":[{}]}}`, "[\"\x01\"]", `{`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		leaves, ok := jsonLeaves(s, "json", 64, 10_000)
		if only := validLeaves(s, "json", 64, 10_000); only != ok {
			t.Errorf("%q: read whole %v, but valid %v", s, ok, only)
		}
		if ok && len(leaves) > 10_000 {
			t.Fatal("more leaves than allowed")
		}
		trimmed := strings.TrimLeft(s, " \t\r\n")
		if container := strings.HasPrefix(trimmed, "{") || strings.HasPrefix(trimmed, "["); container && !ok && json.Valid([]byte(s)) && len(s) < 60 {
			t.Errorf("%q is JSON", s)
		}
	})
}

// FuzzReadings: whatever a value is, reading it ends, and adds a bounded amount.
func FuzzReadings(f *testing.F) {
	for _, s := range []string{"", "a=1&b=2", "https://a.example/?x=1", `"{\"a\":1}"`, "eyJhIjoxfQ.eyJhIjoxfQ.x", "%7B%7D", `\u{110000}`, "data:text/html;base64,PHA+"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, r := range readings(s) {
			if len(r.text) > 4*len(s)+16 {
				t.Errorf("%q grew to %d bytes", s, len(r.text))
			}
		}
		pairs(s)
		productList(s)
		kindOf("text/plain", s)
		fileNames(s)
	})
}

// TestReadIsBounded: what a value is made of bears its name, and a client chooses
// how long that is.
func TestReadIsBounded(t *testing.T) {
	if testing.Short() {
		t.Skip("long under the race detector, and one goroutine")
	}
	e := engine(t, nil)
	var items []string
	for i := range 1900 {
		items = append(items, fmt.Sprintf(`"item %d"`, i))
	}
	items = append(items, `"1' UNION SELECT password FROM users-- "`)
	text := "[" + strings.Join(items, ",") + "]"
	for _, c := range []struct{ name, media, body string }{
		{"form", "application/x-www-form-urlencoded", strings.Repeat("n", 200<<10) + "=" + url.QueryEscape(text)},
		{"JSON", "application/json", `{"` + strings.Repeat("n", 200<<10) + `":` + strconv.Quote(text) + `}`},
		{"noise", "application/x-www-form-urlencoded", strings.Repeat("n", 200<<10) + "=" + strings.Repeat("%01%02%03%04some+text", 2000)},
	} {
		h := head("/a")
		h.Method = "POST"
		h.Headers = append(h.Headers, filters.Header{Name: "content-type", Value: c.media})
		tx := e.Begin("x")
		tx.RequestHeaders(h)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if err := tx.RequestBody([]byte(c.body), false); err != nil {
			t.Fatal(err)
		}
		runtime.ReadMemStats(&after)
		if used := after.TotalAlloc - before.TotalAlloc; used > 64<<20 {
			t.Errorf("%s: %d MiB for a body of %d KiB", c.name, used>>20, len(c.body)>>10)
		}
		if d := tx.Denial(); d == nil || d.Status != wafrules.BaseStatus {
			t.Errorf("%s: %+v", c.name, d)
		}
		tx.Close()
	}
}

// TestNoiseBetweenWords: what some database takes for a space hides no word.
func TestNoiseBetweenWords(t *testing.T) {
	e := engine(t, nil)
	for _, between := range []string{"%A0", "%01", "%01%02%03", "%00"} {
		path := "/a?q=" + strings.ReplaceAll("1' union select password from users -- ", " ", between)
		tx := e.Begin("x")
		tx.RequestHeaders(head(path))
		if err := tx.RequestBody(nil, false); err != nil {
			t.Fatal(err)
		}
		if tx.Denial() == nil {
			t.Errorf("%s is not found", path)
		}
		tx.Close()
	}
}

// TestTextsAsNames: however many texts stand where names belong, all are judged.
func TestTextsAsNames(t *testing.T) {
	if testing.Short() {
		t.Skip("long under the race detector, and one goroutine")
	}
	e := engine(t, nil)
	var body strings.Builder
	for i := range 1500 {
		fmt.Fprintf(&body, "a+text:+%s+%d=%d&", strings.Repeat("x", maxName), i, i)
	}
	fmt.Fprintf(&body, "a+text:+%s=%s", strings.Repeat("y", maxName), url.QueryEscape("1' union select password from users-- "))
	h := head("/a")
	h.Method = "POST"
	h.Headers = append(h.Headers, filters.Header{Name: "content-type", Value: "application/x-www-form-urlencoded"})
	for range 5 { // in the random order of a map
		tx := e.Begin("x")
		tx.RequestHeaders(h)
		if err := tx.RequestBody([]byte(body.String()), false); err != nil {
			t.Fatal(err)
		}
		if tx.Denial() == nil {
			t.Error("the attack is not found")
		}
		tx.Close()
	}
}

// TestPartsHideNothing: of however many parts a value is made, each is read.
func TestPartsHideNothing(t *testing.T) {
	if testing.Short() {
		t.Skip("long under the race detector, and one goroutine")
	}
	e := engine(t, nil)
	hidden := `"\u0027 \u0075nion \u0073elect password \u0066rom users-- "`
	for _, body := range []string{
		"q=" + url.QueryEscape("["+strings.Repeat("17,", 3000)+hidden+"]"),
		strings.Repeat("d=QWJjZGVmZ2hpamtsIG1ub3A%3D&", 2500) + "q=MScgVU5JT04gU0VMRUNUIHBhc3N3b3JkIEZST00gdXNlcnMtLSA",
	} {
		h := head("/a")
		h.Method = "POST"
		h.Headers = append(h.Headers, filters.Header{Name: "content-type", Value: "application/x-www-form-urlencoded"})
		tx := e.Begin("x")
		tx.RequestHeaders(h)
		if err := tx.RequestBody([]byte(body), false); err != nil {
			t.Fatal(err)
		}
		if tx.Denial() == nil {
			t.Errorf("%.60s is not found", body)
		}
		tx.Close()
	}
}
