package xds

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/structpb"

	bootstrap "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	cluster "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
)

// BootstrapOptions are what an Envoy must know before it can ask.
type BootstrapOptions struct {
	NodeID      string
	Cluster     string // node cluster; "": "gabion"
	ADSSocket   string // Unix socket of the control plane's discovery server
	ALSSocket   string // Unix socket of its access log service; "": none
	AdminSocket string // Unix socket of Envoy's own admin interface; never TCP; "": none
	SotW        bool   // state-of-the-world ADS instead of delta
	Connections uint64 // downstream connections of all listeners together; 0: 50,000

	// The overload manager sheds load by a figure of memory that includes the
	// filter's Go heap, which Envoy's own fixed_heap monitor cannot see. One of
	// these says where the figure comes from; none: memory sheds no load.
	MemoryPressureFile string // a file holding 0…1, replaced by rename (the supervisor writes Envoy's resident size over its limit)
	CgroupMemory       uint64 // bytes allowed to Envoy's memory cgroup; the process must have one of its own
}

const defaultConnections = 50_000

// Bootstrap writes the JSON file that Envoy starts from. Everything else comes
// over the one discovery stream, which outlives every restart of the control plane.
func Bootstrap(o BootstrapOptions) ([]byte, error) {
	if err := o.check(); err != nil {
		return nil, fmt.Errorf("write bootstrap: %w", err)
	}
	b, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(o.bootstrap())
	if err != nil {
		return nil, fmt.Errorf("write bootstrap: %w", err)
	}
	// protojson varies its blanks on purpose; Indent sets them anew, so that equal
	// options give equal bytes.
	var out bytes.Buffer
	if err := json.Indent(&out, b, "", "  "); err != nil {
		return nil, fmt.Errorf("write bootstrap: %w", err)
	}
	out.WriteByte('\n')
	return out.Bytes(), nil
}

// maxSocketPath is what fits sockaddr_un.sun_path (unix(7)) with its final zero.
const maxSocketPath = 107

func (o BootstrapOptions) check() error {
	if o.NodeID == "" || o.ADSSocket == "" {
		return errors.New("a node id and the discovery socket are needed")
	}
	if o.MemoryPressureFile != "" && o.CgroupMemory > 0 {
		return errors.New("memory is watched by a file or by cgroup, not by both")
	}
	for _, path := range []string{o.ADSSocket, o.ALSSocket, o.AdminSocket} {
		if len(path) > maxSocketPath {
			return fmt.Errorf("socket path %q is longer than %d bytes: choose a shorter state directory", path, maxSocketPath)
		}
	}
	return nil
}

func (o BootstrapOptions) bootstrap() *bootstrap.Bootstrap {
	name := o.Cluster
	if name == "" {
		name = "gabion"
	}
	b := &bootstrap.Bootstrap{
		Node: &core.Node{Id: o.NodeID, Cluster: name},
		DynamicResources: &bootstrap.Bootstrap_DynamicResources{
			AdsConfig: o.discovery(),
			CdsConfig: fromADS(),
			LdsConfig: fromADS(),
		},
		StaticResources: &bootstrap.Bootstrap_StaticResources{
			Clusters: []*cluster.Cluster{unixCluster(ADSCluster, o.ADSSocket)},
		},
		LayeredRuntime:  runtimeLayers(),
		OverloadManager: o.overload(),
		// Nobody reads flushed statistics; the admin socket computes them on demand.
		StatsFlush: &bootstrap.Bootstrap_StatsFlushOnAdmin{StatsFlushOnAdmin: true},
	}
	if o.ALSSocket != "" {
		b.StaticResources.Clusters = append(b.StaticResources.Clusters, unixCluster(ALSCluster, o.ALSSocket))
	}
	if o.AdminSocket != "" {
		b.Admin = &bootstrap.Admin{Address: pipeAddress(o.AdminSocket)}
		b.Admin.Address.GetPipe().Mode = 0o600
	}
	return b
}

func (o BootstrapOptions) discovery() *core.ApiConfigSource {
	kind := core.ApiConfigSource_DELTA_GRPC
	if o.SotW {
		kind = core.ApiConfigSource_GRPC
	}
	service := envoyGRPC(ADSCluster, 0)
	service.GetEnvoyGrpc().RetryPolicy = &core.RetryPolicy{RetryBackOff: &core.BackoffStrategy{
		BaseInterval: duration(100 * time.Millisecond),
		MaxInterval:  duration(2 * time.Second),
	}}
	return &core.ApiConfigSource{
		ApiType:                   kind,
		TransportApiVersion:       core.ApiVersion_V3,
		SetNodeOnFirstMessageOnly: true,
		GrpcServices:              []*core.GrpcService{service},
	}
}

// runtimeLayers raises the bound on the size of a compiled route regex: RE2 runs
// in linear time whatever its size, and Envoy's default refuses ordinary ones.
func runtimeLayers() *bootstrap.LayeredRuntime {
	values := &structpb.Struct{Fields: map[string]*structpb.Value{
		"re2.max_program_size.error_level": structpb.NewNumberValue(10_000),
	}}
	return &bootstrap.LayeredRuntime{Layers: []*bootstrap.RuntimeLayer{{
		Name:           "gabion",
		LayerSpecifier: &bootstrap.RuntimeLayer_StaticLayer{StaticLayer: values},
	}}}
}
