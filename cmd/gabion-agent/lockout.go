package main

import (
	"context"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/gabion-io/gabion/segmentation"
	"github.com/gabion-io/gabion/segmentation/agent"
)

// lifelines are the policies that keep the ways open by which this host is looked
// after, where a workload is at their other end: those who are logged in over SSH
// now, and the control plane. Neighbour discovery the programs let pass themselves,
// and loopback they never see.
func (w *wish) lifelines(ctx context.Context, d agent.Desired) []segmentation.Policy {
	lines, err := agent.SSHPeers()
	if err != nil {
		w.log.Warn("who is logged in is not known; a policy may cut it", "error", err)
	}
	for _, at := range w.resolve(ctx) {
		if l, err := agent.ControlPlane(at); err == nil { // else there is no way that could be cut
			lines = append(lines, l)
		}
	}
	kept := agent.Keep(d, lines)
	for _, p := range kept {
		w.log.Info("kept open", "what", p.Name.String())
	}
	return kept
}

// resolve finds the addresses of the control plane. While names cannot be looked up
// those that were found before count.
func (w *wish) resolve(ctx context.Context) []netip.AddrPort {
	host, port, err := net.SplitHostPort(w.server)
	number, bad := strconv.ParseUint(port, 10, 16)
	if err != nil || bad != nil || strings.HasPrefix(w.server, "unix:") {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	if found, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host); err == nil {
		w.found = nil
		for _, a := range found {
			w.found = append(w.found, netip.AddrPortFrom(a.Unmap(), uint16(number)))
		}
	}
	return w.found
}
