package main

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// layout is where everything lies below one state directory. The processes of
// `gabion up` meet in these files and sockets.
type layout struct{ dir string }

func (l layout) file(parts ...string) string {
	return filepath.Join(append([]string{l.dir}, parts...)...)
}

func (l layout) adminToken() string     { return l.file("admin.token") }
func (l layout) serverURL() string      { return l.file("server.url") }
func (l layout) keys() string           { return l.file("keys") }
func (l layout) authority() string      { return l.file("keys", "ca.pem") }
func (l layout) eventSpool() string     { return l.file("spool", "events") }
func (l layout) recordSpool() string    { return l.file("spool", "recordings") }
func (l layout) operationKey() string   { return l.file("keys", "operations.key") }
func (l layout) fileRevisions() string  { return l.file("files.json") }
func (l layout) recordings() string     { return l.file("recordings") }
func (l layout) agentState() string     { return l.file("agent") }
func (l layout) filterState() string    { return l.file("filter") }
func (l layout) bootstrap() string      { return l.file("run", "envoy.json") }
func (l layout) proxyLimits() string    { return l.file("run", "proxy.json") }
func (l layout) memoryPressure() string { return l.file("run", "memory.pressure") }
func (l layout) demoAPI() string        { return l.file("run", "demo-openapi.yaml") }
func (l layout) flagResources() string  { return l.file("run", "flags.yaml") }

// sockets is the directory of the Unix sockets. A socket's path is limited to
// 107 bytes, so a deep state directory keeps its sockets in the system's
// temporary directory, under a name derived from its own.
func (l layout) sockets() string {
	dir := l.file("run")
	if len(dir) <= 80 {
		return dir
	}
	sum := sha256.Sum256([]byte(l.dir))
	return filepath.Join(os.TempDir(), "gabion-"+hex.EncodeToString(sum[:6]))
}

func (l layout) adsSocket() string    { return filepath.Join(l.sockets(), "ads.sock") }
func (l layout) envoySocket() string  { return filepath.Join(l.sockets(), "envoy.sock") }
func (l layout) agentSocket() string  { return filepath.Join(l.sockets(), "agents.sock") }
func (l layout) filterSocket() string { return filepath.Join(l.sockets(), "filter.sock") }

// openLayout makes the directory and its parts, readable by the owner only.
func openLayout(dir string) (layout, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return layout{}, err
	}
	l := layout{abs}
	for _, d := range []string{l.dir, l.keys(), l.file("run"), l.sockets(), l.eventSpool(), l.recordSpool(), l.recordings(), l.filterState(), l.agentState()} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return layout{}, withHint(fmt.Errorf("make the state directory: %w", err), "name another with --state DIR")
		}
	}
	return l, nil
}

// lock keeps two processes of the same kind off one state directory. The lock
// ends with the process, however it ends.
func (l layout) lock(name string) (release func(), err error) {
	f, err := os.OpenFile(l.file("run", name+".lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the state directory: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, withHint(fmt.Errorf("state directory %s is in use by another `gabion %s`", l.dir, name),
				"stop it, or name another directory with --state DIR")
		}
		return nil, fmt.Errorf("lock the state directory: %w", err)
	}
	return func() { f.Close() }, nil
}
