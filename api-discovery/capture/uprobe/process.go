package uprobe

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// mapped is a file of which a process has code in its memory.
type mapped struct {
	path string // that leads to it, whatever the process's root is, and when it is deleted
	name string // as the process knows it
	key  fileKey
}

// fileKey is a file as it is now: a library that is written again has another.
type fileKey struct {
	device, inode uint64
	size          int64
	changed       int64
}

// maxMapped files of one process are looked at.
const maxMapped = 1024

// programsOf lists what code a process has that may know TLS: its own, and libraries
// that are called libssl.
func programsOf(pid int) (out []mapped, err error) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		return nil, fmt.Errorf("read what a process has mapped: %w", err)
	}
	defer f.Close()
	exe := fmt.Sprintf("/proc/%d/exe", pid)
	if key, ok := keyOf(exe); ok {
		name, _ := os.Readlink(exe)
		out = append(out, mapped{exe, name, key})
	}
	for _, m := range parseMaps(f) {
		if len(out) >= maxMapped {
			break
		}
		m.path = fmt.Sprintf("/proc/%d/map_files/%s", pid, m.path)
		var ok bool
		if m.key, ok = keyOf(m.path); ok {
			out = append(out, m)
		}
	}
	return out, nil
}

// parseMaps finds code of libraries called libssl (proc_pid_maps(5)). Paths are the
// ranges of addresses.
func parseMaps(r io.Reader) (out []mapped) {
	lines := bufio.NewScanner(r)
	for lines.Scan() && len(out) < maxMapped {
		fields := strings.Fields(lines.Text())
		if len(fields) < 6 || len(fields[1]) < 3 || fields[1][2] != 'x' || fields[4] == "0" {
			continue
		}
		first, last, _ := strings.Cut(fields[0], "-")
		from, err := strconv.ParseUint(first, 16, 64)
		to, err2 := strconv.ParseUint(last, 16, 64)
		if name := fields[5]; err == nil && err2 == nil && strings.HasPrefix(path.Base(name), "libssl") {
			out = append(out, mapped{path: fmt.Sprintf("%x-%x", from, to), name: name})
		}
	}
	return out
}

func keyOf(file string) (fileKey, bool) {
	var s unix.Stat_t
	if err := unix.Stat(file, &s); err != nil || s.Mode&unix.S_IFMT != unix.S_IFREG {
		return fileKey{}, false
	}
	return fileKey{s.Dev, s.Ino, s.Size, s.Mtim.Nano()}, true
}

// birth tells a process from a later one with the same number: when it began, in the
// kernel's ticks, and what it runs.
type birth struct {
	ticks uint64
	exe   fileKey
}

func birthOf(pid int) (birth, bool) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return birth{}, false
	}
	exe, ok := keyOf(fmt.Sprintf("/proc/%d/exe", pid))
	return birth{ticksOf(string(b)), exe}, ok // a kernel thread, or one that has ended, runs nothing
}

// ticksOf reads when a process began (proc_pid_stat(5), field 22). What stands in
// brackets is the process's to say.
func ticksOf(stat string) uint64 {
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	if len(fields) < 20 {
		return 0
	}
	n, _ := strconv.ParseUint(fields[19], 10, 64)
	return n
}

// cgroupOf is the path of a process's cgroup below the v2 root.
func cgroupOf(pid int) string {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(b)) {
		if path, ok := strings.CutPrefix(line, "0::"); ok {
			return strings.TrimSpace(path)
		}
	}
	return ""
}

// namespaceOf is the number of a process's network namespace.
func namespaceOf(pid string) uint64 {
	var s unix.Stat_t
	if err := unix.Stat("/proc/"+pid+"/ns/net", &s); err != nil {
		return 0
	}
	return s.Ino
}
