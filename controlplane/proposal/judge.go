package proposal

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/gabion-io/gabion/filters"
	"github.com/gabion-io/gabion/internal/recording"
)

// Judge is one policy compiled by the filter's own engine; *chain.Judge is one.
// Safe for concurrent use.
type Judge interface {
	Decide(filters.Message) filters.Verdict
	// DecideRaw judges one HTTP/1 request, bytes as on the wire; what a proxy
	// refuses as malformed is denied, without an event.
	DecideRaw([]byte) filters.Verdict
	Close()
}

// Engine compiles a policy with the filter's own code. Called again for another
// policy it should let both share what they remember.
type Engine func(filters.Policy) (Judge, error)

// verdict is what a Judge says, in the form that is compared.
type verdict struct {
	decision filters.Decision
	score    int
	rules    []int          // distinct, in order of evaluation
	event    *filters.Event // nil: no finding
}

// names are what a verdict is about: rules by their ids, and fields of operations.
func (v verdict) names() []string {
	var out []string
	for _, id := range v.rules {
		out = append(out, strconv.Itoa(id))
	}
	if v.event == nil || v.event.API == nil {
		return out
	}
	for _, x := range v.event.API.Violations {
		name := strings.TrimSpace(v.event.API.Operation + " " + x.String())
		if !x.Told && !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return out
}

func verdictOf(v filters.Verdict) verdict {
	return verdict{decision: v.Decision, score: v.Score, rules: v.Rules, event: v.Event}
}

// judges compiles each distinct policy once for the length of one piece of work.
type judges struct {
	engine Engine

	mu    sync.Mutex
	made  map[string]Judge
	err   map[string]error
	known map[*filters.Policy]Judge // those asked for by the same pointer before
}

func newJudges(engine Engine) *judges {
	return &judges{engine: engine, made: map[string]Judge{}, err: map[string]error{}, known: map[*filters.Policy]Judge{}}
}

func (j *judges) of(p *filters.Policy) (Judge, error) {
	if j.engine == nil {
		return nil, errors.New("there is no engine to judge with")
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if judge := j.known[p]; judge != nil {
		return judge, nil
	}
	id := filters.PolicyID(*p)
	if err := j.err[id]; err != nil {
		return nil, err
	}
	if judge := j.made[id]; judge != nil {
		j.remember(p, judge)
		return judge, nil
	}
	judge, err := j.engine(*p)
	if err != nil {
		j.err[id] = fmt.Errorf("compile policy %s: %w", id, err)
		return nil, j.err[id]
	}
	j.made[id] = judge
	j.remember(p, judge)
	return judge, nil
}

// remember saves hashing a policy again; j.mu is held. Callers that copy policies
// must not make it grow.
func (j *judges) remember(p *filters.Policy, judge Judge) {
	if len(j.known) < 256 {
		j.known[p] = judge
	}
}

func (j *judges) close() {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, judge := range j.made {
		judge.Close()
	}
	clear(j.made)
}

// side is one set of tables by listener: the world before, or after.
type side map[string]filters.Table

// policy finds what governs a recorded exchange; known is false when its key is
// no longer served, nil means nothing is inspected there.
func (s side) policy(listener, key string) (p *filters.Policy, known bool) {
	table, ok := s[listener]
	if !ok {
		for _, t := range s { // keys are stable, the listener may have been renamed
			if _, has := t.Bindings[key]; has {
				table, ok = t, true
				break
			}
		}
	}
	binding, has := table.Bindings[key]
	if !ok || !has {
		return nil, false
	}
	if found, has := table.Policies[binding.Policy]; has && found.Inspects() {
		return &found, true
	}
	return nil, true
}

// byID finds a policy by its content hash.
func (s side) byID(id string) *filters.Policy {
	for _, t := range s {
		if p, ok := t.Policies[id]; ok {
			return &p
		}
	}
	return nil
}

// decide judges a recorded exchange; a nil policy lets everything pass.
func (j *judges) decide(p *filters.Policy, x *recording.Exchange) (verdict, error) {
	if p == nil {
		return verdict{decision: filters.Allow}, nil
	}
	judge, err := j.of(p)
	if err != nil {
		return verdict{}, err
	}
	v := verdictOf(judge.Decide(message(x)))
	if v.event != nil && v.event.Engine == "chain" && strings.HasPrefix(v.event.Reason, "inspection failed") {
		return verdict{}, fmt.Errorf("judge exchange %s: %s", x.ID, v.event.Reason)
	}
	return v, nil
}

func message(x *recording.Exchange) filters.Message {
	m := filters.Message{
		Request: &x.Request, RequestBody: x.RequestBody,
		RequestBytes: x.RequestBodyBytes, ResponseBytes: x.ResponseBodyBytes,
	}
	if x.Response.Status != 0 {
		m.Response, m.ResponseBody = &x.Response, x.ResponseBody
	}
	return m
}

// complete reports whether enough of the bodies was kept to judge by p what was
// inspected live: either all of it, or more than is inspected at most.
func complete(p *filters.Policy, x *recording.Exchange) bool {
	if p == nil {
		return true
	}
	return enough(p.RequestBody, x.RequestBody, x.RequestBodyTruncated) &&
		(!x.RequestBodyTruncated || int64(len(x.RequestBody)) > p.APIBody()) &&
		(x.Response.Status == 0 || enough(p.ResponseBody, x.ResponseBody, x.ResponseBodyTruncated))
}

func enough(b filters.BodyInspection, kept []byte, truncated bool) bool {
	return !truncated || !b.Inspect || int64(len(kept)) > b.MostHeld()
}
