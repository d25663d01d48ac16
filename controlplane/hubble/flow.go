package hubble

import (
	"fmt"
	"net/netip"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/cilium/cilium/api/v1/flow"
	"google.golang.org/protobuf/types/known/timestamppb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/gabion-io/gabion/controlplane/store"
	"github.com/gabion-io/gabion/segmentation"
	"github.com/gabion-io/gabion/workload"
)

// Numbers of Cilium's that stand in messages as plain integers.
const (
	policyVerdict = 5 // the event type of a policy's verdict: pkg/monitor/api
	matchNone     = 0 // of its match types: no rule
	matchRule     = 2 // a rule by peer and port
	worldIdentity = 2 // the reserved identity of what is outside
)

// worldLabel is what Cilium gives whatever is outside.
const worldLabel = "reserved:world"

// seen is a stored flow with what is looked up for it.
type seen struct {
	*store.Flow
	src, dst end
}

// end is one end of a flow.
type end struct {
	*store.FlowEnd
	id    workload.ID  // zero: outside
	all   []netip.Addr // that the workload has now, or the one outside
	shown netip.Addr   // of all; may be invalid
}

func (s *Server) look(f *store.Flow) *seen {
	v := &seen{Flow: f, src: s.end(&f.Src), dst: s.end(&f.Dst)}
	v.src.shown, v.dst.shown = sameFamily(v.src.all, v.dst.all)
	return v
}

func (s *Server) end(e *store.FlowEnd) end {
	out := end{FlowEnd: e}
	if e.Workload != "" {
		if id, err := workload.ParseID(e.Workload); err == nil {
			out.id = id
			for _, a := range s.o.Addresses(id) {
				out.all = append(out.all, a.Unmap())
			}
		}
	} else if a, err := netip.ParseAddr(e.Address); err == nil {
		out.all = []netip.Addr{a.Unmap()}
	}
	return out
}

// sameFamily picks the first addresses of one family that both have; an end whose
// addresses nobody knows any more has none.
func sameFamily(src, dst []netip.Addr) (s, d netip.Addr) {
	for _, s := range src {
		for _, d := range dst {
			if s.Is4() == d.Is4() {
				return s, d
			}
		}
	}
	if len(src) > 0 {
		s = src[0]
	}
	if len(dst) > 0 {
		d = dst[0]
	}
	return s, d
}

// uuid names a flow for as long as it is kept.
func (v *seen) uuid() string { return "gabion-" + strconv.FormatInt(v.Cursor, 10) }

func (v *seen) family() flow.IPVersion {
	for _, a := range []netip.Addr{v.src.shown, v.dst.shown} {
		switch {
		case a.Is4():
			return flow.IPVersion_IPv4
		case a.IsValid():
			return flow.IPVersion_IPv6
		}
	}
	return flow.IPVersion_IP_NOT_USED
}

// message is the flow in Hubble's words. Source ports, services, identities and
// what was said in the flow are not known of stored flows.
func (v *seen) message() *flow.Flow {
	out := &flow.Flow{
		Time: timestamppb.New(v.Last), Uuid: v.uuid(), NodeName: v.Host, Type: flow.FlowType_L3_L4,
		Verdict: verdictOf(v.Verdict), IsReply: wrapperspb.Bool(false),
		EventType:        &flow.CiliumEventType{Type: policyVerdict},
		TrafficDirection: directionOf(v.Direction),
		IP:               &flow.IP{Source: text(v.src.shown), Destination: text(v.dst.shown), IpVersion: v.family()},
		L4:               v.layer4(), Source: v.src.endpoint(), Destination: v.dst.endpoint(),
		//lint:ignore SA1019 what the command line prints
		Summary: v.summary(),
	}
	if v.Verdict == segmentation.Denied {
		out.DropReasonDesc = dropReason(v.Reason)
		//lint:ignore SA1019 older clients read this one
		out.DropReason = uint32(out.DropReasonDesc)
	}
	v.policy(out)
	return out
}

func (e *end) endpoint() *flow.Endpoint {
	if e.id == (workload.ID{}) {
		return &flow.Endpoint{Identity: worldIdentity, Labels: []string{worldLabel}}
	}
	out := &flow.Endpoint{Namespace: e.id.Namespace, PodName: e.id.Name}
	for name, value := range e.Labels {
		out.Labels = append(out.Labels, name+"="+value)
	}
	slices.Sort(out.Labels)
	return out
}

func (v *seen) layer4() *flow.Layer4 {
	port := uint32(v.Port)
	switch v.Protocol {
	case segmentation.TCP:
		return &flow.Layer4{Protocol: &flow.Layer4_TCP{TCP: &flow.TCP{DestinationPort: port}}}
	case segmentation.UDP:
		return &flow.Layer4{Protocol: &flow.Layer4_UDP{UDP: &flow.UDP{DestinationPort: port}}}
	case segmentation.SCTP:
		return &flow.Layer4{Protocol: &flow.Layer4_SCTP{SCTP: &flow.SCTP{DestinationPort: port}}}
	case segmentation.ICMP:
		if v.family() == flow.IPVersion_IPv6 {
			return &flow.Layer4{Protocol: &flow.Layer4_ICMPv6{ICMPv6: &flow.ICMPv6{}}}
		}
		return &flow.Layer4{Protocol: &flow.Layer4_ICMPv4{ICMPv4: &flow.ICMPv4{}}}
	}
	return nil // Hubble has no words for others; Summary names them
}

// summary is what Hubble has no fields for.
func (v *seen) summary() string {
	out := v.Protocol.String()
	if v.Protocol.HasPorts() {
		out += fmt.Sprintf(" %d", v.Port)
	}
	out += fmt.Sprintf("; flows %d, answered %d, packets %d, bytes %d", v.Flows, v.Answered, v.Packets, v.Bytes)
	if v.Verdict == segmentation.Denied && v.Reason != "" {
		out += "; " + v.Reason
	}
	if v.Process != "" {
		out += fmt.Sprintf("; by %s[%d]", path.Base(v.Process), v.PID)
	}
	return out
}

// policy tells the rule that decided: "SegmentationPolicy shop/cart ingress[0]".
func (v *seen) policy(out *flow.Flow) {
	if v.Rule == "" {
		return
	}
	out.PolicyLog = []string{v.Rule}
	if strings.HasSuffix(v.Rule, "]") {
		out.PolicyMatchType = matchRule
	}
	parts := strings.Fields(v.Rule)
	if len(parts) < 2 {
		return
	}
	namespace, name, ok := strings.Cut(parts[1], "/")
	if !ok {
		return
	}
	p := []*flow.Policy{{Kind: parts[0], Namespace: namespace, Name: name}}
	switch allowed, egress := v.Verdict == segmentation.Allowed, v.Direction == segmentation.Egress; {
	case allowed && egress:
		out.EgressAllowedBy = p
	case allowed:
		out.IngressAllowedBy = p
	case egress: // denied, or would be
		out.EgressDeniedBy = p
	default:
		out.IngressDeniedBy = p
	}
}

func verdictOf(v segmentation.Verdict) flow.Verdict {
	switch v {
	case segmentation.Allowed:
		return flow.Verdict_FORWARDED
	case segmentation.Audited:
		return flow.Verdict_AUDIT
	case segmentation.Denied:
	}
	return flow.Verdict_DROPPED
}

func directionOf(d segmentation.Direction) flow.TrafficDirection {
	if d == segmentation.Egress {
		return flow.TrafficDirection_EGRESS
	}
	return flow.TrafficDirection_INGRESS
}

// dropReason is the nearest of Cilium's to one of ours (segmentation/bpf).
func dropReason(reason string) flow.DropReason {
	switch reason {
	case "", "denied":
		return flow.DropReason_POLICY_DENIED
	case "spoofed source":
		return flow.DropReason_INVALID_SOURCE_IP
	case "malformed":
		return flow.DropReason_INVALID_PACKET_DROPPED
	case "fragment without its first":
		return flow.DropReason_FIRST_LOGICAL_DATAGRAM_FRAGMENT_NOT_FOUND
	case "protocol":
		return flow.DropReason_UNKNOWN_L4_PROTOCOL
	case "unknown interface":
		return flow.DropReason_NO_CONFIGURATION_AVAILABLE_TO_PERFORM_POLICY_DECISION
	case "established full", "over budget", "flows full":
		return flow.DropReason_CT_MAP_INSERTION_FAILED
	}
	return flow.DropReason_DROP_REASON_UNKNOWN
}

func text(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}
