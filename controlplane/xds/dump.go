package xds

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// Dumped is one discovery resource for people to read.
type Dumped struct {
	Type string // "listener", "route", "cluster", "endpoints", "secret", "extension"
	Name string
	JSON json.RawMessage // Envoy's own JSON; private keys are left out
}

// typeNames are the short names of the discovery types, in reading order.
var typeNames = []struct{ url, short string }{
	{ListenerType, "listener"},
	{RouteType, "route"},
	{ExtensionType, "extension"},
	{ClusterType, "cluster"},
	{EndpointType, "endpoints"},
	{SecretType, "secret"},
}

// ID is the content hash of the whole snapshot.
func (s *Snapshot) ID() string {
	var parts [][]byte
	for _, t := range typeNames {
		parts = append(parts, []byte(s.Version(t.url)))
	}
	return hashed(parts...)
}

// Dump gives every resource as indented JSON, by type and name.
func (s *Snapshot) Dump() ([]Dumped, error) {
	var out []Dumped
	for _, t := range typeNames {
		for _, r := range s.Types[t.url] {
			text, err := dumpJSON(r)
			if err != nil {
				return nil, fmt.Errorf("show %s %q: %w", t.short, r.Name, err)
			}
			out = append(out, Dumped{t.short, r.Name, text})
		}
	}
	return out, nil
}

func dumpJSON(r Resource) (json.RawMessage, error) {
	m, err := r.Any.UnmarshalNew()
	if err != nil {
		return nil, err
	}
	if secret, ok := m.(*tlsv3.Secret); ok {
		m = withoutKey(secret)
	}
	raw, err := protojson.Marshal(m)
	if err != nil {
		return nil, err
	}
	// protojson varies its white space on purpose; diffs need it not to.
	var out bytes.Buffer
	if err := json.Indent(&out, raw, "", "  "); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// withoutKey keeps of a private key only that there is one.
func withoutKey(s *tlsv3.Secret) proto.Message {
	s = proto.CloneOf(s)
	if cert := s.GetTlsCertificate(); cert != nil {
		cert.PrivateKey = nil
		s.Name = strings.TrimSpace(s.Name) + " (private key not shown)"
	}
	return s
}
