package module

import (
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/gabion-io/gabion/controlplane/xds"
	"github.com/gabion-io/gabion/controlplane/xds/xdstest"
	"github.com/gabion-io/gabion/filters/extproc"
	"github.com/gabion-io/gabion/internal/envoybin/envoybintest"
	"github.com/gabion-io/gabion/internal/lockedbuffer"
)

// startExtProc runs the filter from tables kept on disk, and an Envoy that asks it.
func startExtProc(t testing.TB, table []byte) *proxy {
	t.Helper()
	envoybintest.Need(t)
	dir := t.TempDir()
	keep(t, dir, table)
	socket := filepath.Join(dir, "filter.sock")
	runFilter(t, extproc.Options{Listen: socket, State: dir, Node: "test"})
	b := bootstrap{
		dir: dir, upstream: startUpstream(t), buffer: 2 << 20,
		filter: theFilter(t, xds.Options{Transport: xds.ExtProc, FilterSocket: socket}, table),
	}
	return startEnvoy(t, dir, setup{config: b.json(t)})
}

// keep writes tables as the filter left them.
func keep(t testing.TB, dir string, table []byte) {
	t.Helper()
	b, err := json.Marshal(object{"format": 1, "tables": list{object{"name": xdstest.TableName, "version": "1", "table": string(table)}}})
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
	o.Log = slog.New(slog.NewTextHandler(&lockedbuffer.Buffer{}, nil))
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
