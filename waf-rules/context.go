package wafrules

import "time"

// Context is what of the policy around the settings decides whether a rule can
// do anything.
type Context struct {
	RequestBody  bool      // request bodies are inspected
	ResponseBody bool      // response bodies are inspected
	Now          time.Time // zero: nothing counts as expired
}
