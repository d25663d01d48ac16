package xds

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/envoyproxy/go-control-plane/pkg/resource/v3"

	"github.com/gabion-io/gabion/controlplane/ir"
)

// The discovery services of a snapshot, in the order in which they are pushed:
// what is referred to before what refers to it.
const (
	SecretType    = resource.SecretType
	ClusterType   = resource.ClusterType
	EndpointType  = resource.EndpointType
	ExtensionType = resource.ExtensionConfigType
	ListenerType  = resource.ListenerType
	RouteType     = resource.RouteType
)

// Types are the type URLs of a snapshot in push order.
func Types() []string {
	return []string{SecretType, ClusterType, EndpointType, ExtensionType, ListenerType, RouteType}
}

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

// Version is the content hash of all resources of one type.
func (s *Snapshot) Version(typeURL string) string { return VersionOf(s.Types[typeURL]) }

// VersionOf is the content hash of a list of resources: names and versions.
func VersionOf(resources []Resource) string {
	parts := make([][]byte, 0, 2*len(resources))
	for _, r := range resources {
		parts = append(parts, []byte(r.Name), []byte(r.Version))
	}
	return hashed(parts...)
}

// WithEndpoints returns a copy in which the named clusters have other endpoints
// and everything else is shared. A cluster without endpoints of its own
// (unknown, or resolved by name) is an error.
func (s *Snapshot) WithEndpoints(endpoints map[string][]ir.Endpoint) (*Snapshot, error) {
	old := s.Types[EndpointType]
	next := slices.Clone(old)
	for _, name := range slices.Sorted(maps.Keys(endpoints)) {
		i, found := slices.BinarySearchFunc(next, name, func(r Resource, n string) int { return strings.Compare(r.Name, n) })
		if !found {
			return nil, fmt.Errorf("set endpoints of %q: no such cluster with endpoints", name)
		}
		assignment, bad := loadAssignment(name, endpoints[name])
		if len(bad) > 0 {
			return nil, fmt.Errorf("set endpoints of %q: %s", name, bad[0])
		}
		next[i] = endpointResource(assignment, s.find(ClusterType, name))
	}
	out := *s
	out.Types = maps.Clone(s.Types)
	out.Types[EndpointType] = next
	return &out, nil
}

func (s *Snapshot) find(typeURL, name string) *Resource {
	list := s.Types[typeURL]
	i, found := slices.BinarySearchFunc(list, name, func(r Resource, n string) int { return strings.Compare(r.Name, n) })
	if !found {
		return nil
	}
	return &list[i]
}

func sortedRefs(refs []ir.Ref) []ir.Ref {
	refs = slices.Clone(refs)
	slices.SortFunc(refs, func(a, b ir.Ref) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	return slices.Compact(refs)
}

// builder gathers resources in any order; snapshot sorts them.
type builder struct {
	types    map[string]map[string]Resource
	tables   []Resource
	blame    map[blameKey][]ir.Ref
	problems []Problem
}

func newBuilder() *builder {
	return &builder{types: map[string]map[string]Resource{}, blame: map[blameKey][]ir.Ref{}}
}

// add puts a resource into the snapshot and remembers what it came from.
func (b *builder) add(typeURL, name string, m proto.Message, causes ...ir.Ref) {
	body := packed(m)
	b.put(typeURL, Resource{Name: name, Version: hashed(body.Value), Any: body}, causes...)
}

func (b *builder) put(typeURL string, r Resource, causes ...ir.Ref) {
	if b.types[typeURL] == nil {
		b.types[typeURL] = map[string]Resource{}
	}
	b.types[typeURL][r.Name] = r
	b.blame[blameKey{typeURL, r.Name}] = sortedRefs(causes)
}

func (b *builder) has(typeURL, name string) bool {
	_, ok := b.types[typeURL][name]
	return ok
}

func (b *builder) problem(cause ir.Ref, part, format string, args ...any) {
	b.problems = append(b.problems, Problem{Resource: cause, Part: part, Message: fmt.Sprintf(format, args...)})
}

func (b *builder) snapshot() *Snapshot {
	s := &Snapshot{Types: map[string][]Resource{}, Tables: b.tables, Problems: b.problems, blame: b.blame}
	for _, typeURL := range Types() {
		byName := b.types[typeURL]
		list := make([]Resource, 0, len(byName))
		for _, name := range slices.Sorted(maps.Keys(byName)) {
			list = append(list, byName[name])
		}
		s.Types[typeURL] = list
	}
	slices.SortFunc(s.Tables, func(a, b Resource) int { return strings.Compare(a.Name, b.Name) })
	return s
}

// sayable reports whether text can travel in a protobuf string and a header.
func sayable(text string) bool {
	return utf8.ValidString(text) && !strings.ContainsAny(text, "\x00\r\n")
}
