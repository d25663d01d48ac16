package crs

import (
	"strings"
	"testing"

	"github.com/gabion-io/gabion/filters"
)

func TestExcusesAreChecked(t *testing.T) {
	refused := Excuse{Why: "too odd", Refused: "codec_error"}
	rewritten := Excuse{Why: "no referer", Field: "referer"}
	failed := Result{ID: "1-1", Outcome: Failed, Why: "rule 1 did not match"}
	saw := Observation{Event: &filters.Event{}}
	for name, c := range map[string]struct {
		excuse Excuse
		result Result
		seen   Seen
		want   Outcome
		why    string
	}{
		"refused":             {refused, failed, Seen{Detail: "codec_error"}, Excused, "too odd (rule 1 did not match)"},
		"refused otherwise":   {refused, failed, Seen{Detail: "route_not_found"}, Failed, "wrong excuse"},
		"not refused":         {refused, failed, Seen{Detail: "codec_error", Observation: saw}, Failed, "wrong excuse"},
		"passes":              {refused, Result{ID: "1-1"}, Seen{Detail: "codec_error"}, Failed, "stale excuse"},
		"rewritten":           {rewritten, failed, Seen{Shown: map[string]string{"referer": "-"}, Observation: saw}, Excused, "no referer"},
		"not rewritten":       {rewritten, failed, Seen{Shown: map[string]string{"referer": "x"}, Observation: saw}, Failed, "wrong excuse"},
		"refused, not filter": {rewritten, failed, Seen{Shown: map[string]string{"referer": "-"}}, Failed, "wrong excuse"},
	} {
		got := c.excuse.apply(c.result, []Seen{c.seen})
		if got.Outcome != c.want || !strings.HasPrefix(got.Why, c.why) {
			t.Errorf("%s: %+v", name, got)
		}
	}
	for id, x := range EnvoyExcuses() {
		if x.Why == "" || (x.Refused == "") == (x.Field == "") {
			t.Errorf("excuse of %s says neither or both of refused and rewritten: %+v", id, x)
		}
	}
}
