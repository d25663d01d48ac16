package segmentation

import "fmt"

// Verdict is what becomes of a flow. The zero value denies.
type Verdict uint8

// Verdicts, from the hardest to the mildest: of two that hold at once, the
// smaller one counts.
const (
	Denied  Verdict = iota
	Audited         // passes, but the audited policies would have denied it
	Allowed
)

// ParseVerdict reads a verdict's name.
func ParseVerdict(text string) (Verdict, error) {
	for _, v := range []Verdict{Denied, Audited, Allowed} {
		if v.String() == text {
			return v, nil
		}
	}
	return 0, fmt.Errorf("read verdict %q: it is one of allowed, audited, denied", text)
}

func (v Verdict) String() string {
	switch v {
	case Allowed:
		return "allowed"
	case Audited:
		return "audited"
	}
	return "denied"
}

// MarshalText writes String.
func (v Verdict) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// UnmarshalText reads what ParseVerdict reads.
func (v *Verdict) UnmarshalText(text []byte) (err error) {
	*v, err = ParseVerdict(string(text))
	return err
}

// Direction is seen from the workload that a policy selects.
type Direction uint8

// The two directions of a flow, by who opened it.
const (
	Ingress Direction = iota
	Egress
)

func (d Direction) String() string {
	if d == Egress {
		return "egress"
	}
	return "ingress"
}

// MarshalText writes String.
func (d Direction) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads what MarshalText writes.
func (d *Direction) UnmarshalText(text []byte) error {
	switch string(text) {
	case "ingress":
		*d = Ingress
	case "egress":
		*d = Egress
	default:
		return fmt.Errorf("read direction %q: it is one of ingress, egress", text)
	}
	return nil
}
