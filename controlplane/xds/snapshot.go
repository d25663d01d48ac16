package xds

import (
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/gabion-io/gabion/controlplane/ir"
)

// Resource is one discovery resource, already serialised.
type Resource struct {
	Name    string
	Version string     // content hash
	Any     *anypb.Any // read only
}

// Snapshot is everything that a fleet of proxies and their filters subscribe to.
// It is immutable.
type Snapshot struct {
	// Types maps a type URL to its resources, sorted by name.
	Types map[string][]Resource
	// Tables are the filter tables (TypedExtensionConfig holding a StringValue)
	// for nodes of cluster FilterCluster.
	Tables []Resource
	// Problems are parts of the intent that were left out.
	Problems []Problem

	blame map[blameKey][]ir.Ref
}

// Problem is a part of the intent that Envoy cannot be told.
type Problem struct {
	Resource ir.Ref
	Part     string // "listener default/web/http", "route default/shop/0/1"
	Message  string
}

type blameKey struct{ typeURL, name string }

// Version is the content hash of all resources of one type.
func (s *Snapshot) Version(typeURL string) string { panic("todo") }

// WithEndpoints returns a copy in which the named clusters have other endpoints
// and everything else is shared. Unknown clusters are an error.
func (s *Snapshot) WithEndpoints(endpoints map[string][]ir.Endpoint) (*Snapshot, error) {
	panic("todo")
}

// Blame names the resources that a rejected discovery resource came from.
// When Envoy's message names one of the candidates, only that one is blamed.
func Blame(s *Snapshot, typeURL string, names []string, message string) []ir.Ref {
	panic("todo")
}
