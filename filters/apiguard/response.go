package apiguard

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/gabion-io/gabion/api-discovery"
	"github.com/gabion-io/gabion/filters"
)

// answer is what an operation answers with one status, or a class of them, compiled.
type answer struct {
	status  string // "200", "2XX", "default"
	content []media
}

func (c *compiling) answers(path string, list []filters.APIResponse) (out []answer) {
	seen := map[string]bool{}
	for i, r := range list {
		at := fmt.Sprintf("%s.responses[%d]", path, i)
		if !isStatus(r.Status) {
			c.bad(at+".status", "%q is not a status such as 200, a class such as 2XX, or default", r.Status)
		}
		if seen[r.Status] {
			c.bad(at+".status", "%s is there twice", r.Status)
		}
		seen[r.Status] = true
		out = append(out, answer{r.Status, c.content(at, r.Content, false)})
	}
	return out
}

func isStatus(s string) bool {
	if s == "default" {
		return true
	}
	if len(s) != 3 || s[0] < '1' || s[0] > '5' {
		return false
	}
	_, err := strconv.Atoi(s[1:])
	return err == nil && s[1] >= '0' || s[1:] == "XX"
}

// answerOf is what an operation says of a status: what names it goes before its
// class, and that before all others. Nil: it is not declared.
func (o *operation) answerOf(status int) *answer {
	exact := strconv.Itoa(status)
	for _, want := range []string{exact, exact[:1] + "XX", "default"} {
		for i := range o.answers {
			if o.answers[i].status == want {
				return &o.answers[i]
			}
		}
	}
	return nil
}

// aside are statuses of which nothing is said: what this proxy, like any, answers by
// itself, and what has no body of its own.
func aside(status int) bool {
	switch status {
	case 206, 304, 408, 413, 429, 431, 502, 503, 504:
		return true
	}
	return status < 200 || status > 599
}

// Answers says that the response is to be shown, by Answer.
func (j *Judgement) Answers() bool {
	return j.op != nil && j.mode != filters.ModeOff && len(j.op.answers) > 0 && !j.answered
}

// Answer judges the head of the response. What is wrong with a response is told, and
// never denied: the client did nothing wrong, and the service has done its work.
func (j *Judgement) Answer(h *filters.ResponseHead) {
	if !j.Answers() {
		return
	}
	j.answered = true
	a := j.op.answerOf(h.Status)
	switch {
	case aside(h.Status), (a == nil || a.status == "default") && apidiscovery.ByProxies(h.Status):
		return // it may not be the service's
	case a == nil:
		j.tells("", fmt.Sprintf("has status %d, which is not declared", h.Status))
		return
	}
	kind, _, _ := strings.Cut(valueOf(h.Headers, "content-type"), ";")
	kind = strings.ToLower(strings.TrimSpace(kind))
	if len(a.content) == 0 || kind == "" {
		return
	}
	for i := range a.content {
		if m := &a.content[i]; fits(m.pattern, kind) {
			if m.schema != nil && isJSON(kind) {
				j.answer = m.schema
			}
			return
		}
	}
	j.tells("", "has a content type that is not declared")
}

// AwaitsAnswer says that the response's body is still to be shown, by AnswerBody.
// There may be none, or nobody who shows it.
func (j *Judgement) AwaitsAnswer() bool { return j.answer != nil }

// AnswerBody judges the whole body of the response, decoded.
func (j *Judgement) AnswerBody(b []byte) {
	s := j.answer
	if j.answer = nil; s == nil || len(b) == 0 {
		return
	}
	if s.quick.proves(b, j.guard.depth()) {
		return
	}
	v, err := parse(b, j.guard.depth())
	if err != nil {
		j.tells("", err.Error())
		return
	}
	for _, v := range s.violations(v) {
		j.tells(v.At, v.Reason)
	}
}

func (j *Judgement) tells(at, reason string) {
	j.add(0, filters.Violation{In: "response", At: at, Reason: reason, Told: true})
}
