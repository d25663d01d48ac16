// Package identity says who is who between hosts and the control plane: a
// certificate authority of the installation's own, certificates that live for a
// day and carry a SPIFFE ID, one-time tokens by which a host gets its first one,
// and, for whoever serves hosts, the name of the host at the other end of a
// connection. That name comes from the certificate and from nowhere else.
//
// It does not keep tokens (controlplane/store does) nor what an agent holds
// (controlplane/identity/enrol does), and decides nothing about what a host may
// see. The composition roots and the control plane's parts import it.
package identity

import (
	"fmt"
	"regexp"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

// DefaultTrustDomain is the trust domain of an installation that names none.
const DefaultTrustDomain = "gabion"

// Roles are the first segment of an ID's path.
const roleHost = "host"

// hostName is what a host may be called: a DNS name in lower case (RFC 1123),
// which is also a valid segment of a SPIFFE ID.
var hostName = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?(\.[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)*$`)

// CheckHost says why a text cannot be a host's name.
func CheckHost(name string) error {
	if len(name) > 253 || !hostName.MatchString(name) {
		return fmt.Errorf("%q is no name of a host: use lower-case letters, digits, - and ., at most 253", name)
	}
	return nil
}

// HostID is spiffe://<trust domain>/host/<name>.
func HostID(td spiffeid.TrustDomain, name string) (spiffeid.ID, error) {
	if err := CheckHost(name); err != nil {
		return spiffeid.ID{}, err
	}
	return spiffeid.FromSegments(td, roleHost, name)
}

// ControlPlaneID is who an agent talks to: spiffe://<trust domain>/control-plane.
func ControlPlaneID(td spiffeid.TrustDomain) (spiffeid.ID, error) {
	return spiffeid.FromSegments(td, "control-plane")
}

// hostOf reads the host's name out of an ID of the trust domain.
func hostOf(td spiffeid.TrustDomain, id spiffeid.ID) (string, error) {
	const before = "/" + roleHost + "/"
	path := id.Path()
	if !id.MemberOf(td) || len(path) <= len(before) || path[:len(before)] != before {
		return "", fmt.Errorf("%s is no host of %s", id, td)
	}
	name := path[len(before):]
	return name, CheckHost(name)
}
