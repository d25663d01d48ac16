package segmentation

import (
	"net/netip"
	"regexp"
	"slices"
	"strings"
)

// Peer is whom a rule is about; exactly one field is set.
type Peer struct {
	Workloads *Selection
	CIDR      *CIDR
	Name      *Name
}

// CIDR is addresses, of workloads too.
type CIDR struct {
	Prefix netip.Prefix
	Except []netip.Prefix
}

// Contains says whether an address is among them.
func (c *CIDR) Contains(a netip.Addr) bool {
	a = a.Unmap()
	return a.IsValid() && c.Prefix.Contains(a) &&
		!slices.ContainsFunc(c.Except, func(e netip.Prefix) bool { return e.Contains(a) })
}

// Name is destinations outside by the DNS name that was asked for; in an ingress
// rule it means nobody. It never picks a workload: those have labels, and DNS is
// not who they are.
type Name struct {
	// Pattern is lower case, without a dot at its end: "api.example.com", or
	// "*.example.com" for every name below example.com, at any depth.
	Pattern string
	// Addresses are those that the name is known to have had; they are open
	// without a look at DNS.
	Addresses []netip.Addr
}

// Matches says whether a name is meant, in any case, with or without its last dot.
func (n *Name) Matches(name string) bool {
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	if below, wild := strings.CutPrefix(n.Pattern, "*"); wild {
		return len(name) > len(below) && strings.HasSuffix(name, below)
	}
	return name != "" && name == n.Pattern
}

var dnsName = regexp.MustCompile(`^[a-z0-9_]([-a-z0-9_]*[a-z0-9_])?(\.[a-z0-9_]([-a-z0-9_]*[a-z0-9_])?)*$`)

// IsDNSName says whether a text is a name that can stand in a rule, as Pattern
// without a star is written. Hosts have names with underscores too.
func IsDNSName(text string) bool {
	return len(text) <= 253 && dnsName.MatchString(text)
}

// matches says whether the peer's end of a flow is meant by a rule of a direction.
func (p *Peer) matches(e *Endpoint, d Direction) bool {
	switch {
	case p.Workloads != nil:
		return e.Workload != nil && p.Workloads.Matches(e.Workload.Identity())
	case p.CIDR != nil:
		return p.CIDR.Contains(e.Addr)
	case p.Name != nil:
		return d == Egress && e.Workload == nil &&
			(slices.ContainsFunc(e.Names, p.Name.Matches) || slices.Contains(p.Name.Addresses, e.Addr))
	}
	return false
}

func (p *Peer) String() string {
	switch {
	case p.Workloads != nil:
		return p.Workloads.String()
	case p.CIDR != nil && len(p.CIDR.Except) > 0:
		except := make([]string, len(p.CIDR.Except))
		for i, e := range p.CIDR.Except {
			except[i] = e.String()
		}
		return p.CIDR.Prefix.String() + " except " + strings.Join(except, ", ")
	case p.CIDR != nil:
		return p.CIDR.Prefix.String()
	case p.Name != nil:
		return p.Name.Pattern
	}
	return "nobody"
}
