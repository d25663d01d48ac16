package crs

import (
	"fmt"
	"strings"
)

// Excuse is why a case cannot pass through Envoy: what Envoy does to its
// request before any filter is asked. It is checked, not believed: Envoy's
// access log has to show it.
type Excuse struct {
	Why     string
	Refused string // Envoy's response code details: no filter saw the request
	Field   string // of Shown: what Envoy made of the request
	Value   string
}

// holds says whether the excuse is what happened.
func (x Excuse) holds(s Seen) error {
	switch {
	case x.Refused != "" && (s.Observation.Event != nil || s.Detail != x.Refused):
		return fmt.Errorf("said to be refused with %q, but Envoy said %q", x.Refused, s.Detail)
	case x.Field != "" && s.Observation.Event == nil:
		return fmt.Errorf("said to be rewritten, but no filter saw it: %s", s.Detail)
	case x.Field != "" && strings.TrimPrefix(s.Shown[x.Field], "-") != x.Value:
		return fmt.Errorf("said to show %s %q, but Envoy shows %q", x.Field, x.Value, s.Shown[x.Field])
	}
	return nil
}

// apply judges the result of the excused case: an excuse has to be needed, and
// true of every request of the case.
func (x Excuse) apply(r Result, seen []Seen) Result {
	if r.Outcome == Passed {
		return Result{ID: r.ID, Outcome: Failed, Why: "stale excuse: the case passes"}
	}
	for _, s := range seen {
		if err := x.holds(s); err != nil {
			return Result{ID: r.ID, Outcome: Failed, Why: "wrong excuse: " + err.Error()}
		}
	}
	return Result{ID: r.ID, Outcome: Excused, Why: x.Why + " (" + r.Why + ")"}
}

// EnvoyExcuses lists them by case id.
func EnvoyExcuses() map[string]Excuse {
	out := map[string]Excuse{}
	add := func(x Excuse, ids string) {
		for _, id := range strings.Fields(ids) {
			out[id] = x
		}
	}
	// Refused.
	add(Excuse{Why: "Envoy refuses a request without Host", Refused: "missing_host_header"}, "920280-1 920430-5")
	add(Excuse{Why: "Envoy's HTTP/1 parser refuses bytes above 0x7e in a request target", Refused: "http1.codec_error"},
		"934120-23 934120-24 934120-25 934120-26 934120-39")
	// Rewritten.
	add(Excuse{Why: "Envoy removes a Referer that is no URL (spaces, quotes), or one with a fragment", Field: "referer"},
		`932161-7 932161-9 932161-10 932161-11 932161-12 932207-1 932207-2 932207-7 932237-4 932237-12
		 932239-6 932239-7 932239-19 932239-27 932239-29 932390-9 941101-1 941110-4 941120-49 941120-50 942280-3`)
	add(Excuse{Why: "Envoy removes Connection: it ends at each hop", Field: "connection"},
		"920210-2 920210-3 920210-4 920210-6 920210-7")
	add(Excuse{Why: "Envoy takes any version other than 1.1 for 1.0, and serves it", Field: "protocol", Value: "HTTP/1.0"},
		"920180-4 920280-3 920430-3 920430-8 920430-9")
	add(Excuse{Why: "Envoy puts the slash of an absolute request target without a path", Field: "path", Value: "/"}, "920100-16")
	add(Excuse{Why: "Envoy takes a bare carriage return out of a header's value", Field: "someheader",
		Value: "HeaderdataInjectedHeader: response_splitting_code"}, "921140-1")
	return out
}
