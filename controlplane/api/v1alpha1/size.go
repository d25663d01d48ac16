package v1alpha1

import (
	"encoding/json"
	"fmt"
	"math"

	"k8s.io/apimachinery/pkg/api/resource"
)

// Size is a number of bytes, written as a whole number or a Kubernetes quantity
// ("128Ki", "1M").
type Size int64

// UnmarshalJSON reads a number or a quantity.
func (s *Size) UnmarshalJSON(data []byte) error {
	text := string(data)
	if len(data) > 0 && data[0] == '"' {
		if err := json.Unmarshal(data, &text); err != nil {
			return err
		}
	}
	q, err := resource.ParseQuantity(text)
	if err != nil {
		return fmt.Errorf("%s is no size: write bytes as a number or a quantity such as 128Ki", data)
	}
	n, exact := q.AsInt64()
	if !exact || n < 0 || n == math.MaxInt64 {
		return fmt.Errorf("%s is no size: it must be a whole number of bytes, not negative", data)
	}
	*s = Size(n)
	return nil
}

// MarshalJSON writes the shortest exact form: "128Ki", 1000.
func (s Size) MarshalJSON() ([]byte, error) {
	units := []string{"", "Ki", "Mi", "Gi", "Ti"}
	n, u := int64(s), 0
	for n != 0 && n%1024 == 0 && u < len(units)-1 {
		n, u = n/1024, u+1
	}
	if u == 0 {
		return json.Marshal(n)
	}
	return json.Marshal(fmt.Sprintf("%d%s", n, units[u]))
}
