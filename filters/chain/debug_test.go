package chain

import (
	"bytes"
	"slices"
	"testing"

	"github.com/gabion-io/gabion/filters"
)

// Without Debug no event says what the engine logged, whatever was found; with
// it every inspected exchange has an event that does.
func TestDebugNamesWhatLogged(t *testing.T) {
	show := func(target string, debug bool) (*filters.Event, []byte) {
		tab := table(t, NewRuntime(Options{}), testPolicy(t, filters.ModeDetect, nil), func(c *filters.Table) { c.Debug = debug })
		x := tab.Begin("k")
		x.RequestHeaders(get(target), true)
		x.ResponseHeaders(&filters.ResponseHead{Status: 200}, true)
		finding := x.Finding()
		return x.Complete(), finding
	}
	if e, finding := show("/fine", false); e != nil || finding != nil {
		t.Errorf("a harmless request has the event %+v", e)
	}
	if e, finding := show("/fine", true); e == nil || finding == nil || e.Decision != filters.Allow || len(e.Logged) != 0 {
		t.Errorf("debug: a harmless request has the event %+v", e)
	}
	e, finding := show(sqli, false)
	if e == nil || e.Logged != nil || e.Log != nil || bytes.Contains(finding, []byte(`"log`)) {
		t.Errorf("an attack has the event %+v", e)
	}
	e, finding = show(sqli, true)
	if e == nil || !slices.Contains(e.Logged, 942100) || !slices.Contains(e.Logged, 949110) ||
		!bytes.Contains(e.Log, []byte("UNION SELECT password")) || !bytes.Contains(finding, []byte(`"log`)) {
		t.Errorf("debug: an attack has the event %+v", e)
	}
	if got := distinct([]int{3, 1, 3, 2}, 2); !slices.Equal(got, []int{3, 1}) {
		t.Errorf("distinct gives %v", got)
	}
}
