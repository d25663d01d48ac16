// Package xds says gabion's intent (package ir) in Envoy's words: Translate
// turns an IR into a Snapshot of discovery resources, Bootstrap writes the file
// that an Envoy starts from. Both are pure and deterministic: equal input gives
// equal bytes, so equal versions, so no push.
//
// It does not serve anything (controlplane/ads does), does not read resources
// (controlplane/api and compile do), and knows of the filter only its tables.
// The control plane's composition and controlplane/ads may import it.
package xds

import (
	"fmt"
	"time"

	"github.com/gabion-io/gabion/controlplane/ir"
)

// Names that the bootstrap and the snapshot agree upon.
const (
	ADSCluster    = "gabion-ads"    // in the bootstrap: the control plane's discovery socket
	ALSCluster    = "gabion-als"    // in the bootstrap: the control plane's access log socket
	FilterCluster = "gabion-filter" // in the snapshot: `gabion filter`; also the node cluster under which it subscribes
	FilterName    = "gabion"        // the filter inside the module; HTTP filters are named by TableName
	ModuleName    = "gabion"        // libgabion.so, found through ENVOY_DYNAMIC_MODULES_SEARCH_PATH
)

// Header names of the gRPC initial metadata that tells `gabion filter` which
// table and which key a stream is for.
const (
	TableMetadata = "x-gabion-table"
	KeyMetadata   = "x-gabion-key"
)

// Transport is how the filter is reached.
type Transport string

const (
	Module  Transport = "module"  // inside Envoy
	ExtProc Transport = "extproc" // `gabion filter` on a Unix socket
)

// Options are what a snapshot depends on beside the intent.
type Options struct {
	Transport    Transport     // "": Module
	FilterSocket string        // with ExtProc: path of the Unix socket of `gabion filter`
	ALS          string        // cluster of the access log service; "": no access log
	ALSFlush     time.Duration // how long log entries may wait in Envoy; 0: 100 ms
	StreamReport time.Duration // interval of periodic log entries of long streams; 0: 60 s
	SystemCA     string        // the CA bundle behind ir.UpstreamTLS.System; "": Debian's
}

const (
	defaultALSFlush     = 100 * time.Millisecond
	defaultStreamReport = time.Minute
	debianSystemCA      = "/etc/ssl/certs/ca-certificates.crt"
)

// complete checks the options and fills the defaults in.
func (o Options) complete() (Options, error) {
	switch o.Transport {
	case "":
		o.Transport = Module
	case Module:
	case ExtProc:
		if o.FilterSocket == "" {
			return o, fmt.Errorf("transport %q needs the filter's socket", o.Transport)
		}
	default:
		return o, fmt.Errorf("unknown transport %q: use %q or %q", o.Transport, Module, ExtProc)
	}
	if o.ALSFlush == 0 {
		o.ALSFlush = defaultALSFlush
	}
	if o.StreamReport == 0 {
		o.StreamReport = defaultStreamReport
	}
	if o.SystemCA == "" {
		o.SystemCA = debianSystemCA
	}
	return o, nil
}

// TableName is the ECDS name under which a listener's filter table travels. It is
// also the name of the HTTP filter on that listener, because Envoy asks for the
// one by the other, and so the key in its routes' typed_per_filter_config.
func TableName(listener string) string { return FilterName + "/" + listener }

// Translate says the whole intent as discovery resources. It is best effort: a
// part that cannot be said is left out and reported in Snapshot.Problems; the
// error is for options that make no sense.
func Translate(in *ir.IR, o Options) (*Snapshot, error) {
	o, err := o.complete()
	if err != nil {
		return nil, fmt.Errorf("translate: %w", err)
	}
	t := &translation{options: o, out: newBuilder()}
	t.secrets(in.Secrets)
	t.clusters(in.Clusters)
	t.listeners(in.Listeners)
	return t.out.snapshot(), nil
}

// translation is one run of Translate: what is known so far, and what is said.
type translation struct {
	options Options
	out     *builder

	keyPairs map[string]bool // secrets that can be referred to
	cas      map[string]bool
}
