package proposal

import "time"

// SuggestRules say what it takes before gabion suggests an exclusion by itself.
// Evidence must not be something one client can manufacture.
type SuggestRules struct {
	Since   time.Time     // events looked at; zero: the last seven days
	Clients int           // distinct clients; 0: 5
	Spread  time.Duration // between the first and the last; 0: 24 h
	Buckets int           // distinct hours with events; 0: 5
	Limit   int           // suggestions at most; 0: 20
}
