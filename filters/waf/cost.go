package waf

import "time"

// Measured with BenchmarkForms and BenchmarkLargeBodies on one busy core, every
// value new.
const (
	costOfPhase = 200 * time.Microsecond
	costOfByte  = 180 * time.Nanosecond
	costOfValue = 4 * time.Microsecond
)

// Cost estimates how long a phase takes that looks at so many bytes in so many
// values.
func Cost(bytes, values int64) time.Duration {
	return costOfPhase + time.Duration(bytes)*costOfByte + time.Duration(values)*costOfValue
}
