package main

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"

	"github.com/oklog/ulid/v2"

	"github.com/gabion-io/gabion/filters"
	"github.com/gabion-io/gabion/internal/spool"
	"github.com/gabion-io/gabion/internal/supervise"
)

// The children of `gabion up` without which no request is judged.
const (
	envoyProcess  = "envoy"
	filterProcess = "filter"
)

// outages makes events of the ends of such children. They go into the filter's
// spool, where they wait while the control plane is away.
type outages struct {
	spool *spool.Writer
	log   *slog.Logger
}

func openOutages(l layout, log *slog.Logger) (outages, error) {
	w, err := spool.Open(l.eventSpool(), eventSpoolBytes)
	if err != nil {
		return outages{}, fmt.Errorf("open the spool of events: %w", err)
	}
	return outages{w, log}, nil
}

// tell spools what is known of an outage. How many there are is bounded by the
// back-off of the supervisor.
func (s outages) tell(o supervise.Outage) {
	node, ok := map[string]string{envoyProcess: envoyNode(), filterProcess: filterNode()}[o.Name]
	if !ok {
		return
	}
	record, err := json.Marshal(endEvent(node, o))
	if err != nil || !s.spool.Append(record) {
		s.log.Error("no event could be made of the end of a process", "child", o.Name, "error", err)
	}
}

// endEvent is the event of an outage. Its id is made of the outage alone, so that
// what is told later completes what was told first.
func endEvent(node string, o supervise.Outage) filters.Event {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %s %d", node, o.Name, o.Ended.UnixNano()))
	id := ulid.MustNew(ulid.Timestamp(o.Ended), strings.NewReader(string(sum[:])))
	return filters.Event{
		ID: id.String(), Time: o.Ended.UTC(), Proxy: node, Decision: filters.Ended, Engine: filters.ProcessEngine,
		Process: &filters.ProcessEnd{Name: o.Name, Exit: o.Exit, Fatal: o.Fatal, Ready: o.Ready.UTC(), Back: o.Back.UTC(), Restarts: o.Restarts},
	}
}
