package main

import (
	"embed"
	"fmt"
	"net/url"
	"path"
	"slices"
	"strings"

	wafrules "github.com/gabion-io/gabion/waf-rules"
	"github.com/gabion-io/gabion/waf-rules/regression"
)

// payloads are attacks by family, one a line. A line that begins with "pct:" is
// percent-encoded; "# " begins a comment.
//
//go:embed payloads/*.txt
var payloads embed.FS

// payload is what an attacker would put into some place of a request.
type payload struct{ family, text string }

func ownPayloads() ([]payload, error) {
	entries, err := payloads.ReadDir("payloads")
	if err != nil {
		return nil, err
	}
	var out []payload
	for _, e := range entries {
		text, err := payloads.ReadFile("payloads/" + e.Name())
		if err != nil {
			return nil, err
		}
		family := strings.TrimSuffix(e.Name(), path.Ext(e.Name()))
		for line := range strings.SplitSeq(strings.TrimRight(string(text), "\n"), "\n") {
			if strings.HasPrefix(line, "# ") || line == "" {
				continue
			}
			if encoded, ok := strings.CutPrefix(line, "pct:"); ok {
				if line, err = url.PathUnescape(encoded); err != nil {
					return nil, fmt.Errorf("%s: %q: %w", e.Name(), encoded, err)
				}
			}
			out = append(out, payload{family, line})
		}
	}
	return out, nil
}

// suitePayloads are the values of parameters in the rule set's own positive
// tests of paranoia level 1, of the rules about applications.
func suitePayloads() ([]payload, error) {
	cases, err := regression.Load()
	if err != nil {
		return nil, err
	}
	rules, err := wafrules.Catalogue(wafrules.ProfileCRS)
	if err != nil {
		return nil, err
	}
	level := map[int]int{}
	for _, r := range rules {
		level[r.ID] = r.Paranoia
	}
	seen := map[string]bool{}
	var out []payload
	for i := range cases {
		c := &cases[i]
		if !c.Attack() || c.Rule < 930000 || c.Rule >= 945000 || c.Rule/1000 == 943 || level[c.Rule] != 1 {
			continue
		}
		for _, s := range c.Stages {
			if !slices.Contains(s.Expect.IDs, c.Rule) || s.Request.Encoded != nil {
				continue
			}
			for _, v := range valuesOf(&s.Request) {
				if len(v) > 3 && !seen[v] {
					seen[v] = true
					out = append(out, payload{fmt.Sprintf("crs-%d", c.Rule/1000), v})
				}
			}
		}
	}
	return out, nil
}

// valuesOf are the decoded values of the query and of a form.
func valuesOf(r *regression.Request) (out []string) {
	_, query, _ := strings.Cut(r.Target, "?")
	texts := []string{query}
	if t, _ := r.Header("Content-Type"); strings.HasPrefix(t, "application/x-www-form-urlencoded") {
		texts = append(texts, string(r.Body))
	}
	for _, text := range texts {
		for pair := range strings.SplitSeq(text, "&") {
			_, value, _ := strings.Cut(pair, "=")
			if v, err := url.QueryUnescape(value); err == nil {
				out = append(out, v)
			}
		}
	}
	return out
}
