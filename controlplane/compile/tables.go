package compile

import (
	"encoding/json"
	"fmt"

	"github.com/gabion-io/gabion/filters"
)

// Tables reads the filter's configuration out of what was compiled, by listener.
// A listener without a filter has none.
func (r Result) Tables() (map[string]filters.Table, error) {
	out := map[string]filters.Table{}
	if r.IR == nil {
		return out, nil
	}
	for _, l := range r.IR.Listeners {
		if len(l.FilterTable) == 0 {
			continue
		}
		var t filters.Table
		if err := json.Unmarshal(l.FilterTable, &t); err != nil {
			return nil, fmt.Errorf("read the filter's table of listener %s: %w", l.Name, err)
		}
		out[l.Name] = t
	}
	return out, nil
}
