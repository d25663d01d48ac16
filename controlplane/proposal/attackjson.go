package proposal

import (
	"encoding/json"
	"maps"
	"slices"
)

// jsonPayloads gives every text in a JSON document, in the order of its keys.
func jsonPayloads(body []byte, add func(string)) {
	var doc any
	if json.Unmarshal(body, &doc) != nil {
		add(string(body))
		return
	}
	jsonTexts(doc, add)
}

func jsonTexts(v any, add func(string)) {
	switch v := v.(type) {
	case string:
		add(v)
	case []any:
		for _, e := range v {
			jsonTexts(e, add)
		}
	case map[string]any:
		for _, k := range slices.Sorted(maps.Keys(v)) {
			jsonTexts(v[k], add)
		}
	}
}
