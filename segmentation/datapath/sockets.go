package datapath

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"

	"github.com/gabion-io/gabion/segmentation/flowlog"
)

// socketHooks are where a process is still known when it opens a flow.
var socketHooks = []struct {
	program string
	attach  ebpf.AttachType
}{
	{"on_connect4", ebpf.AttachCGroupInet4Connect},
	{"on_connect6", ebpf.AttachCGroupInet6Connect},
	{"on_sendmsg4", ebpf.AttachCGroupUDP4Sendmsg},
	{"on_sendmsg6", ebpf.AttachCGroupUDP6Sendmsg},
}

// WatchSockets remembers for every socket below a cgroup (of the v2 hierarchy) which
// process connected it. It is pinned: who opened a flow is known also of flows that
// began while no agent ran. It judges nothing: every call goes on.
func (d *Datapath) WatchSockets(cgroup string) error {
	dir := filepath.Join(d.dir, "sockets")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("create pin directory: %w", err)
	}
	for _, h := range socketHooks {
		if err := d.watchSocket(filepath.Join(dir, h.program), cgroup, d.Program(h.program), h.attach); err != nil {
			return fmt.Errorf("attach %s to %s: %w", h.program, cgroup, err)
		}
	}
	return nil
}

func (d *Datapath) watchSocket(pin, cgroup string, prog *ebpf.Program, at ebpf.AttachType) error {
	if old, err := link.LoadPinnedLink(pin, nil); err == nil {
		err := errors.Join(old.Update(prog), old.Close())
		if err == nil {
			return nil
		}
		// Its cgroup is gone: the pin is a husk.
		if err := os.Remove(pin); err != nil {
			return err
		}
	}
	l, err := link.AttachCgroup(link.CgroupOptions{Path: cgroup, Attach: at, Program: prog})
	if err != nil {
		return err
	}
	defer l.Close()
	return l.Pin(pin)
}

// Sockets opens what WatchSockets remembers, of the datapath whose pins are below a
// directory.
func Sockets(dir string) (*flowlog.Sockets, error) {
	m, err := ebpf.LoadPinnedMap(filepath.Join(dir, layout, "sockets"), &ebpf.LoadPinOptions{ReadOnly: true})
	if err != nil {
		return nil, fmt.Errorf("open what is known of sockets: %w", err)
	}
	return flowlog.NewSockets(m), nil
}

// ErrNoCgroup says that the v2 hierarchy is mounted nowhere.
var ErrNoCgroup = errors.New("no cgroup v2 hierarchy is mounted")

// CgroupRoot is where the v2 hierarchy is mounted.
func CgroupRoot() (string, error) {
	f, err := os.Open("/proc/self/mounts")
	if err != nil {
		return "", fmt.Errorf("find cgroups: %w", err)
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if parts := strings.Fields(s.Text()); len(parts) > 2 && parts[2] == "cgroup2" {
			return parts[1], nil
		}
	}
	return "", ErrNoCgroup
}
