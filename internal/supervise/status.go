package supervise

import "time"

// State is where a child is in its life.
type State string

// The states, in the order of a life.
const (
	Starting State = "starting"
	Running  State = "running" // ready
	Waiting  State = "waiting" // for its back-off delay to pass
	Draining State = "draining"
	Stopped  State = "stopped" // by Stop, or ended and not to be restarted
)

// Status is a child at one moment.
type Status struct {
	Name     string    `json:"name"`
	State    State     `json:"state"`
	PID      int       `json:"pid,omitempty"` // 0 when no process runs
	Restarts int       `json:"restarts"`
	Since    time.Time `json:"since"`              // when State was entered
	LastExit string    `json:"lastExit,omitempty"` // "exit status 1", "signal: killed"
}
