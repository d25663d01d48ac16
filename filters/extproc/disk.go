package extproc

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/gabion-io/gabion/internal/atomicfile"
)

// disk keeps the last good tables in one file, replaced whole: after a crash
// it holds the set before or the set after, never a mixture.
type disk struct{ dir string }

// kept is the file's content.
type kept struct {
	Format int       `json:"format"`
	Tables []shipped `json:"tables"`
}

const diskFormat = 1

func (d disk) file() string { return filepath.Join(d.dir, "tables.json") }

// probe reports early that nothing could be kept.
func (d disk) probe() error {
	if d.dir == "" {
		return nil
	}
	if err := os.MkdirAll(d.dir, 0o700); err != nil {
		return fmt.Errorf("make the filter's state directory: %w", err)
	}
	return nil
}

func (d disk) load() ([]shipped, error) {
	if d.dir == "" {
		return nil, nil
	}
	b, err := os.ReadFile(d.file())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read kept tables: %w", err)
	}
	var k kept
	if err := json.Unmarshal(b, &k); err != nil {
		return nil, fmt.Errorf("read kept tables from %s: %w", d.file(), err)
	}
	if k.Format != diskFormat {
		return nil, fmt.Errorf("read kept tables from %s: format %d, want %d", d.file(), k.Format, diskFormat)
	}
	return k.Tables, nil
}

func (d disk) save(list []shipped) error {
	if d.dir == "" {
		return nil
	}
	b, err := json.Marshal(kept{Format: diskFormat, Tables: list})
	if err != nil {
		return err
	}
	if err := atomicfile.Write(d.file(), b, 0o600); err != nil {
		return fmt.Errorf("keep tables: %w", err)
	}
	return nil
}
