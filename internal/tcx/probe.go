package tcx

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/features"
	"github.com/cilium/ebpf/link"
)

// Feature is something of the kernel that programs need.
type Feature struct {
	Name  string
	Since string // the kernel that first has it
	probe func() error
}

// Features lists what enforcing on an interface needs, the newest first.
func Features() []Feature {
	helper := func(f asm.BuiltinFunc) func() error {
		return func() error { return features.HaveProgramHelper(ebpf.SchedCLS, f) }
	}
	table := func(t ebpf.MapType) func() error {
		return func() error { return features.HaveMapType(t) }
	}
	return []Feature{
		{"programs on an interface through links (TCX)", "6.6", haveTCX},
		{"iterating over maps in a program (bpf_for_each_map_elem)", "5.13", helper(asm.FnForEachMapElem)},
		{"atomic instructions that fetch", "5.12", features.HaveV3ISA},
		{"a coarse clock (bpf_ktime_get_coarse_ns)", "5.11", helper(asm.FnKtimeGetCoarseNs)},
		{"handing packets to another namespace (bpf_redirect_peer)", "5.10", helper(asm.FnRedirectPeer)},
		{"ring buffers", "5.8", table(ebpf.RingBuf)},
		{"bounded loops", "5.3", features.HaveBoundedLoops},
		{"longest-prefix tries", "4.11", table(ebpf.LPMTrie)},
		{"maps of maps", "4.12", table(ebpf.ArrayOfMaps)},
	}
}

// CgroupFeatures lists what enforcing on processes by their cgroup needs besides.
func CgroupFeatures() []Feature {
	helper := func(t ebpf.ProgramType, f asm.BuiltinFunc) func() error {
		return func() error { return features.HaveProgramHelper(t, f) }
	}
	return []Feature{
		{"the cgroup of a packet's socket (bpf_skb_ancestor_cgroup_id)", "5.8", helper(ebpf.CGroupSKB, asm.FnSkbAncestorCgroupId)},
		{"the cgroup of who connects (bpf_get_current_ancestor_cgroup_id)", "5.7", helper(ebpf.CGroupSockAddr, asm.FnGetCurrentAncestorCgroupId)},
	}
}

func haveTCX() error {
	// Every network namespace has a loopback, with index 1.
	_, err := link.QueryPrograms(link.QueryOptions{Target: 1, Attach: ebpf.AttachTCXIngress})
	return err
}

// Lacking is what a kernel does not have.
type Lacking []Feature

func (l Lacking) Error() string {
	parts := make([]string, len(l))
	for i, f := range l {
		parts[i] = f.Name + ", in Linux since " + f.Since
	}
	return "this kernel lacks: " + strings.Join(parts, "; ")
}

// ErrPrivilege says that the process may not do this at all.
var ErrPrivilege = errors.New("it needs to run as root, or with the capabilities CAP_BPF, CAP_NET_ADMIN and CAP_SYS_ADMIN")

// Probe tries every feature. The error is ErrPrivilege or Lacking.
func Probe(list []Feature) error {
	if os.Geteuid() != 0 && !mayLoad() {
		return ErrPrivilege
	}
	var lacking Lacking
	for _, f := range list {
		err := f.probe()
		switch {
		case errors.Is(err, os.ErrPermission):
			return ErrPrivilege
		case errors.Is(err, ebpf.ErrNotSupported):
			lacking = append(lacking, f)
		case err != nil:
			return fmt.Errorf("probe %s: %w", f.Name, err)
		}
	}
	if lacking != nil {
		return lacking
	}
	return nil
}

func mayLoad() bool { return features.HaveProgramType(ebpf.SchedCLS) == nil }
