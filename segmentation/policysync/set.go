package policysync

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"

	"github.com/gabion-io/gabion/internal/atomicfile"
)

// set is all that a host is to enforce, by name. It is never changed.
type set map[string]Resource

// list is sorted by name.
func (s set) list() []Resource {
	return slices.SortedFunc(maps.Values(s), func(a, b Resource) int { return cmp.Compare(a.Name, b.Name) })
}

func (s set) versions() map[string]string {
	out := make(map[string]string, len(s))
	for name, r := range s {
		out[name] = r.Version
	}
	return out
}

// kept is the file's content: the last set that was confirmed, and what was taken
// back since.
type kept struct {
	Format    int        `json:"format"`
	Resources []Resource `json:"resources"`
	TakenBack *takenBack `json:"takenBack,omitempty"`
}

const fileFormat = 1

// write replaces the file whole: after a crash it holds the set before or this one.
func (s set) write(path string, taken *takenBack) error {
	b, err := json.Marshal(kept{Format: fileFormat, Resources: s.list(), TakenBack: taken})
	if err != nil {
		return err
	}
	return atomicfile.Write(path, b, 0o600)
}

// readFile reads what write wrote; nil if there is no file.
func readFile(path string) (set, *takenBack, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("read the kept policy: %w", err)
	}
	s, taken, err := parse(b)
	if err != nil {
		return nil, nil, fmt.Errorf("read the kept policy from %s: %w", path, err)
	}
	return s, taken, nil
}

func parse(text []byte) (set, *takenBack, error) {
	var k kept
	if err := json.Unmarshal(text, &k); err != nil {
		return nil, nil, err
	}
	if k.Format != fileFormat {
		return nil, nil, fmt.Errorf("format %d, want %d", k.Format, fileFormat)
	}
	s := set{}
	for _, r := range k.Resources {
		if _, twice := s[r.Name]; twice || r.Name == "" {
			return nil, nil, fmt.Errorf("resource %q stands there twice, or has no name", r.Name)
		}
		s[r.Name] = r
	}
	return s, k.TakenBack, nil
}
