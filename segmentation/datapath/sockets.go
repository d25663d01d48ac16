package datapath

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/cilium/ebpf"

	"github.com/gabion-io/gabion/segmentation/flowlog"
)

// socketHooks are where a process is still known when it opens a flow.
var socketHooks = []hook{
	{"on_connect4", ebpf.AttachCGroupInet4Connect},
	{"on_connect6", ebpf.AttachCGroupInet6Connect},
	{"on_sendmsg4", ebpf.AttachCGroupUDP4Sendmsg},
	{"on_sendmsg6", ebpf.AttachCGroupUDP6Sendmsg},
}

// WatchSockets remembers for every socket below a cgroup (of the v2 hierarchy) which
// process connected it. It is pinned: who opened a flow is known also of flows that
// began while no agent ran. What is judged is only the connecting of processes whose
// cgroup is a workload.
func (d *Datapath) WatchSockets(cgroup string) error {
	return d.attachHooks("sockets", cgroup, socketHooks)
}

// Sockets opens what WatchSockets remembers, of the datapath whose pins are below a
// directory.
func Sockets(dir string) (*flowlog.Sockets, error) {
	m, err := ebpf.LoadPinnedMap(filepath.Join(layoutDir(dir, layout), "sockets"), &ebpf.LoadPinOptions{ReadOnly: true})
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
