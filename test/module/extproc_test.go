package module

import (
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/gabion-io/gabion/filters/extproc"
	"github.com/gabion-io/gabion/internal/envoybin/envoybintest"
)

const tableName = "gabion/default/web/http"

// extProcFilter is the filter as an external processor, set as
// filters/extproc documents.
func extProcFilter() object {
	return object{"name": "gabion", "typed_config": object{
		"@type": "type.googleapis.com/envoy.extensions.filters.http.ext_proc.v3.ExternalProcessor",
		"grpc_service": object{
			"envoy_grpc":       object{"cluster_name": "gabion-filter"},
			"timeout":          "0s",
			"initial_metadata": list{object{"key": "x-gabion-table", "value": tableName}},
		},
		"allow_mode_override":         true,
		"allow_content_length_header": true,
		"message_timeout":             "20s",
		"status_on_error":             object{"code": "ServiceUnavailable"},
		"route_cache_action":          "RETAIN",
		"request_attributes":          list{"request.protocol", "source.address", "destination.address"},
		"metadata_options":            object{"receiving_namespaces": object{"untyped": list{"io.gabion"}}},
		"processing_mode": object{
			"request_header_mode": "SEND", "response_header_mode": "SKIP",
			"request_body_mode": "NONE", "response_body_mode": "NONE",
			"request_trailer_mode": "SKIP", "response_trailer_mode": "SKIP",
		},
	}}
}

func extProcRoute(key string) object {
	return object{
		"@type":     "type.googleapis.com/envoy.extensions.filters.http.ext_proc.v3.ExtProcPerRoute",
		"overrides": object{"grpc_initial_metadata": list{object{"key": "x-gabion-key", "value": key}}},
	}
}

func filterCluster(socket string) object {
	return object{
		"name": "gabion-filter", "type": "STATIC", "connect_timeout": "5s",
		"load_assignment": object{"cluster_name": "gabion-filter", "endpoints": list{object{"lb_endpoints": list{object{"endpoint": object{
			"address": object{"pipe": object{"path": socket}},
		}}}}}},
		"typed_extension_protocol_options": object{"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": object{
			"@type":                "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
			"explicit_http_config": object{"http2_protocol_options": object{}},
		}},
	}
}

// startExtProc runs the filter from tables kept on disk, and an Envoy that asks it.
func startExtProc(t testing.TB, table []byte) *proxy {
	t.Helper()
	envoybintest.Need(t)
	dir := t.TempDir()
	keep(t, dir, table)
	socket := filepath.Join(dir, "filter.sock")
	runFilter(t, extproc.Options{Listen: socket, State: dir, Node: "test"})
	b := bootstrap{
		dir: dir, upstream: startUpstream(t), filter: extProcFilter(), route: extProcRoute,
		clusters: list{filterCluster(socket)}, buffer: 2 << 20,
	}
	return startEnvoy(t, dir, setup{config: b.json(t)})
}

// keep writes tables as the filter left them.
func keep(t testing.TB, dir string, table []byte) {
	t.Helper()
	b, err := json.Marshal(object{"format": 1, "tables": list{object{"name": tableName, "version": "1", "table": string(table)}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "tables.json"), b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func runFilter(t testing.TB, o extproc.Options) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	o.Log = slog.New(slog.NewTextHandler(&syncBuffer{}, nil))
	go func() { done <- extproc.Run(ctx, o) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("filter: %v", err)
		}
	})
	eventually(t, "the filter to listen", func() bool { _, err := os.Stat(o.Listen); return err == nil })
}

func TestExtProcConcurrent(t *testing.T) { runConcurrent(t, startExtProc(t, tableOf(t))) }
func TestExtProcStreams(t *testing.T)    { runStreams(t, startExtProc(t, tableOf(t))) }
func TestExtProcResponse(t *testing.T) {
	runResponses(t, startExtProc(t, tableOf(t, inspectResponses)))
}
func TestExtProcKeys(t *testing.T)   { runKeys(t, startExtProc(t, tableOf(t))) }
func TestExtProcClient(t *testing.T) { runClient(t, startExtProc(t, tableOf(t))) }
