package main

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/gabion-io/gabion/filters"
	"github.com/gabion-io/gabion/filters/waf"
	"github.com/gabion-io/gabion/internal/rawhttp"
	wafrules "github.com/gabion-io/gabion/waf-rules"
)

func engineOf(profile string, c *waf.Compiler) (*waf.Engine, error) {
	p, err := policyOf(profile)
	if err != nil {
		return nil, err
	}
	var s wafrules.Settings
	if err := json.Unmarshal(p.WAF, &s); err != nil {
		return nil, err
	}
	return c.Compile(waf.Config{Settings: s, Limits: wafrules.Limits{RequestBody: 1 << 20}})
}

// explainFile prints what scored in one request.
func explainFile(profile, file string) error {
	raw, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	e, err := engineOf(profile, waf.NewCompiler())
	if err != nil {
		return err
	}
	lines, err := hits(e, raw)
	if err != nil {
		return err
	}
	fmt.Println(strings.Join(lines, "\n"))
	return nil
}

// hits are the matches that score, with raw values.
func hits(e *waf.Engine, raw []byte) ([]string, error) {
	r, err := rawhttp.Parse(raw)
	if err != nil {
		return nil, err
	}
	h := &filters.RequestHead{Method: r.Method, Scheme: "http", Authority: r.Authority, Path: r.Path, Proto: r.Proto}
	for _, f := range r.Headers {
		h.Headers = append(h.Headers, filters.Header(f))
	}
	t := e.Begin("explain")
	defer t.Close()
	t.RequestHeaders(h)
	if err := t.RequestBody(r.Body, false); err != nil {
		return nil, err
	}
	t.Logging()
	out := []string{fmt.Sprintf("score %d denial %+v", t.Score(), t.Denial())}
	matches, _ := t.Matches(100)
	var ids []string
	for _, m := range matches {
		ids = append(ids, fmt.Sprint(m.Rule))
		out = append(out, fmt.Sprintf("  +%d %d %s %s", m.Score, m.Rule, m.Variable, m.Message))
	}
	for _, l := range t.Hits() {
		if id, _, _ := strings.Cut(l, " "); slices.Contains(ids, id) {
			if len(l) > 300 {
				l = l[:300] + "…"
			}
			out = append(out, "    "+l)
		}
	}
	for _, l := range t.LogLines() {
		if at := strings.Index(l, "Matched Data: "); at >= 0 {
			id := ""
			if i := strings.Index(l, "[id \""); i >= 0 {
				id = l[i+5 : i+11]
			}
			out = append(out, "    data "+id+" "+l[at:min(len(l), at+160)])
		}
	}
	return out, nil
}

// listWrong explains the requests of the open half that are judged wrongly, or,
// of the harmless ones, nearly so: "near" lists those that scored at all.
func listWrong(profile, which string) error {
	samples, err := readCorpus(findCorpus())
	if err != nil {
		return err
	}
	j, err := newJudge(profile)
	if err != nil {
		return err
	}
	defer j.Close()
	e, err := engineOf(profile, waf.NewCompiler())
	if err != nil {
		return err
	}
	for _, s := range samples {
		if !tuned(s) || s.attack != (which == "misses") {
			continue
		}
		v := j.DecideRaw(s.raw)
		switch o := outcomeOf(v); {
		case which == "near":
			if o != passed || len(v.Rules) == 0 {
				continue
			}
		case s.attack && o == denied || !s.attack && o == passed:
			continue
		}
		lines, err := hits(e, s.raw)
		if err != nil {
			lines = []string{err.Error()}
		}
		fmt.Printf("%s\n%s\n", s.name, strings.Join(lines, "\n"))
	}
	return nil
}
