package waf

import "time"

// Measured on one core of a 2.5 GHz server, every value new.
const (
	costOfPhase = 200 * time.Microsecond
	costOfByte  = 220 * time.Nanosecond
	costOfValue = 14 * time.Microsecond
)

// Cost estimates how long a phase takes that looks at so many bytes in so many
// values.
func Cost(bytes, values int64) time.Duration {
	return costOfPhase + time.Duration(bytes)*costOfByte + time.Duration(values)*costOfValue
}
