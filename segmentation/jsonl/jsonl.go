// Package jsonl reads edges and flows, a JSON object a line, the form in which
// they are exported and kept in files. Mistakes are errors with the line's number.
//
// It resolves names against the workloads it is given and decides nothing. The
// control plane's composition and the command line import it.
package jsonl

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"time"

	"github.com/gabion-io/gabion/segmentation"
	"github.com/gabion-io/gabion/workload"
)

// maxLine bounds one line, in bytes.
const maxLine = 1 << 20

// Years of observations: what is counted in nanoseconds from 1970 on must not run
// over.
const oldest, newest = 1970, 2200

// Line is one edge or flow as it is written: an edge has all of it, a flow the
// first five fields. Src and Dst of a line that is being read are gone with the
// next one.
type Line struct {
	Src      string                `json:"src"` // namespace/name, or an address
	Dst      string                `json:"dst"`
	DstName  string                `json:"dstName,omitempty"`
	Protocol segmentation.Protocol `json:"protocol"`
	Port     uint16                `json:"port"`
	Flows    uint64                `json:"flows,omitempty"`
	Answered *uint64               `json:"answered,omitempty"` // nil: nobody counted
	Bytes    uint64                `json:"bytes,omitempty"`
	First    time.Time             `json:"first,omitzero"`
	Last     time.Time             `json:"last,omitzero"`
	Process  string                `json:"process,omitempty"`
}

// Reader resolves lines.
type Reader struct {
	file   string
	byName map[string]*workload.Workload
	byAddr map[netip.Addr]*workload.Workload
}

// NewReader reads lines of a file about workloads. file is for errors.
func NewReader(file string, workloads []*workload.Workload) *Reader {
	r := &Reader{file: file, byName: map[string]*workload.Workload{}, byAddr: map[netip.Addr]*workload.Workload{}}
	for _, w := range workloads {
		r.byName[w.ID.String()] = w
		for _, a := range w.Addresses {
			r.byAddr[a.Unmap()] = w
		}
	}
	return r
}

// Edges calls yield for every edge, in order, until the input ends or something
// is wrong.
func (r *Reader) Edges(in io.Reader, yield func(line int, e *segmentation.Edge) error) error {
	return r.lines(in, func(n int, l *Line) error {
		e := segmentation.Edge{Protocol: l.Protocol, Port: l.Port, Flows: l.Flows, Answered: l.Answered, Bytes: l.Bytes, First: l.First, Last: l.Last}
		var err error
		switch e.Src, e.Dst, err = r.ends(l); {
		case err != nil:
			return err
		case l.First.IsZero() || l.Last.IsZero():
			return errors.New("first and last must be times such as 2026-11-01T08:00:00Z")
		case l.First.Year() < oldest || l.Last.Year() > newest:
			return fmt.Errorf("first and last must be between the years %d and %d", oldest, newest)
		case l.Last.Before(l.First):
			return fmt.Errorf("last (%s) is before first (%s)", l.Last.Format(time.RFC3339), l.First.Format(time.RFC3339))
		case l.Answered != nil && *l.Answered > l.Flows:
			return fmt.Errorf("%d flows cannot have %d answered", l.Flows, *l.Answered)
		}
		e.Flows = max(e.Flows, 1)
		if l.Process != "" {
			e.Processes = []string{l.Process}
		}
		return yield(n, &e)
	})
}

// Flows calls yield for every flow, in order.
func (r *Reader) Flows(in io.Reader, yield func(l *Line, f segmentation.Flow) error) error {
	return r.lines(in, func(_ int, l *Line) error {
		src, dst, err := r.ends(l)
		if err != nil {
			return err
		}
		return yield(l, segmentation.Flow{Src: src, Dst: dst, Protocol: l.Protocol, Port: l.Port})
	})
}

func (r *Reader) lines(in io.Reader, yield func(n int, l *Line) error) error {
	s := bufio.NewScanner(in)
	s.Buffer(make([]byte, 0, 1<<16), maxLine)
	n := 0
	for s.Scan() {
		n++
		text := bytes.TrimSpace(s.Bytes())
		if len(text) == 0 {
			continue
		}
		var l Line
		if !quick(text, &l) {
			l = Line{}
			if err := slow(text, &l); err != nil {
				return fmt.Errorf("%s:%d: %w", r.file, n, err)
			}
		}
		if err := yield(n, &l); err != nil {
			return fmt.Errorf("%s:%d: %w", r.file, n, err)
		}
	}
	if err := s.Err(); err != nil {
		return fmt.Errorf("%s:%d: %w", r.file, n+1, err)
	}
	return nil
}

func slow(text []byte, l *Line) error {
	d := json.NewDecoder(bytes.NewReader(text))
	if err := d.Decode(l); err != nil {
		return fmt.Errorf("read the line as JSON: %w", err)
	}
	if d.More() {
		return errors.New("there is more on the line than one JSON object")
	}
	return nil
}

// ends resolves both ends of a line.
func (r *Reader) ends(l *Line) (src, dst segmentation.Endpoint, err error) {
	if src, err = r.end("src", l.Src, ""); err != nil {
		return src, dst, err
	}
	if dst, err = r.end("dst", l.Dst, l.DstName); err != nil {
		return src, dst, err
	}
	if l.Protocol == segmentation.AnyProtocol {
		return src, dst, errors.New("protocol is missing: TCP, UDP, SCTP, ICMP")
	}
	// An end by name has several addresses: the one of the other end's family counts.
	switch srcNamed, dstNamed := strings.Contains(l.Src, "/"), strings.Contains(l.Dst, "/"); {
	case srcNamed && dstNamed:
		src, dst = segmentation.Between(src.Workload, dst.Workload)
	case srcNamed:
		src = segmentation.Facing(src.Workload, dst.Addr)
	case dstNamed:
		dst = segmentation.Facing(dst.Workload, src.Addr)
	}
	return src, dst, nil
}

func (r *Reader) end(field, text, name string) (segmentation.Endpoint, error) {
	if w := r.byName[text]; w != nil {
		return segmentation.At(w), nil
	}
	if addr, err := netip.ParseAddr(text); err == nil {
		if w := r.byAddr[addr.Unmap()]; w != nil {
			return segmentation.Endpoint{Workload: w, Addr: addr.Unmap()}, nil
		}
		if name != "" {
			return segmentation.Outside(addr, name), nil
		}
		return segmentation.Outside(addr), nil
	}
	switch {
	case text == "":
		return segmentation.Endpoint{}, fmt.Errorf("%s is missing", field)
	case strings.Contains(text, "/"):
		return segmentation.Endpoint{}, fmt.Errorf("%s %q is none of the workloads given", field, text)
	}
	return segmentation.Endpoint{}, fmt.Errorf("%s %q is neither namespace/name nor an address", field, text)
}
