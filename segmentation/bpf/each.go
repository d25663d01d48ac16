package bpf

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
)

// Each visits the entries of a table, which are read many at a time. What comes or goes
// meanwhile is visited or not.
func Each[K, V any](m *ebpf.Map, visit func(K, V)) error {
	const batch = 2048
	keys, values := make([]K, batch), make([]V, batch)
	var cursor ebpf.MapBatchCursor
	for {
		n, err := m.BatchLookup(&cursor, keys, values, nil)
		for i := range n {
			visit(keys[i], values[i])
		}
		if errors.Is(err, ebpf.ErrKeyNotExist) {
			return nil
		} else if err != nil {
			return fmt.Errorf("read entries: %w", err)
		}
	}
}
