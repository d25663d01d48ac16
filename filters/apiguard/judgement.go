package apiguard

import (
	"fmt"

	"github.com/gabion-io/gabion/filters"
)

// Judgement is what is found wrong with one request, and with its response, so far.
type Judgement struct {
	guard    *Guard
	op       *operation // nil: unknown, or a preflight
	mode     filters.Mode
	media    *media  // of the body to come; nil: it is not looked at
	awaits   bool    // the body
	answered bool    // the head of the response was shown
	answer   *schema // of the response's body to come; nil: it is not looked at
	found    []filters.Violation
	more     int
	status   int // of the denial; 0: nothing to deny
	because  string
}

// Mode is the mode in force for the request's operation.
func (j *Judgement) Mode() filters.Mode { return j.mode }

// AwaitsBody says that the body is still to be shown, by Body or Unseen.
func (j *Judgement) AwaitsBody() bool { return j.awaits }

// Denial is how block mode answers: a status and a reason. 0: it does not.
func (j *Judgement) Denial() (status int, reason string) { return j.status, j.because }

// Finding is what is wrong with the request; nil when nothing is.
func (j *Judgement) Finding() *filters.APIFinding {
	if len(j.found) == 0 {
		return nil
	}
	f := &filters.APIFinding{Mode: j.mode, Violations: j.found, More: j.more}
	if j.op != nil {
		f.Operation = j.op.name
	}
	return f
}

func (j *Judgement) unknownOperation(status int, reason string) {
	if j.mode == filters.ModeOff {
		return
	}
	v := filters.Violation{In: "operation", Reason: reason}
	switch j.guard.api.UnknownOperations {
	case filters.UnknownDeny:
		j.add(status, v)
	case filters.UnknownDetect:
		v.Told = true
		j.add(status, v)
	}
}

// add notes a violation; the first that is not only told makes the denial.
func (j *Judgement) add(status int, v filters.Violation) {
	if len(j.found) < filters.MaxViolations {
		j.found = append(j.found, v)
	} else {
		j.more++
	}
	if v.Told || j.status != 0 {
		return
	}
	j.status, j.because = status, v.String()
	if j.op != nil {
		j.because = fmt.Sprintf("%s: %s", j.op.name, j.because)
	}
}

func (j *Judgement) violates(in, at, format string, args ...any) {
	j.add(400, filters.Violation{In: in, At: at, Reason: fmt.Sprintf(format, args...)})
}
