package crs

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/gabion-io/gabion/filters"
	"github.com/gabion-io/gabion/filters/chain"
)

// differs says how the verdict through Envoy is not the one of the same engine
// without Envoy; "": it is the same.
func differs(j *chain.Judge, s Seen) string {
	r, err := parseOpen(s.Request.Bytes())
	e := s.Observation.Event
	switch {
	case err != nil && e == nil:
		return ""
	case err != nil:
		return fmt.Sprintf("Envoy lets it in, but: %v", err)
	case e == nil:
		return "Envoy refuses it: " + s.Detail
	}
	r.Head.Client = netip.MustParseAddrPort("127.0.0.1:40000")
	m := chain.Message{Request: &r.Head, RequestBody: r.Body}
	m.Response, m.ResponseBody = upstreamAnswer(r)
	v := j.Decide(m)
	n := filters.Event{Decision: filters.Allow}
	if v.Event != nil {
		n = *v.Event
	}
	if n.Decision == e.Decision && n.Score == e.Score && n.OutScore == e.OutScore {
		return ""
	}
	return fmt.Sprintf("through Envoy %s, scores %d and %d, rules %v; natively %s, scores %d and %d, rules %v",
		e.Decision, e.Score, e.OutScore, e.Logged, n.Decision, n.Score, n.OutScore, v.Rules)
}

// parseOpen reads a request as the suite's listener shows it: like a listener
// of the product, but what bootstrap opens.
func parseOpen(raw []byte) (*request, error) {
	r, err := parseRaw(raw)
	if err != nil {
		return parseOdd(raw, err)
	}
	// Paths are not normalised.
	if line, _, _ := strings.Cut(string(raw), "\n"); strings.Contains(line, " /") {
		target := line[strings.Index(line, " ")+1:]
		r.Head.Path = target[:strings.LastIndex(target, " ")]
	}
	return r, nil
}

// parseOdd reads what a listener of the product refuses and this one does not:
// any method, and both ways at once to say how long a body is.
func parseOdd(raw []byte, refusal error) (*request, error) {
	if why := refusal.Error(); !strings.HasSuffix(why, "is not known") && !strings.HasSuffix(why, "both Content-Length and Transfer-Encoding") {
		return nil, refusal
	}
	r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(raw)))
	if err != nil {
		return nil, err
	}
	head := requestHead(r)
	head.Headers = slices.DeleteFunc(head.Headers, func(h filters.Header) bool { return h.Name == "connection" })
	body, err := io.ReadAll(r.Body)
	return &request{*head, body}, err
}

// upstreamAnswer is what the suite's upstream answers.
func upstreamAnswer(r *request) (*filters.ResponseHead, []byte) {
	path, _, _ := strings.Cut(r.Head.Path, "?")
	w := httptest.NewRecorder()
	Backend().ServeHTTP(w, &http.Request{Method: r.Head.Method, URL: &url.URL{Path: path}, Body: io.NopCloser(bytes.NewReader(r.Body))})
	return responseHead(w), w.Body.Bytes()
}
