package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/gabion-io/gabion/segmentation"
	"github.com/gabion-io/gabion/segmentation/agent"
)

// line is one row of flows as it is written: an edge as one of its ends saw it.
type line struct {
	Src      string                `json:"src"`
	Dst      string                `json:"dst"`
	DstName  string                `json:"dstName,omitempty"` // by which the source was told the address
	Protocol segmentation.Protocol `json:"protocol"`
	Port     uint16                `json:"port,omitempty"`
	By       string                `json:"by"`
	Verdict  segmentation.Verdict  `json:"verdict"`
	Rule     string                `json:"rule"`
	Reason   string                `json:"reason,omitempty"`
	Flows    uint64                `json:"flows"`
	Answered uint64                `json:"answered"`
	Packets  uint64                `json:"packets"`
	Bytes    uint64                `json:"bytes"`
	First    time.Time             `json:"first"`
	Last     time.Time             `json:"last"`
	PID      uint32                `json:"pid,omitempty"` // of who opened one of the flows, where known
	Process  string                `json:"process,omitempty"`
}

// report writes flows, to nowhere if nobody asked.
type report struct {
	to    *bufio.Writer
	close io.Closer
}

func openReport(path string, out io.Writer) (*report, error) {
	switch path {
	case "":
		return &report{}, nil
	case "-":
		return &report{to: bufio.NewWriter(out)}, nil
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open flows: %w", err)
	}
	return &report{to: bufio.NewWriter(f), close: f}, nil
}

func (r *report) Close() error {
	if r.close == nil {
		return nil
	}
	return r.close.Close()
}

func (r *report) write(w agent.Window) {
	all := w.Sightings
	if r.to == nil {
		return
	}
	enc := json.NewEncoder(r.to)
	for i := range all {
		s := &all[i]
		l := line{
			Src: end(s.Src), Dst: end(s.Dst), Protocol: s.Protocol, Port: s.Port, By: s.By.String(),
			Verdict: s.Verdict, Rule: s.Rule.String(), Flows: s.Flows, Answered: *s.Answered,
			Packets: s.Packets, Bytes: s.Bytes, First: s.First.UTC(), Last: s.Last.UTC(),
		}
		if len(s.Dst.Names) > 0 {
			l.DstName = s.Dst.Names[0]
		}
		l.Reason = s.Why()
		if s.Opener != nil {
			l.PID, l.Process = s.Opener.PID, s.Opener.Executable
		}
		if err := enc.Encode(l); err != nil {
			return // the reader went away: enforcing goes on
		}
	}
	r.to.Flush()
}

// end names a workload, else an address.
func end(e segmentation.Endpoint) string {
	if e.Workload != nil {
		return e.Workload.ID.String()
	}
	return e.Addr.String()
}
