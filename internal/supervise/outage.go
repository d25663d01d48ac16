package supervise

import "time"

// Outage is the time without a child that ended though nobody asked it to. A
// child that ends again before it is ready is away all the while: that is one
// outage, however often it was started.
type Outage struct {
	Name     string
	Ready    time.Time // when the process that ended began to serve
	Ended    time.Time
	Exit     string    // "exit status 2", "signal: killed"
	Fatal    string    // how a Go runtime in it said why: "fatal error: …"; empty: none did
	Back     time.Time // when the child served again; zero: not yet
	Restarts int       // of the child until now, those in vain included
}
