package learn

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/gabion-io/gabion/segmentation"
	"github.com/gabion-io/gabion/workload"
)

// Each scenario is an observation and what must be learned from it:
//
//	workloads  namespace/name label=value …
//	edges      SRC > DST PROTOCOL[/PORT] FLOWS AT[..END] [answered N] [uncounted] [busy]
//	allowed    flows that must be allowed: SRC > DST PROTOCOL[/PORT]
//	denied     flows that must not
//	apart      the sources of anomalies, in any order
//	selects    what policies select, if it matters
//
// {1..3} and {a,b} stand for each of them, in every combination. An end is
// namespace/name, an address, or address=name. FLOWS without "answered" are all
// answered; "uncounted" edges say nothing of answers and bytes; "busy" ones move much.
func TestScenarios(t *testing.T) {
	files, err := filepath.Glob("testdata/scenarios/*.txtar")
	if err != nil || len(files) < 10 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			s := readScenario(t, file)
			for _, reversed := range []bool{false, true} {
				s.check(t, reversed)
			}
		})
	}
}

type scenario struct {
	parts     map[string][]string
	workloads []*workload.Workload
}

func readScenario(t *testing.T, file string) *scenario {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	s := &scenario{parts: map[string][]string{}}
	for _, f := range txtar.Parse(text).Files {
		for line := range strings.Lines(string(f.Data)) {
			if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
				s.parts[f.Name] = append(s.parts[f.Name], expand(line)...)
			}
		}
	}
	for n, line := range s.parts["workloads"] {
		words := strings.Fields(line)
		id, err := workload.ParseID(words[0])
		if err != nil {
			t.Fatal(err)
		}
		w := &workload.Workload{ID: id, Labels: workload.Labels{}, Addresses: []netip.Addr{netip.AddrFrom4([4]byte{10, 0, byte(n / 250), byte(n%250 + 1)})}}
		for _, l := range words[1:] {
			name, value, _ := strings.Cut(l, "=")
			w.Labels[name] = value
		}
		s.workloads = append(s.workloads, w)
	}
	return s
}

var braces = regexp.MustCompile(`\{([^{}]*)\}`)

func expand(line string) []string {
	at := braces.FindStringSubmatchIndex(line)
	if at == nil {
		return []string{line}
	}
	choices := strings.Split(line[at[2]:at[3]], ",")
	if from, to, is := strings.Cut(line[at[2]:at[3]], ".."); is {
		a, _ := strconv.Atoi(from)
		b, _ := strconv.Atoi(to)
		for choices = nil; a <= b; a++ {
			choices = append(choices, strconv.Itoa(a))
		}
	}
	var out []string
	for _, c := range choices {
		out = append(out, expand(line[:at[0]]+c+line[at[1]:])...)
	}
	return out
}

func (s *scenario) end(t *testing.T, text string) segmentation.Endpoint {
	t.Helper()
	for _, w := range s.workloads {
		if w.ID.String() == text {
			return segmentation.At(w)
		}
	}
	addr, name, named := strings.Cut(text, "=")
	a, err := netip.ParseAddr(addr)
	if err != nil {
		t.Fatalf("%q is neither a workload nor an address", text)
	}
	if named {
		return segmentation.Outside(a, name)
	}
	return segmentation.Outside(a)
}

// flow reads SRC > DST PROTOCOL[/PORT].
func (s *scenario) flow(t *testing.T, line string) (segmentation.Flow, []string) {
	t.Helper()
	words := strings.Fields(line)
	if len(words) < 4 || words[1] != ">" {
		t.Fatalf("no flow: %q", line)
	}
	protocol, port, _ := strings.Cut(words[3], "/")
	p, err := segmentation.ParseProtocol(protocol)
	if err != nil {
		t.Fatal(err)
	}
	n, _ := strconv.Atoi(port)
	return segmentation.Flow{Src: s.end(t, words[0]), Dst: s.end(t, words[2]), Protocol: p, Port: uint16(n)}, words[4:]
}

func (s *scenario) edge(t *testing.T, line string) segmentation.Edge {
	t.Helper()
	f, rest := s.flow(t, line)
	e := segmentation.Edge{Src: f.Src, Dst: f.Dst, Protocol: f.Protocol, Port: f.Port}
	flows, err := strconv.ParseUint(rest[0], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	from, to, span := strings.Cut(rest[1], "..")
	if !span {
		to = from
	}
	first, err1 := time.ParseDuration(from)
	last, err2 := time.ParseDuration(to)
	if err1 != nil || err2 != nil {
		t.Fatalf("no times: %q", line)
	}
	answered := flows
	e.Flows, e.Bytes, e.First, e.Last = flows, 900*flows, day0.Add(first), day0.Add(last)
	switch {
	case slices.Contains(rest, "busy"):
		e.Bytes = 50 << 20
	case slices.Contains(rest, "uncounted"):
		e.Bytes = 0
		return e
	case slices.Contains(rest, "answered"):
		if answered, err = strconv.ParseUint(rest[len(rest)-1], 10, 64); err != nil {
			t.Fatal(err)
		}
		e.Bytes = 900 * answered
	}
	e.Answered = &answered
	return e
}

func (s *scenario) check(t *testing.T, reversed bool) {
	t.Helper()
	l := New(s.workloads, Options{Mode: segmentation.Enforce})
	lines := slices.Clone(s.parts["edges"])
	if reversed {
		slices.Reverse(lines)
	}
	for _, line := range lines {
		e := s.edge(t, line)
		l.Add(&e)
	}
	d := l.Propose()
	policies := d.policies()
	for _, want := range []segmentation.Verdict{segmentation.Allowed, segmentation.Denied} {
		for _, line := range s.parts[want.String()] {
			f, _ := s.flow(t, line)
			if got, rule := segmentation.Evaluate(policies, f); got != want {
				t.Errorf("%s is %s by %s, must be %s", line, got, rule, want)
			}
		}
	}
	var apart, selects []string
	for _, a := range d.Anomalies {
		apart = append(apart, endText(a.Source))
	}
	for _, p := range d.Proposals {
		selects = append(selects, p.Policy.Subject.String())
	}
	slices.Sort(apart)
	slices.Sort(s.parts["apart"])
	if diff := cmp.Diff(s.parts["apart"], slices.Compact(apart)); diff != "" {
		t.Errorf("shown apart (-want +got):\n%s%s", diff, fmt.Sprint(whys(&d)))
	}
	slices.Sort(selects)
	slices.Sort(s.parts["selects"])
	if want := s.parts["selects"]; want != nil && !slices.Equal(want, selects) {
		t.Errorf("selects (-want +got):\n%s", cmp.Diff(want, selects))
	}
}

func whys(d *Draft) (out []string) {
	for _, a := range d.Anomalies {
		out = append(out, fmt.Sprintf("%s %s: %s\n", a.Shape, endText(a.Source), a.Why))
	}
	return out
}
