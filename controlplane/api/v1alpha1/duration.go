package v1alpha1

import (
	"encoding/json"
	"fmt"
	"time"
)

// Duration is a length of time, written as "10s", "1h30m", "250ms".
type Duration time.Duration

// UnmarshalJSON reads Go's notation, of which the Gateway API's is a part.
func (d *Duration) UnmarshalJSON(data []byte) error {
	var text string
	if err := json.Unmarshal(data, &text); err != nil {
		return fmt.Errorf("%s is no duration: write it with a unit, such as 10s or 1h30m", data)
	}
	v, err := time.ParseDuration(text)
	if err != nil || v < 0 {
		return fmt.Errorf("%q is no duration: write it with a unit, such as 10s or 1h30m", text)
	}
	*d = Duration(v)
	return nil
}

// MarshalJSON writes "1h30m" rather than "1h30m0s".
func (d Duration) MarshalJSON() ([]byte, error) { return json.Marshal(d.String()) }

func (d Duration) String() string {
	text := time.Duration(d).String()
	for _, tail := range []string{"m0s", "h0m"} {
		if len(text) > len(tail) && text[len(text)-len(tail):] == tail {
			text = text[:len(text)-2]
		}
	}
	return text
}
