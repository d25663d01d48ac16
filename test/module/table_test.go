package module

import (
	"encoding/json"
	"testing"

	"github.com/gabion-io/gabion/filters"
	wafrules "github.com/gabion-io/gabion/waf-rules"
)

// policyFor is the built-in default of a WAFPolicy in a mode.
func policyFor(t testing.TB, mode filters.Mode) filters.Policy {
	t.Helper()
	waf, err := json.Marshal(wafrules.Settings{
		Profile: "crs", ParanoiaLevel: 1, Inbound: 5, Outbound: 4, MaxArguments: 10_000, JSONDepth: 64,
		// The rule set's own list of content types lacks gRPC and plain bytes.
		Exclusions: []wafrules.Exclusion{{Rule: 920420}},
	})
	if err != nil {
		t.Fatal(err)
	}
	p := filters.Policy{
		Mode: mode, FailureMode: filters.FailOpen,
		RequestBody: filters.BodyInspection{Inspect: true, Limit: 128 << 10, StructuredLimit: 1 << 20, Depth: 64, Beyond: filters.BeyondPartial},
		Block:       filters.BlockResponse{Status: 403},
		WAF:         waf,
	}
	if mode == filters.ModeBlock {
		p.FailureMode = filters.FailClosed
	}
	if mode == filters.ModeOff {
		p.WAF = nil
	}
	return p
}

// tableOf is a table with a binding per mode, its key the mode's name, as the
// routes of bootstrap carry them. "missing" is in no table.
func tableOf(t testing.TB, change ...func(*filters.Table)) []byte {
	t.Helper()
	table := filters.Table{Listener: "default/web/http", Bindings: map[string]filters.Binding{}, Policies: map[string]filters.Policy{}, Unknown: filters.FailClosed}
	for _, mode := range []filters.Mode{filters.ModeOff, filters.ModeDetect, filters.ModeBlock} {
		p := policyFor(t, mode)
		id := filters.PolicyID(p)
		table.Policies[id] = p
		table.Bindings[string(mode)] = filters.Binding{Policy: id, Route: "default/shop", Rule: "0", Source: "WAFPolicy default/shop"}
	}
	for _, f := range change {
		f(&table)
	}
	b, err := json.Marshal(table)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
