package survey

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Cgroup is the number that the kernel gives a cgroup of the v2 hierarchy; a cgroup
// that is made again under the same name has another.
func Cgroup(root, path string) (uint64, error) {
	info, err := os.Stat(filepath.Join(root, path))
	if err != nil {
		return 0, fmt.Errorf("find cgroup: %w", err)
	}
	if !info.IsDir() {
		return 0, fmt.Errorf("find cgroup: %s is none", path)
	}
	return inodeOf(info), nil
}

// CgroupsBelow are the numbers of a cgroup and of all below it.
func CgroupsBelow(root, path string) map[uint64]bool {
	out := map[uint64]bool{}
	filepath.WalkDir(filepath.Join(root, path), func(_ string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return nil // it has gone meanwhile, or is a file
		}
		if info, err := d.Info(); err == nil {
			out[inodeOf(info)] = true
		}
		return nil
	})
	return out
}

// OwnCgroup is the path of the cgroup that the calling process is in, below the v2
// root.
func OwnCgroup() (string, error) {
	b, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return "", fmt.Errorf("find own cgroup: %w", err)
	}
	for line := range strings.Lines(string(b)) {
		if path, ok := strings.CutPrefix(line, "0::"); ok {
			return strings.TrimSpace(path), nil
		}
	}
	return "", nil
}
