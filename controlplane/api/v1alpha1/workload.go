package v1alpha1

import (
	"fmt"
	"net/netip"
	"path"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gabion-io/gabion/segmentation"
)

// Workload is something that runs, described by hand where no cluster does it.
// Its labels are what policies select by.
type Workload struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	Spec              WorkloadSpec `json:"spec"`
}

// WorkloadSpec is where a workload is found.
type WorkloadSpec struct {
	Addresses      []string       `json:"addresses,omitempty"`
	Interface      string         `json:"interface,omitempty"` // the host's end of its link
	Cgroup         string         `json:"cgroup,omitempty"`    // for processes on a plain host: the path below the v2 root
	Ports          []WorkloadPort `json:"ports,omitempty"`     // those that have a name
	ServiceAccount string         `json:"serviceAccount,omitempty"`
	Node           string         `json:"node,omitempty"`
	// CaptureTLS lets an agent that captures HTTP see what its processes say inside TLS.
	CaptureTLS bool `json:"captureTLS,omitempty"`
}

// WorkloadPort is a port with a name.
type WorkloadPort struct {
	Name     string `json:"name"`
	Protocol string `json:"protocol,omitempty"` // TCP (the default), UDP, SCTP
	Port     int32  `json:"port"`
}

func (w *Workload) validate(f *findings) {
	s := w.Spec
	for i, a := range s.Addresses {
		if addr, err := netip.ParseAddr(a); err != nil || addr.Zone() != "" {
			f.add(fmt.Sprintf("addresses[%d]", i), "%q is no IP address", a)
		}
	}
	if s.Interface != "" && s.Cgroup != "" {
		f.add("cgroup", "cannot stand beside interface: a workload has a link of its own or is processes on the host")
	}
	if s.Cgroup != "" && (path.Clean("/"+s.Cgroup) == "/" || path.Clean(s.Cgroup) != s.Cgroup || strings.HasPrefix(s.Cgroup, "..")) {
		f.add("cgroup", "%q is no path of a cgroup below the root, such as system.slice/nginx.service", s.Cgroup)
	}
	if len(s.Interface) > 15 {
		f.add("interface", "%q is no name of an interface: at most 15 characters", s.Interface)
	}
	if s.CaptureTLS && s.Interface+s.Cgroup == "" {
		f.add("captureTLS", "needs interface or cgroup: they say which processes the workload has")
	}
	for i, p := range s.Ports {
		path := fmt.Sprintf("ports[%d]", i)
		if !portName(p.Name) {
			f.add(path+".name", "%q is no name of a port: at most 15 lower-case letters, digits and -, with a letter", p.Name)
		}
		if p.Port < 1 || p.Port > 65535 {
			f.add(path+".port", "%d is out of range: 1 to 65535", p.Port)
		}
		if p.Protocol == "" {
			continue
		}
		if protocol, err := segmentation.ParseProtocol(p.Protocol); err != nil || !protocol.HasPorts() {
			f.add(path+".protocol", "%q is not one of TCP, UDP, SCTP", p.Protocol)
		}
	}
}
