// Package envoybin finds an Envoy binary that gabion can drive and says why one
// cannot be used. It is a leaf: the composition root and tests import it.
package envoybin

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"time"
)

// Major and Minor are the Envoy release whose dynamic module ABI the filter is
// built for; another minor may load it wrongly, so it is refused.
const (
	Major = 1
	Minor = 40
)

// ErrNotFound means that no Envoy was found in any of the places looked at.
var ErrNotFound = errors.New("no Envoy found")

// Binary is an Envoy that may be used.
type Binary struct {
	Path    string
	Version string // "1.40.0"
}

// Find takes the explicit path if there is one, else the first 1.40.x of: the
// environment's GABION_ENVOY, an envoy beside the running executable, the
// .tools/envoy of the working directory or one of its parents, PATH.
func Find(ctx context.Context, explicit string) (Binary, error) {
	if explicit != "" {
		return check(ctx, explicit)
	}
	var wrong error
	for _, path := range candidates() {
		b, err := check(ctx, path)
		if err == nil {
			return b, nil
		}
		if !errors.Is(err, os.ErrNotExist) && wrong == nil {
			wrong = err
		}
	}
	if wrong != nil {
		return Binary{}, wrong
	}
	return Binary{}, fmt.Errorf("%w: run `make setup`, or name one with --envoy PATH or GABION_ENVOY (version %d.%d.x)", ErrNotFound, Major, Minor)
}

// candidates lists the places to look, in order. Order is the contract.
func candidates() []string {
	var paths []string
	if p := os.Getenv("GABION_ENVOY"); p != "" {
		paths = append(paths, p)
	}
	if exe, err := os.Executable(); err == nil {
		paths = append(paths, filepath.Join(filepath.Dir(exe), "envoy"), filepath.Join(filepath.Dir(exe), "..", ".tools", "envoy", "envoy"))
	}
	if dir, err := os.Getwd(); err == nil {
		for ; ; dir = filepath.Dir(dir) {
			paths = append(paths, filepath.Join(dir, ".tools", "envoy", "envoy"))
			if dir == filepath.Dir(dir) {
				break
			}
		}
	}
	if p, err := exec.LookPath("envoy"); err == nil {
		paths = append(paths, p)
	}
	return paths
}

var versionRE = regexp.MustCompile(`version: [0-9a-f]+/(\d+)\.(\d+)\.(\d+)`)

func check(ctx context.Context, path string) (Binary, error) {
	info, err := os.Stat(path)
	if err != nil {
		return Binary{}, fmt.Errorf("look for Envoy: %w", err)
	}
	if info.IsDir() || info.Mode()&0o111 == 0 {
		return Binary{}, fmt.Errorf("use Envoy %s: not an executable file", path)
	}
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, path, "--version").CombinedOutput()
	if err != nil {
		return Binary{}, fmt.Errorf("ask %s for its version: %w", path, err)
	}
	m := versionRE.FindStringSubmatch(string(out))
	if m == nil {
		return Binary{}, fmt.Errorf("use Envoy %s: it does not look like Envoy (`%s --version` names no version)", path, path)
	}
	major, _ := strconv.Atoi(m[1])
	minor, _ := strconv.Atoi(m[2])
	version := m[1] + "." + m[2] + "." + m[3]
	if major != Major || minor != Minor {
		return Binary{}, fmt.Errorf("use Envoy %s: version %s, but the filter is built for %d.%d.x; run `make setup` or name another with --envoy PATH", path, version, Major, Minor)
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return Binary{}, err
	}
	return Binary{Path: abs, Version: version}, nil
}
