package proposal

import (
	"fmt"
	"sync"

	"github.com/gabion-io/gabion/filters"
	"github.com/gabion-io/gabion/filters/chain"
	"github.com/gabion-io/gabion/internal/recording"
)

// judges compiles each distinct policy once for the length of one piece of work.
type judges struct {
	mu   sync.Mutex
	made map[string]*chain.Judge
	err  map[string]error
}

func newJudges() *judges {
	return &judges{made: map[string]*chain.Judge{}, err: map[string]error{}}
}

func (j *judges) of(p filters.Policy) (*chain.Judge, error) {
	id := filters.PolicyID(p)
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := j.err[id]; err != nil {
		return nil, err
	}
	if judge := j.made[id]; judge != nil {
		return judge, nil
	}
	judge, err := chain.NewJudge(p, chain.Options{})
	if err != nil {
		j.err[id] = fmt.Errorf("compile policy %s: %w", id, err)
		return nil, j.err[id]
	}
	j.made[id] = judge
	return judge, nil
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
	if found, has := table.Policies[binding.Policy]; has && found.Mode != filters.ModeOff {
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
func (j *judges) decide(p *filters.Policy, x *recording.Exchange) (chain.Verdict, error) {
	if p == nil {
		return chain.Verdict{Decision: filters.Allow}, nil
	}
	judge, err := j.of(*p)
	if err != nil {
		return chain.Verdict{}, err
	}
	v := judge.Decide(message(x))
	if v.Event != nil && v.Event.Engine == "chain" && failed(v.Event.Reason) {
		return chain.Verdict{}, fmt.Errorf("judge exchange %s: %s", x.ID, v.Event.Reason)
	}
	return v, nil
}

func message(x *recording.Exchange) chain.Message {
	m := chain.Message{
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
		(x.Response.Status == 0 || enough(p.ResponseBody, x.ResponseBody, x.ResponseBodyTruncated))
}

func enough(b filters.BodyInspection, kept []byte, truncated bool) bool {
	return !truncated || !b.Inspect || int64(len(kept)) > max(b.Limit, b.StructuredLimit)
}
