package ingest

import (
	"cmp"
	"encoding/json"
	"slices"
	"sync"
	"time"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"

	"github.com/gabion-io/gabion/filters"
)

// Effort is what the filter of one proxy last said about its rule engine.
type Effort struct {
	Proxy string    `json:"proxy"`
	At    time.Time `json:"at" doc:"when it said so"`
	filters.Effort
}

// efforts keeps the last word of each proxy.
type efforts struct {
	mu   sync.Mutex
	last map[string]Effort
}

// add replaces what the proxy said before. Numbers only come this way, and a
// bounded number of proxies.
func (s *efforts) add(proxy string, m *core.Metadata, now time.Time) {
	field, ok := m.GetFilterMetadata()[filters.MetadataNamespace].GetFields()[filters.EffortKey]
	if !ok || len(field.GetStringValue()) > 4<<10 {
		return
	}
	e := Effort{Proxy: proxy, At: now.UTC()}
	if json.Unmarshal([]byte(field.GetStringValue()), &e.Effort) != nil || !validID(e.Instance) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, known := s.last[proxy]; known || len(s.last) < maxSources {
		s.last[proxy] = e
	}
}

// Efforts lists what the filters of the proxies last said, by proxy.
func (in *Ingest) Efforts() []Effort {
	in.efforts.mu.Lock()
	defer in.efforts.mu.Unlock()
	out := []Effort{}
	for _, e := range in.efforts.last {
		out = append(out, e)
	}
	slices.SortFunc(out, func(a, b Effort) int { return cmp.Compare(a.Proxy, b.Proxy) })
	return out
}
