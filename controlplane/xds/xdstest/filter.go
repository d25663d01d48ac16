package xdstest

import (
	"encoding/json"
	"fmt"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"

	"github.com/gabion-io/gabion/controlplane/ir"
	"github.com/gabion-io/gabion/controlplane/xds"
)

// Filter is gabion's HTTP filter as xds ships it, in the JSON of a static
// bootstrap: for tests that want it on listeners of their own.
type Filter struct {
	HTTPFilter map[string]any // its place among a listener's http_filters
	Clusters   []any          // what it calls; none for the module
	options    xds.Options
}

// FilterName is the HTTP filter's name, by which routes override it.
const FilterName = "gabion"

// listenerName makes TableName(listenerName) the table's name.
const listenerName = "test"

// TableName is the name under which `gabion filter` looks for the table.
var TableName = xds.TableName(listenerName)

// NewFilter is the filter with a table (a filters.Table as JSON).
func NewFilter(o xds.Options, table []byte) (*Filter, error) {
	snapshot, err := translate(o, table, "")
	if err != nil {
		return nil, err
	}
	f := &Filter{options: o}
	var shipped core.TypedExtensionConfig
	if err := only(snapshot.Types[xds.ExtensionType], &shipped); err != nil {
		return nil, err
	}
	typed, err := object(shipped.TypedConfig)
	if err != nil {
		return nil, err
	}
	f.HTTPFilter = map[string]any{"name": FilterName, "typed_config": typed}
	if o.Transport == xds.ExtProc {
		var c clusterv3.Cluster
		if err := only(snapshot.Types[xds.ClusterType], &c); err != nil {
			return nil, err
		}
		cluster, err := object(&c)
		if err != nil {
			return nil, err
		}
		f.Clusters = []any{cluster}
	}
	return f, nil
}

// Route is the filter's configuration on a route bound to key.
func (f *Filter) Route(key string) (map[string]any, error) {
	snapshot, err := translate(f.options, []byte("{}"), key)
	if err != nil {
		return nil, err
	}
	var routes routev3.RouteConfiguration
	if err := only(snapshot.Types[xds.RouteType], &routes); err != nil {
		return nil, err
	}
	return object(routes.VirtualHosts[0].Routes[0].TypedPerFilterConfig[xds.TableName(listenerName)])
}

// translate is the smallest intent with the filter on a route.
func translate(o xds.Options, table []byte, key string) (*xds.Snapshot, error) {
	route := ir.Route{Name: "test", FilterKey: key, Direct: &ir.DirectResponse{Status: 200}}
	host := ir.VirtualHost{Name: "all", Domains: []string{"*"}, Routes: []ir.Route{route}}
	snapshot, err := xds.Translate(&ir.IR{Listeners: []ir.Listener{{
		Name: listenerName, Address: "127.0.0.1", Port: 1, FilterTable: table,
		Chains: []ir.FilterChain{{Name: "all", VirtualHosts: []ir.VirtualHost{host}}},
	}}}, o)
	if err != nil {
		return nil, err
	}
	for _, p := range snapshot.Problems {
		return nil, fmt.Errorf("translate %s: %s", p.Part, p.Message)
	}
	return snapshot, nil
}

func only(list []xds.Resource, into proto.Message) error {
	if len(list) != 1 {
		return fmt.Errorf("translate: %d resources where one is expected", len(list))
	}
	return list[0].Any.UnmarshalTo(into)
}

// object is the JSON form. Of an Any it has "@type".
func object(m proto.Message) (map[string]any, error) {
	if a, ok := m.(*anypb.Any); ok && a == nil {
		return nil, fmt.Errorf("translate: the filter has no configuration there")
	}
	text, err := protojson.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("encode: %w", err)
	}
	var out map[string]any
	return out, json.Unmarshal(text, &out)
}
