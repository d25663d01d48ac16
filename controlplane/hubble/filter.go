package hubble

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/cilium/cilium/api/v1/flow"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/gabion-io/gabion/segmentation"
	"github.com/gabion-io/gabion/workload"
)

// test says whether a flow has what one field of a filter asks for.
type test func(*seen) bool

// passing compiles the lists of a request: a flow passes if a filter of the
// whitelist matches, or there is none, and none of the blacklist does.
func passing(white, black []*flow.FlowFilter) (test, error) {
	allow, err := anyOf("whitelist", white)
	if err != nil {
		return nil, err
	}
	deny, err := anyOf("blacklist", black)
	if err != nil {
		return nil, err
	}
	return func(v *seen) bool {
		return (len(white) == 0 || allow(v)) && !deny(v)
	}, nil
}

func anyOf(list string, filters []*flow.FlowFilter) (test, error) {
	var all []test
	for i, f := range filters {
		if mirrored(f, filters) {
			continue
		}
		t, err := compile(f)
		if err != nil {
			return nil, invalid("%s[%d]: %v", list, i, err)
		}
		all = append(all, t)
	}
	return func(v *seen) bool { return slices.ContainsFunc(all, func(t test) bool { return t(v) }) }, nil
}

// mirrored says whether a filter is the half of `--port` that asks for replies, by
// their source port: another asks for the same ports as destinations, and a flow of
// ours holds its replies. Alone, a source port is an error.
func mirrored(f *flow.FlowFilter, all []*flow.FlowFilter) bool {
	return len(f.GetSourcePort()) > 0 && len(f.GetDestinationPort()) == 0 && slices.ContainsFunc(all, func(o *flow.FlowFilter) bool {
		return len(o.GetSourcePort()) == 0 && slices.Equal(o.GetDestinationPort(), f.GetSourcePort())
	})
}

// compile makes one test of a filter: every field that is set must hold.
func compile(f *flow.FlowFilter) (test, error) {
	m := f.ProtoReflect()
	if len(m.GetUnknown()) > 0 {
		return nil, fmt.Errorf("it has fields that this version does not know")
	}
	var all []test
	for fields, i := m.Descriptor().Fields(), 0; i < fields.Len(); i++ {
		if !m.Has(fields.Get(i)) {
			continue
		}
		t, err := field(fields.Get(i).Name(), f)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", fields.Get(i).Name(), err)
		}
		all = append(all, t)
	}
	return func(v *seen) bool { return !slices.ContainsFunc(all, func(t test) bool { return !t(v) }) }, nil
}

// field compiles one field, by its name in the protocol. What is not listed here
// is refused: a filter that is ignored would show what was not asked for.
func field(name protoreflect.Name, f *flow.FlowFilter) (test, error) {
	switch name {
	case "uuid":
		return func(v *seen) bool { return slices.Contains(f.Uuid, v.uuid()) }, nil
	case "source_ip":
		return byAddress(f.SourceIp, source)
	case "destination_ip":
		return byAddress(f.DestinationIp, destination)
	case "source_pod":
		return byPod(f.SourcePod, source)
	case "destination_pod":
		return byPod(f.DestinationPod, destination)
	case "source_label":
		return byLabel(f.SourceLabel, source)
	case "destination_label":
		return byLabel(f.DestinationLabel, destination)
	case "traffic_direction":
		return func(v *seen) bool { return slices.Contains(f.TrafficDirection, directionOf(v.Direction)) }, nil
	case "verdict":
		return byVerdict(f.Verdict)
	case "drop_reason_desc":
		return func(v *seen) bool {
			return v.Verdict == segmentation.Denied && slices.Contains(f.DropReasonDesc, dropReason(v.Reason))
		}, nil
	case "event_type":
		return byEventType(f.EventType)
	case "protocol":
		return byProtocol(f.Protocol)
	case "destination_port":
		return byPort(f.DestinationPort)
	case "reply": // a flow is told in the direction of who opened it
		return func(*seen) bool { return slices.Contains(f.Reply, false) }, nil
	case "node_name":
		return byNode(f.NodeName)
	case "ip_version":
		return func(v *seen) bool { return slices.Contains(f.IpVersion, v.family()) }, nil
	}
	return nil, fmt.Errorf("gabion cannot filter by it: %s", instead(name))
}

// instead says what to ask for.
func instead(name protoreflect.Name) string {
	switch name {
	case "source_port":
		return "a flow here is all that a client opened to one port; ask for the destination's (--to-port), or for either (--port)"
	case "source_fqdn", "destination_fqdn":
		return "flows are kept by address, not by name; ask for the address (--ip)"
	case "source_service", "destination_service":
		return "a flow does not tell the service it was sent to; ask for pods (--pod) or labels (--label)"
	case "source_workload", "destination_workload":
		return "gabion's workloads are shown as pods (--pod)"
	case "source_identity", "destination_identity":
		return "an identity here is a set of labels (--label)"
	case "source_cluster_name", "destination_cluster_name":
		return "there is one cluster"
	case "http_status_code", "http_method", "http_path", "http_url", "http_header", "dns_query", "trace_id":
		return "flows are of the network and hold no messages; `gabion api list` and `gabion waf events` tell of HTTP"
	}
	return "stored flows do not hold it"
}

// side picks one end of a flow.
type side func(*seen) *end

func source(v *seen) *end      { return &v.src }
func destination(v *seen) *end { return &v.dst }

func byAddress(list []string, at side) (test, error) {
	var prefixes []netip.Prefix
	for _, text := range list {
		p, err := netip.ParsePrefix(text)
		if !strings.Contains(text, "/") {
			var a netip.Addr
			a, err = netip.ParseAddr(text)
			a = a.Unmap()
			p = netip.PrefixFrom(a, a.BitLen())
		}
		if err != nil {
			return nil, fmt.Errorf("%q is no address and no prefix", text)
		}
		prefixes = append(prefixes, p.Masked())
	}
	return func(v *seen) bool {
		return slices.ContainsFunc(at(v).all, func(a netip.Addr) bool {
			return slices.ContainsFunc(prefixes, func(p netip.Prefix) bool { return p.Contains(a) })
		})
	}, nil
}

// byPod reads prefixes of names: "shop/web", "shop/" for a namespace, "/web" in any,
// and "web" in "default".
func byPod(list []string, at side) (test, error) {
	type name struct{ namespace, prefix string }
	var names []name
	for _, text := range list {
		namespace, prefix, ok := strings.Cut(text, "/")
		if !ok {
			namespace, prefix = "default", text
		}
		if text == "" || strings.Contains(prefix, "/") {
			return nil, fmt.Errorf("%q is no name: write namespace/name", text)
		}
		names = append(names, name{namespace, prefix})
	}
	return func(v *seen) bool {
		id := at(v).id
		return id != workload.ID{} && slices.ContainsFunc(names, func(n name) bool {
			return (n.namespace == "" || n.namespace == id.Namespace) && strings.HasPrefix(id.Name, n.prefix)
		})
	}, nil
}

// byLabel reads selectors whose labels may say where they come from, as Cilium's
// do: all of ours are plain, but for what is outside.
func byLabel(list []string, at side) (test, error) {
	var selectors []workload.Selector
	for _, text := range list {
		s, err := workload.ParseSelector(text)
		if err != nil {
			return nil, err
		}
		if s.Empty() {
			return nil, fmt.Errorf("the selector is empty")
		}
		for i, r := range s.Requirements {
			if s.Requirements[i].Label, err = plainLabel(r.Label); err != nil {
				return nil, err
			}
		}
		selectors = append(selectors, s)
	}
	return func(v *seen) bool {
		e := at(v)
		get := e.Labels.Get
		if e.id == (workload.ID{}) {
			get = func(name string) (string, bool) { return "", name == worldLabel }
		}
		return slices.ContainsFunc(selectors, func(s workload.Selector) bool { return s.MatchesBy(get) })
	}, nil
}

func plainLabel(label string) (string, error) {
	from, name, ok := strings.Cut(label, ":")
	switch {
	case !ok, label == worldLabel:
		return label, nil
	case from == "k8s" || from == "any" || from == "unspec":
		return name, nil
	}
	return "", fmt.Errorf("no label here is called %q: write its name alone, or %s for what is outside", label, worldLabel)
}

func byVerdict(list []flow.Verdict) (test, error) {
	for _, v := range list {
		if v != flow.Verdict_FORWARDED && v != flow.Verdict_DROPPED && v != flow.Verdict_AUDIT {
			return nil, fmt.Errorf("%s is no verdict of gabion's: FORWARDED, AUDIT or DROPPED", v)
		}
	}
	return func(v *seen) bool { return slices.Contains(list, verdictOf(v.Verdict)) }, nil
}

func byEventType(list []*flow.EventTypeFilter) (test, error) {
	for _, t := range list {
		if t.GetType() != 0 && t.GetType() != policyVerdict || t.GetMatchSubType() {
			return nil, fmt.Errorf("all that gabion lists is of the type policy-verdict; ask for a verdict (--verdict DROPPED)")
		}
	}
	return func(*seen) bool { return true }, nil
}

func byProtocol(list []string) (test, error) {
	var all []test
	for _, text := range list {
		want, family := segmentation.ICMP, flow.IPVersion_IP_NOT_USED
		switch strings.ToLower(text) {
		case "icmp":
		case "icmpv4":
			family = flow.IPVersion_IPv4
		case "icmpv6":
			family = flow.IPVersion_IPv6
		case "tcp", "udp", "sctp":
			want, _ = segmentation.ParseProtocol(text)
		default:
			return nil, fmt.Errorf("%q is none of tcp, udp, sctp, icmp, icmpv4, icmpv6", text)
		}
		all = append(all, func(v *seen) bool {
			return v.Protocol == want && (family == flow.IPVersion_IP_NOT_USED || v.family() == family)
		})
	}
	return func(v *seen) bool { return slices.ContainsFunc(all, func(t test) bool { return t(v) }) }, nil
}

func byPort(list []string) (test, error) {
	var ports []uint16
	for _, text := range list {
		n, err := strconv.ParseUint(text, 10, 16)
		if err != nil {
			return nil, fmt.Errorf("%q is no port", text)
		}
		ports = append(ports, uint16(n))
	}
	return func(v *seen) bool { return v.Protocol.HasPorts() && slices.Contains(ports, v.Port) }, nil
}

// byNode reads names of hosts, in which * stands for anything.
func byNode(list []string) (test, error) {
	var patterns []*regexp.Regexp
	for _, text := range list {
		if text == "" || strings.Contains(text, "/") {
			return nil, fmt.Errorf("%q: write a host's name, without a cluster", text)
		}
		patterns = append(patterns, regexp.MustCompile("^"+strings.ReplaceAll(regexp.QuoteMeta(strings.ToLower(text)), `\*`, ".*")+"$"))
	}
	return func(v *seen) bool {
		return slices.ContainsFunc(patterns, func(p *regexp.Regexp) bool { return p.MatchString(strings.ToLower(v.Host)) })
	}, nil
}
