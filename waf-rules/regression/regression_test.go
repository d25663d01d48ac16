package regression

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestLoadSuite(t *testing.T) {
	cases, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	byID := map[string]*Case{}
	attacks, ignored := 0, 0
	for i := range cases {
		c := &cases[i]
		if byID[c.ID] != nil {
			t.Errorf("two cases %s", c.ID)
		}
		byID[c.ID] = c
		if c.Attack() {
			attacks++
		}
		if c.IgnoredUpstream != "" {
			ignored++
		}
		for _, s := range c.Stages {
			if len(s.Request.Bytes()) == 0 {
				t.Errorf("%s sends nothing", c.ID)
			}
		}
	}
	if len(cases) != 4674 || ignored != 7 {
		t.Errorf("%d cases with %d ignored, want 4674 with 7: the pinned suite changed", len(cases), ignored)
	}
	if attacks < 3500 {
		t.Errorf("only %d of %d cases are attacks", attacks, len(cases))
	}
	if got := byID["920171-2"].Stages[0].Request.Bytes(); !strings.HasPrefix(string(got), "GET / HTTP/1.1\r\n") {
		t.Errorf("encoded request decoded to %q", got)
	}
	if got := len(byID["920400-1"].Stages[0].Request.Body); got < 64200 {
		t.Errorf("920400-1 sends %d bytes, its template was not expanded", got)
	}
}

func TestRequestBytes(t *testing.T) {
	text := `
rule_id: 942100
tests:
  - test_id: 7
    stages:
      - input:
          method: POST
          uri: /post
          headers:
            Host: localhost
            X-B: 2
            X-A:
          data: a=b c&d=<e>&f
        output:
          log:
            expect_ids: [942100]
`
	cases, err := Parse("942100.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	want := "POST /post HTTP/1.1\r\nHost: localhost\r\nX-B: 2\r\nX-A: \r\n" +
		"Content-Type: application/x-www-form-urlencoded\r\nConnection: close\r\nContent-Length: 17\r\n\r\na=b+c&d=%3Ce%3E&f"
	if diff := cmp.Diff(want, string(cases[0].Stages[0].Request.Bytes())); diff != "" {
		t.Error(diff)
	}
	if cases[0].ID != "942100-7" || !cases[0].Attack() {
		t.Errorf("case is %+v", cases[0])
	}
}

func TestParseRefusesWhatItDoesNotKnow(t *testing.T) {
	for name, text := range map[string]string{
		"unknown field": "rule_id: 1\ntests: [{test_id: 1, stages: [{input: {surprise: 1}}]}]",
		"no stages":     "rule_id: 1\ntests: [{test_id: 1}]",
		"headers":       "rule_id: 1\ntests: [{test_id: 1, stages: [{input: {headers: [a]}}]}]",
		"header value":  "rule_id: 1\ntests: [{test_id: 1, stages: [{input: {headers: {a: [1]}}}]}]",
		"base64":        "rule_id: 1\ntests: [{test_id: 1, stages: [{input: {encoded_request: '***'}}]}]",
		"no yaml":       "\t{",
	} {
		if _, err := Parse("x.yaml", []byte(text)); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("rule_id: 1\ntests: [{test_id: 1, stages: [{input: {data: 'a=b'}}]}]"))
	f.Add([]byte("rule_id: 1\ntests: [{stages: [{input: {data: '{{ \"1\" | repeat 9999999 }}', headers: {Content-Type: 'multipart/form-data; b'}}}]}]"))
	f.Fuzz(func(t *testing.T, text []byte) {
		cases, err := Parse("1.yaml", text)
		if err != nil {
			return
		}
		for _, c := range cases {
			for _, s := range c.Stages {
				_ = s.Request.Bytes()
			}
		}
	})
}
