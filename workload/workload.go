// Package workload is the vocabulary for what runs: its ID, its Labels, the
// Selectors people pick it by, and the Identity that is all a policy can see of
// it. Every area shares these words.
//
// It is not where workloads come from (a Workload resource, a cluster, an
// agent), and it decides nothing. Anybody may import it; it imports the standard
// library only.
package workload

import (
	"net/netip"
	"slices"
	"strings"
)

// Workload is what runs: a pod, a container, a process on a host. It is a value;
// whoever holds one may read it from many goroutines.
type Workload struct {
	ID              ID
	Labels          Labels
	NamespaceLabels Labels       // of the namespace it is in, without NamespaceName
	Addresses       []netip.Addr // its own, not those of the node it runs on
	Ports           []Port       // those that have a name
	Account         string       // who it is to others: a SPIFFE ID or service account; may be empty
	Node            string       // the host it runs on; may be empty
}

// Port is a port that a workload gave a name. Protocol is the IP protocol's
// number.
type Port struct {
	Name     string
	Protocol uint8
	Number   uint16
}

// Identity returns what policies see of the workload.
func (w *Workload) Identity() Identity {
	return Identity{
		Namespace: w.ID.Namespace, NamespaceLabels: w.NamespaceLabels,
		Labels: w.Labels, Ports: w.Ports, Name: w.ID.Name,
	}
}

// Identity is everything by which a policy can tell workloads apart. Most
// workloads share theirs: the replicas of one deployment have equal keys.
type Identity struct {
	Namespace       string
	NamespaceLabels Labels
	Labels          Labels
	Ports           []Port
	// Name counts only where a selector picks workloads by name: leave it empty,
	// or cut it to what those selectors see, before taking the Key.
	Name string
}

// NamespaceLabel looks up a label of the identity's namespace, its name among
// them.
func (i Identity) NamespaceLabel(name string) (string, bool) {
	if name == NamespaceName {
		return i.Namespace, true
	}
	return i.NamespaceLabels.Get(name)
}

// Key is the identity as one text: equal identities have equal keys, whatever
// the order of their parts. It is readable, and no name that anybody types.
func (i Identity) Key() string {
	var b strings.Builder
	b.WriteString(quote(i.Namespace))
	for _, part := range []string{i.Name, i.NamespaceLabels.String(), i.Labels.String()} {
		b.WriteByte('|')
		b.WriteString(part)
	}
	ports := slices.Clone(i.Ports)
	slices.SortFunc(ports, comparePorts)
	b.WriteByte('|')
	for _, p := range slices.Compact(ports) {
		b.WriteString(quote(p.Name))
		b.WriteByte(':')
		b.WriteString(itoa(int(p.Protocol)))
		b.WriteByte(':')
		b.WriteString(itoa(int(p.Number)))
		b.WriteByte(',')
	}
	return b.String()
}
