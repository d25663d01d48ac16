package agent

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/gabion-io/gabion/internal/atomicfile"
)

// The kernel goes on counting what it could not count while no agent runs: how
// much of it was told is kept in a file. One that cannot be read tells all again.

func loadLost(file string) uint64 {
	b, err := os.ReadFile(file)
	if err != nil {
		return 0
	}
	n, err := strconv.ParseUint(strings.TrimSpace(string(b)), 10, 64)
	if err != nil {
		return 0
	}
	return n
}

func saveLost(file string, n uint64) error {
	if err := atomicfile.Write(file, fmt.Appendln(nil, n), 0o600); err != nil {
		return fmt.Errorf("write count of lost flows: %w", err)
	}
	return nil
}
