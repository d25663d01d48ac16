package segmentation

import "fmt"

// Mode is how far a policy may go.
type Mode uint8

// Modes, from the least to the most.
const (
	Observe Mode = iota // takes no part in any verdict
	Audit               // what it would deny passes and is recorded
	Enforce
)

// ParseMode reads a mode's name.
func ParseMode(text string) (Mode, error) {
	for _, m := range []Mode{Observe, Audit, Enforce} {
		if m.String() == text {
			return m, nil
		}
	}
	return 0, fmt.Errorf("read mode %q: it is one of observe, audit, enforce", text)
}

func (m Mode) String() string {
	switch m {
	case Audit:
		return "audit"
	case Enforce:
		return "enforce"
	}
	return "observe"
}

// MarshalText writes String.
func (m Mode) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalText reads what ParseMode reads.
func (m *Mode) UnmarshalText(text []byte) (err error) {
	*m, err = ParseMode(string(text))
	return err
}
