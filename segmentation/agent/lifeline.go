package agent

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/gabion-io/gabion/segmentation"
	"github.com/gabion-io/gabion/workload"
)

// Lifeline is a way by which the host is looked after: a policy for a workload at
// its other end must not cut it by leaving it out.
type Lifeline struct {
	What   string // "ssh", "control-plane"
	Host   netip.Addr
	Remote netip.Addr
	Port   uint16 // where it was opened to
	In     bool   // by the remote
}

// sshPort is where people come in.
const sshPort = 22

// SSHPeers lists who is logged in over SSH at the moment, from the kernel's tables
// of connections (proc(5), /proc/net/tcp).
func SSHPeers() (out []Lifeline, err error) {
	for _, name := range []string{"/proc/self/net/tcp", "/proc/self/net/tcp6"} {
		f, err := os.Open(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue // no IPv6 here
		}
		if err != nil {
			return nil, fmt.Errorf("list connections: %w", err)
		}
		list, err := connections(f)
		f.Close()
		if err != nil {
			return nil, fmt.Errorf("list connections from %s: %w", name, err)
		}
		for _, c := range list {
			if c.local.Port() == sshPort && !c.remote.Addr().IsLoopback() {
				out = append(out, Lifeline{What: "ssh", Host: c.local.Addr(), Remote: c.remote.Addr(), Port: sshPort, In: true})
			}
		}
	}
	slices.SortFunc(out, func(a, b Lifeline) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
	return slices.Compact(out), nil
}

// ControlPlane is the way to a server, from the address that the host would use.
// Nothing is sent.
func ControlPlane(remote netip.AddrPort) (Lifeline, error) {
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(remote))
	if err != nil {
		return Lifeline{}, fmt.Errorf("find the way to %s: %w", remote, err)
	}
	defer c.Close()
	local := c.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap()
	return Lifeline{What: "control-plane", Host: local, Remote: remote.Addr().Unmap(), Port: remote.Port()}, nil
}

type connection struct{ local, remote netip.AddrPort }

// established is the state of a connection in /proc/net/tcp.
const established = "01"

// connections reads a table of TCP connections, those that are established.
func connections(r io.Reader) (out []connection, err error) {
	lines := bufio.NewScanner(r)
	lines.Scan() // the head
	for lines.Scan() {
		f := strings.Fields(lines.Text())
		if len(f) < 4 || f[3] != established {
			continue
		}
		local, err := kernelAddress(f[1])
		if err != nil {
			return nil, err
		}
		remote, err := kernelAddress(f[2])
		if err != nil {
			return nil, err
		}
		out = append(out, connection{local, remote})
	}
	return out, lines.Err()
}

// kernelAddress reads "0100007F:0016": words of four bytes in the machine's order,
// and a port.
func kernelAddress(text string) (netip.AddrPort, error) {
	address, port, ok := strings.Cut(text, ":")
	b, err := hex.DecodeString(address)
	if !ok || err != nil || len(b) != 4 && len(b) != 16 {
		return netip.AddrPort{}, fmt.Errorf("%q is no address", text)
	}
	for word := b; len(word) > 0; word = word[4:] {
		binary.NativeEndian.PutUint32(word, binary.BigEndian.Uint32(word))
	}
	n, err := strconv.ParseUint(port, 16, 16)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("%q is no address", text)
	}
	a, _ := netip.AddrFromSlice(b)
	return netip.AddrPortFrom(a.Unmap(), uint16(n)), nil
}

// Keep returns the policies that let lifelines pass: for each that ends at a
// workload which enforced policies govern, or may begin in one, an allow of just that. An explicit deny
// still beats it: then somebody has said so.
func Keep(d Desired, lines []Lifeline) (out []segmentation.Policy) {
	byAddress := map[netip.Addr]*workload.Workload{}
	var groups []*workload.Workload // that are processes of this host
	for _, w := range d.World.Workloads {
		if slices.ContainsFunc(d.Interfaces, func(i Interface) bool { return i.Cgroup != "" && i.Workload == w.ID }) {
			groups = append(groups, w)
		}
		for _, a := range w.Addresses {
			byAddress[a.Unmap()] = w
		}
	}
	for _, l := range lines {
		for _, w := range groups {
			out = append(out, l.forHost(d.Policies, w)...)
		}
		w := byAddress[l.Remote]
		direction := segmentation.Ingress
		if l.In {
			direction = segmentation.Egress // it is the workload that opens it
		}
		if w == nil || !governed(d.Policies, w, direction) {
			continue // nothing is denied: to govern it would deny the rest
		}
		out = append(out, l.allow(w, direction, l.Host))
	}
	return out
}

// forHost keeps a lifeline open where the host's own end of it may be in a workload:
// one that is processes of this host.
func (l Lifeline) forHost(policies []segmentation.Policy, w *workload.Workload) []segmentation.Policy {
	direction := segmentation.Egress
	if l.In {
		direction = segmentation.Ingress
	}
	if !governed(policies, w, direction) {
		return nil
	}
	return []segmentation.Policy{l.allow(w, direction, l.Remote)}
}

// allow is the policy that opens a workload just for a lifeline.
func (l Lifeline) allow(w *workload.Workload, d segmentation.Direction, peer netip.Addr) segmentation.Policy {
	p := segmentation.Policy{
		Name: segmentation.PolicyName{Kind: "Lifeline", ID: workload.ID{Namespace: w.ID.Namespace, Name: l.What + "-" + w.ID.Name}},
		Mode: segmentation.Enforce, Subject: segmentation.Selection{Namespace: w.ID.Namespace, Names: []string{w.ID.Name}},
	}
	*p.In(d) = segmentation.Rules{Governed: true, List: []segmentation.Rule{{
		Peers: []segmentation.Peer{{CIDR: &segmentation.CIDR{Prefix: netip.PrefixFrom(peer, peer.BitLen())}}},
		Ports: []segmentation.Ports{{Protocol: segmentation.TCP, From: l.Port, To: l.Port}},
	}}}
	return p
}

// governed says whether enforced policies decide about a workload in a direction.
func governed(policies []segmentation.Policy, w *workload.Workload, d segmentation.Direction) bool {
	return slices.ContainsFunc(policies, func(p segmentation.Policy) bool {
		return p.Mode == segmentation.Enforce && p.In(d).Governed && p.Subject.Matches(w.Identity())
	})
}
