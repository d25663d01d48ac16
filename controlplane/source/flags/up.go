// Package flags writes the resources that the flags of gabion up stand for, as
// the text a person would write. gabion up --print shows it. The composition
// root imports it.
package flags

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"github.com/gabion-io/gabion/controlplane/api/v1alpha1"
)

// UpstreamService names the service that stands for the upstream.
const UpstreamService = v1alpha1.DefaultNamespace + "/upstream"

// Up is what gabion up was told on the command line.
type Up struct {
	Listen   string // "127.0.0.1:8080", ":8080", "localhost:8080"
	Upstream string // "http://127.0.0.1:3000", "https://api.example.com/v2"
	TLSCert  []byte // PEM; with TLSKey the listener speaks HTTPS
	TLSKey   []byte
	Mode     string // of the root WAFPolicy; empty: detect
	Record   bool   // write a Recording
}

// Text renders the resources as a multi-document YAML file.
func Text(u Up) (string, error) {
	documents, err := u.documents()
	if err != nil {
		return "", err
	}
	var b strings.Builder
	b.WriteString("# What the flags of gabion up stand for. Apply a resource of the same kind and\n# name, or put one in a file, and it takes the place of the one here.\n\n")
	for i, d := range documents {
		text, err := v1alpha1.Encode(d.object)
		if err != nil {
			return "", err
		}
		if i > 0 {
			b.WriteString("---\n")
		}
		fmt.Fprintf(&b, "# %s\n%s", d.comment, text)
	}
	return b.String(), nil
}

// address is where to listen.
type address struct {
	ip   netip.Addr
	port uint16
}

func parseListen(listen string) (address, error) {
	host, portText, err := net.SplitHostPort(listen)
	if err != nil {
		return address{}, fmt.Errorf("--listen %q: write address and port, such as 127.0.0.1:8080", listen)
	}
	port, err := strconv.ParseUint(portText, 10, 16)
	if err != nil || port == 0 {
		return address{}, fmt.Errorf("--listen %q: %q is no port: 1 to 65535", listen, portText)
	}
	switch host {
	case "":
		host = "0.0.0.0"
	case "localhost":
		host = "127.0.0.1"
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return address{}, fmt.Errorf("--listen %q: %q is no IP address", listen, host)
	}
	return address{ip, uint16(port)}, nil
}

// upstream is where requests go.
type upstream struct {
	https bool
	host  string
	ip    netip.Addr // invalid: host is a name
	port  uint16
	path  string // put before every path; "" none
}

func parseUpstream(text string) (upstream, error) {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return upstream{}, fmt.Errorf("--upstream %q: write a URL such as http://127.0.0.1:3000 or https://api.example.com", text)
	}
	if u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return upstream{}, fmt.Errorf("--upstream %q: leave out user, query and fragment", u.Redacted())
	}
	out := upstream{https: u.Scheme == "https", host: strings.ToLower(strings.TrimSuffix(u.Hostname(), ".")), path: strings.TrimRight(u.Path, "/")}
	switch {
	case u.Port() != "":
		port, err := strconv.ParseUint(u.Port(), 10, 16)
		if err != nil || port == 0 {
			return upstream{}, fmt.Errorf("--upstream %q: %q is no port: 1 to 65535", text, u.Port())
		}
		out.port = uint16(port)
	case out.https:
		out.port = 443
	default:
		out.port = 80
	}
	if ip, err := netip.ParseAddr(out.host); err == nil {
		out.ip = ip
	} else if out.host == "localhost" && !out.https {
		out.ip = netip.MustParseAddr("127.0.0.1")
	}
	if out.https && out.ip.IsValid() {
		return upstream{}, fmt.Errorf("--upstream %q: https needs a host name to verify the certificate against, not an address", text)
	}
	return out, nil
}

func (u Up) checkTLS() (https bool, err error) {
	if len(u.TLSCert) == 0 && len(u.TLSKey) == 0 {
		return false, nil
	}
	if len(u.TLSCert) == 0 || len(u.TLSKey) == 0 {
		return false, fmt.Errorf("--tls-cert and --tls-key belong together: give both")
	}
	if _, err := tls.X509KeyPair(u.TLSCert, u.TLSKey); err != nil {
		return false, fmt.Errorf("--tls-cert and --tls-key are no key pair in PEM: %w", err)
	}
	return true, nil
}
