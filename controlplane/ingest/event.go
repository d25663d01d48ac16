package ingest

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"time"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"

	"github.com/gabion-io/gabion/filters"
	"github.com/gabion-io/gabion/internal/exchange"
)

// maxEvent bounds the JSON of one event.
const maxEvent = 64 << 10

// metadataEvent is the filter's finding in an entry's dynamic metadata; nil when
// there is none.
func (d door) metadataEvent(m *core.Metadata) (*filters.Event, error) {
	field, ok := m.GetFilterMetadata()[filters.MetadataNamespace].GetFields()[filters.MetadataKey]
	if !ok {
		return nil, nil
	}
	e, err := decodeEvent([]byte(field.GetStringValue()))
	if err == nil && e.Process != nil {
		return nil, errors.New("an exchange with the event of a process")
	}
	return e, err
}

// decodeEvent reads an event and refuses one that no filter would write. Fields
// it does not know are let pass: a filter may be newer than the control plane.
func decodeEvent(b []byte) (*filters.Event, error) {
	if len(b) > maxEvent {
		return nil, fmt.Errorf("event of %d bytes", len(b))
	}
	var e filters.Event
	if err := json.Unmarshal(b, &e); err != nil {
		return nil, fmt.Errorf("decode event: %w", err)
	}
	if !validID(e.ID) {
		return nil, errors.New("event without a proper id")
	}
	switch e.Decision {
	case filters.Allow, filters.Detect, filters.Denied:
		e.Process = nil
	case filters.Ended:
		if e.Process == nil || e.Process.Name == "" || e.Process.Restarts < 0 {
			return nil, errors.New("event of no proper process")
		}
	default:
		return nil, errors.New("event without a proper decision")
	}
	switch e.Mode {
	case filters.ModeOff, filters.ModeDetect, filters.ModeBlock, "":
	default:
		return nil, errors.New("event without a proper mode")
	}
	return &e, nil
}

func validID(id string) bool {
	if len(id) == 0 || len(id) > 64 {
		return false
	}
	for i := range len(id) {
		c := id[i]
		if (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'z') && c != '-' && c != '_' {
			return false
		}
	}
	return true
}

// spooled makes an event from the spool fit to store.
func (d door) spooled(e *filters.Event) {
	if e.Process != nil {
		*e = d.ended(e)
		return
	}
	d.complete(e, &exchange.Exchange{}, netip.Addr{})
}

// ended is what is kept of the event of a process: nothing that is said of a
// request, and no moment that cannot be.
func (d door) ended(e *filters.Event) filters.Event {
	p := *e.Process
	at := d.at(e.Time).Truncate(time.Microsecond)
	p.Name, p.Exit, p.Fatal = bounded(p.Name, 64), bounded(p.Exit, 128), bounded(p.Fatal, 512)
	p.Ready, p.Back = p.Ready.UTC().Truncate(time.Microsecond), p.Back.UTC().Truncate(time.Microsecond)
	if p.Ready.After(at) || p.Ready.Before(time.Unix(0, 0)) { // a year below 0 cannot be written
		p.Ready = time.Time{}
	}
	if p.Back.Before(at) || p.Back.After(d.now().Add(time.Hour)) {
		p.Back = time.Time{}
	}
	return filters.Event{ID: e.ID, Time: at, Proxy: bounded(e.Proxy, 128), Decision: filters.Ended, Engine: filters.ProcessEngine, Process: &p}
}

// complete fills what the filter could not know from the access log entry, cuts
// what is too long, and replaces every value: the client's address, the path.
func (d door) complete(e *filters.Event, x *exchange.Exchange, client netip.Addr) {
	e.Log, e.Logged = nil, nil // raw values of a debugged table; none comes this far in normal use
	if a := parseClient(e.Client); a.IsValid() {
		client = a
	}
	e.Client, e.ClientNet = d.clientHash(client), clientNet(client)
	if e.Path == "" {
		e.Path = x.Path
	} else {
		e.Path = exchange.MaskPath(e.Path)
	}
	if e.Host = exchange.MaskHost(e.Host); e.Host == "" {
		e.Host = x.Host
	}
	if e.Time.IsZero() {
		e.Time = x.Time
	}
	e.Time = d.at(e.Time).Truncate(time.Microsecond)
	e.Status = cmp.Or(e.Status, x.Status)
	e.Method = cmp.Or(knownMethod(e.Method), x.Method)
	e.Listener = bounded(cmp.Or(e.Listener, x.Listener), 256)
	e.Route = bounded(cmp.Or(e.Route, x.Route), 256)
	e.RouteRule = bounded(cmp.Or(e.RouteRule, x.RouteRule), 256)
	for _, f := range []struct {
		s *string
		n int
	}{{&e.Proxy, 128}, {&e.Key, 256}, {&e.Policy, 256}, {&e.PolicyID, 64}, {&e.Engine, 64}, {&e.Reason, 1024}, {&e.RequestID, 128}, {&e.Partial, 256}} {
		*f.s = bounded(*f.s, f.n)
	}
	if len(e.Matches) > filters.MaxMatches {
		e.MoreMatches += len(e.Matches) - filters.MaxMatches
		e.Matches = e.Matches[:filters.MaxMatches]
	}
	if e.API != nil {
		boundAPI(e.API)
	}
	for i := range e.Matches {
		m := &e.Matches[i]
		m.Message, m.Severity = bounded(m.Message, 512), bounded(m.Severity, 32)
		m.Variable, m.Read, m.Value = bounded(m.Variable, 256), bounded(m.Read, 64), bounded(m.Value, 512)
		m.Tags = m.Tags[:min(len(m.Tags), 32)]
	}
}

// boundAPI cuts what API protection found.
func boundAPI(f *filters.APIFinding) {
	f.Policy, f.Operation = bounded(f.Policy, 256), bounded(f.Operation, 512)
	if n := len(f.Violations) - filters.MaxViolations; n > 0 {
		f.More += n
		f.Violations = f.Violations[:filters.MaxViolations]
	}
	for i := range f.Violations {
		v := &f.Violations[i]
		v.In, v.At, v.Reason = bounded(v.In, 16), bounded(v.At, 256), bounded(v.Reason, 256)
	}
}

// knownMethod keeps a registered method; another is the client's own text.
func knownMethod(m string) string {
	if m == "" {
		return ""
	}
	if _, ok := core.RequestMethod_value[m]; ok && m != "METHOD_UNSPECIFIED" {
		return m
	}
	return "OTHER"
}
