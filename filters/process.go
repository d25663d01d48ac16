package filters

import "time"

// ProcessEngine is the engine of the events that tell of a process, not of a
// request.
const ProcessEngine = "process"

// ProcessEnd says that a process in the way of requests ended though nobody asked
// it to. Until it is back no request is judged; Event.Time is when it ended.
type ProcessEnd struct {
	Name     string    `json:"name"`            // "envoy", or "filter" beside it
	Exit     string    `json:"exit"`            // "exit status 2", "signal: killed"
	Fatal    string    `json:"fatal,omitempty"` // what the Go runtime in it said why: "fatal error: …"
	Ready    time.Time `json:"ready,omitzero"`  // since when it had served
	Back     time.Time `json:"back,omitzero"`   // when it served again; absent: not yet, as far as is known
	Restarts int       `json:"restarts"`        // how often it was started again until now, tries in vain included
}

// Away is how long nothing was judged; 0: it is not known to be back.
func (p *ProcessEnd) Away(ended time.Time) time.Duration {
	if p.Back.IsZero() {
		return 0
	}
	return p.Back.Sub(ended)
}
