package reconcile

import (
	"sync"

	"github.com/gabion-io/gabion/filters"
	wafrules "github.com/gabion-io/gabion/waf-rules"
)

// checkMemory remembers the answers of the filter's own compilation by policy
// content, so that a round compiles only what is new. It keeps two generations
// of at most checkMemorySize answers; what is asked for stays.
type checkMemory struct {
	inner func(filters.Policy) []wafrules.Problem

	mu          sync.Mutex
	recent, old map[string][]wafrules.Problem
}

const checkMemorySize = 512

func newCheckMemory(inner func(filters.Policy) []wafrules.Problem) *checkMemory {
	return &checkMemory{inner: inner, recent: map[string][]wafrules.Problem{}}
}

func (m *checkMemory) check(p filters.Policy) []wafrules.Problem {
	if m.inner == nil {
		return nil
	}
	id := filters.PolicyID(p)
	m.mu.Lock()
	problems, ok := m.recent[id]
	if !ok {
		problems, ok = m.old[id]
	}
	m.mu.Unlock()
	if !ok {
		problems = m.inner(p)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.recent) >= checkMemorySize {
		m.old, m.recent = m.recent, map[string][]wafrules.Problem{}
	}
	m.recent[id] = problems
	return problems
}
