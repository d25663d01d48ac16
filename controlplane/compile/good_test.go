package compile

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/gabion-io/gabion/controlplane/source"
	"github.com/gabion-io/gabion/filters"
)

// TestLastGoodIsLeftBehind: what ships is remembered, a refused change keeps it,
// and a mended one replaces it.
func TestLastGoodIsLeftBehind(t *testing.T) {
	raw, err := os.ReadFile("testdata/basic.txtar")
	if err != nil {
		t.Fatal(err)
	}
	base := string(txtar.Parse(raw).Files[0].Data)
	good := map[string]filters.Policy(nil)
	for _, step := range []struct {
		spec string
		mode filters.Mode
		bad  bool
	}{
		{"spec: {mode: detect}", filters.ModeDetect, false},
		{"spec: {mode: block, rules: ['@BAD']}", filters.ModeDetect, true},
		{"spec: {mode: block, rules: ['@BAD'], paranoiaLevel: 2}", filters.ModeDetect, true},
		{"spec: {mode: block, rules: ['@good']}", filters.ModeBlock, false},
		{"spec: {mode: 'off', rules: ['@BAD']}", filters.ModeOff, false},
	} {
		text := strings.Replace(base, "spec:\n  mode: detect\n", step.spec+"\n", 1)
		r := Compile(source.NewSet(decode(t, "in.yaml", []byte(text)), nil), testOptions(good))
		good = r.Good
		var table filters.Table
		if err := json.Unmarshal(r.IR.Listeners[0].FilterTable, &table); err != nil {
			t.Fatal(err)
		}
		p, ok := table.Policies[table.Bindings["default/shop/0"].Policy]
		if !ok || p.Mode != step.mode || len(table.Policies) != 1 {
			t.Errorf("%s: got %+v, want mode %s", step.spec, table.Policies, step.mode)
		}
		bad := false
		for _, c := range r.Conditions {
			bad = bad || c.Bad()
		}
		if bad != step.bad {
			t.Errorf("%s: bad conditions: %v, want %v", step.spec, bad, step.bad)
		}
	}
}

// TestNothingOfAPolicyCanShip: where the filter refuses even the bare policy, the
// binding has none, and somebody is told.
func TestNothingOfAPolicyCanShip(t *testing.T) {
	raw, err := os.ReadFile("testdata/basic.txtar")
	if err != nil {
		t.Fatal(err)
	}
	o := testOptions(nil)
	o.Check = refuseAll
	r := Compile(source.NewSet(decode(t, "in.yaml", txtar.Parse(raw).Files[0].Data), nil), o)
	var table filters.Table
	if err := json.Unmarshal(r.IR.Listeners[0].FilterTable, &table); err != nil {
		t.Fatal(err)
	}
	if b, ok := table.Bindings["default/shop/0"]; !ok || b.Policy != "" {
		t.Errorf("got %+v", table.Bindings)
	}
	told := false
	for _, c := range r.Conditions {
		told = told || (c.Bad() && c.Name == "default" && strings.Contains(c.Message, "nothing is inspected"))
	}
	if !told {
		t.Errorf("nobody is told: %+v", r.Conditions)
	}
}
