package waf

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/gabion-io/gabion/filters"
)

// Names that differ in case only do not hide one another's values.
func TestFormNamesInAnyCase(t *testing.T) {
	e := engine(t, nil)
	harmful := "1%27+UNION+SELECT+password+FROM+users--"
	for _, body := range []string{
		"q=" + harmful + "&Q=x", "Q=x&q=" + harmful, "q=x&Q=" + harmful + "&q=y", "%71=" + harmful + "&Q=x&&", "q=" + harmful + "&Q",
	} {
		for range 20 { // chance decided
			h := &filters.RequestHead{Method: "POST", Authority: "shop.example", Path: "/", Proto: "HTTP/1.1", Headers: []filters.Header{
				{Name: "user-agent", Value: "test"}, {Name: "accept", Value: "*/*"},
				{Name: "content-type", Value: "application/x-www-form-urlencoded"}, {Name: "content-length", Value: fmt.Sprint(len(body))}}}
			tx := e.Begin("x")
			tx.RequestHeaders(h)
			if err := tx.RequestBody([]byte(body), false); err != nil {
				t.Fatal(err)
			}
			denied := tx.Denial()
			tx.Close()
			if denied == nil {
				t.Fatalf("%s: not denied", body)
			}
		}
	}
}

func FuzzFormDecode(f *testing.F) {
	for _, s := range []string{"", "a+b", "%41", "%4", "%", "%zz%41", "%+1", "100%25"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := formDecode(s)
		if want, err := url.QueryUnescape(s); err == nil && got != want {
			t.Errorf("%q: %q, want %q", s, got, want)
		}
		if len(got) > len(s) || !strings.ContainsAny(s, "+%") && got != s {
			t.Errorf("%q: %q", s, got)
		}
	})
}
