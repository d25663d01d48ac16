package chain

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/gabion-io/gabion/filters"
	"github.com/gabion-io/gabion/internal/rawhttp"
)

// Message and Verdict are the filter's words for what is judged outside a proxy.
type (
	Message = filters.Message
	Verdict = filters.Verdict
)

// Judge is one policy compiled for use outside a proxy: rehearsals and checks
// go through exactly the path live requests take. Safe for concurrent use.
type Judge struct {
	runtime *Runtime
	table   *Table
}

// judgeKey is the only binding of a Judge's table.
const judgeKey = "judge"

// NewJudge compiles p. Nothing is spooled or recorded.
func NewJudge(p filters.Policy, o Options) (*Judge, error) { return NewJudging(o).Judge(p) }

// NewJudging gives a runtime for judges: nobody waits for what it inspects, so no
// time runs out.
func NewJudging(o Options) *Runtime {
	r := NewRuntime(o)
	r.timeless = true
	return r
}

// Judge compiles p in a runtime that other judges share: its engines remember
// values together, so that what one policy was shown costs the next little.
func (r *Runtime) Judge(p filters.Policy) (*Judge, error) {
	id := filters.PolicyID(p)
	config, err := json.Marshal(filters.Table{
		Bindings: map[string]filters.Binding{judgeKey: {Policy: id}},
		Policies: map[string]filters.Policy{id: p},
		Unknown:  filters.FailClosed,
	})
	if err != nil {
		return nil, fmt.Errorf("encode policy: %w", err)
	}
	t, err := r.Load(config)
	if err != nil {
		return nil, err
	}
	return &Judge{r, t}, nil
}

// Close frees the compiled policy.
func (j *Judge) Close() { j.table.Release() }

// Decide runs one exchange through the policy.
func (j *Judge) Decide(m Message) Verdict {
	start := time.Now()
	x := j.table.Begin(judgeKey)
	shown := x.show(m)
	e := x.Complete()
	v := Verdict{Decision: filters.Allow, Status: 200, Rules: []int{}, Event: e, Micros: time.Since(start).Microseconds()}
	if m.Response != nil && shown {
		v.Status = m.Response.Status
	}
	if e == nil {
		return v
	}
	v.Decision, v.Score, v.Reason = e.Decision, e.Score, e.Reason
	if e.Decision == filters.Denied {
		v.Status = e.Status
	}
	seen := map[int]bool{}
	for _, match := range e.Matches {
		if !seen[match.Rule] {
			seen[match.Rule] = true
			v.Rules = append(v.Rules, match.Rule)
		}
	}
	return v
}

// show feeds a whole message; false when the request was denied on the way.
func (x *Exchange) show(m Message) bool {
	noBody := len(m.RequestBody) == 0 && m.RequestBytes == 0
	if x.RequestHeaders(m.Request, noBody).Do == filters.Deny {
		return false
	}
	x.req.missing = max(0, m.RequestBytes-int64(len(m.RequestBody)))
	if !noBody && x.RequestBody(m.RequestBody, true).Do == filters.Deny {
		return false
	}
	if m.Response == nil {
		return true
	}
	noBody = len(m.ResponseBody) == 0 && m.ResponseBytes == 0
	if x.ResponseHeaders(m.Response, noBody).Do == filters.Deny {
		return false
	}
	x.resp.missing = max(0, m.ResponseBytes-int64(len(m.ResponseBody)))
	return noBody || x.ResponseBody(m.ResponseBody, true).Do != filters.Deny
}

// DecideRaw runs one HTTP/1 request, bytes as on the wire. What Envoy would
// refuse as malformed is deny with status 400, and as too long a head with 431.
func (j *Judge) DecideRaw(raw []byte) Verdict {
	start := time.Now()
	req, err := rawhttp.Parse(raw)
	if err != nil {
		v := Verdict{Decision: filters.Denied, Status: 400, Rules: []int{}, Reason: err.Error(), Micros: time.Since(start).Microseconds()}
		var m *rawhttp.Malformed
		if errors.As(err, &m) {
			v.Reason = m.Error()
			if m.Status == 431 {
				v.Status = m.Status
			}
		}
		return v
	}
	return j.Decide(Message{Request: rawHead(req), RequestBody: req.Body})
}

// rawHead is the head of a raw request as a transport would show it.
func rawHead(r *rawhttp.Request) *filters.RequestHead {
	h := &filters.RequestHead{Method: r.Method, Scheme: "http", Authority: r.Authority, Path: r.Path, Proto: r.Proto,
		Headers: make([]filters.Header, 0, len(r.Headers))}
	for _, f := range r.Headers {
		h.Headers = append(h.Headers, filters.Header(f))
	}
	return h
}
