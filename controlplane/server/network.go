package server

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gabion-io/gabion/controlplane/api/v1alpha1"
	"github.com/gabion-io/gabion/controlplane/ingest"
	"github.com/gabion-io/gabion/controlplane/segment"
	"github.com/gabion-io/gabion/controlplane/store"
	"github.com/gabion-io/gabion/workload"
)

// FlowCoverage says how much of the network the flows and edges show. Empty lists
// without it would look like peace.
type FlowCoverage struct {
	Summary string          `json:"summary" doc:"one sentence that says it"`
	Agents  []AgentCoverage `json:"agents" doc:"hosts that have ever reported"`
	Silent  []SilentHost    `json:"silent,omitempty" doc:"hosts that have workloads and never reported"`
}

// AgentCoverage is what one host's agent has reported.
type AgentCoverage struct {
	Host     string    `json:"host"`
	Since    time.Time `json:"since" doc:"the first report that is known"`
	Last     time.Time `json:"last"`
	Quiet    bool      `json:"quiet,omitempty" doc:"it says that it lives every half minute, and has not for two minutes"`
	Rows     uint64    `json:"rows" doc:"stored"`
	Repeated uint64    `json:"repeated,omitempty"`
	Lost     uint64    `json:"lost,omitempty" doc:"seen by the host and known to be lost"`
	Refused  uint64    `json:"refused,omitempty" doc:"about workloads that are not the host's"`
}

// SilentHost is a host of which nothing is known.
type SilentHost struct {
	Host      string `json:"host" doc:"empty: workloads that name no node"`
	Workloads int    `json:"workloads"`
}

// quietAfter is some of the half minutes in which an agent says that it lives.
const quietAfter = 2 * time.Minute

// network is what the resources in force say about the network.
func (a *api) network() segment.Result {
	s := a.Live.State()
	if s == nil {
		return segment.Result{}
	}
	var objects []v1alpha1.Object
	for _, item := range s.Set.Items() {
		objects = append(objects, item.Object)
	}
	return segment.Compile(objects, segment.Options{RootNamespace: a.Live.CompileOptions().RootNamespace})
}

func (a *api) flowCoverage(ctx context.Context) (FlowCoverage, error) {
	return CoverageOfFlows(ctx, a.Store, a.network().Workloads, a.Now())
}

// CoverageOfFlows compares what agents reported with the workloads there are.
func CoverageOfFlows(ctx context.Context, st *store.Store, workloads []*workload.Workload, now time.Time) (FlowCoverage, error) {
	all, err := st.Coverage(ctx)
	if err != nil {
		return FlowCoverage{}, err
	}
	out := FlowCoverage{Agents: []AgentCoverage{}}
	reported := map[string]bool{}
	for _, c := range all {
		host, ok := strings.CutPrefix(c.Source, ingest.FlowSource(""))
		if !ok {
			continue
		}
		reported[host] = true
		out.Agents = append(out.Agents, AgentCoverage{
			Host: host, Since: c.Since, Last: c.Last, Quiet: now.Sub(c.Last) > quietAfter,
			Rows: c.Received, Repeated: c.Duplicates, Lost: c.Lost, Refused: c.Garbage,
		})
	}
	silent := map[string]int{}
	for _, w := range workloads {
		if !reported[w.Node] {
			silent[w.Node]++
		}
	}
	for host, n := range silent {
		out.Silent = append(out.Silent, SilentHost{host, n})
	}
	slices.SortFunc(out.Silent, func(a, b SilentHost) int {
		if (a.Host == "") != (b.Host == "") {
			return len(b.Host) - len(a.Host)
		}
		return cmp.Compare(a.Host, b.Host)
	})
	out.Summary = out.sentence()
	return out, nil
}

// sentence is the coverage in words.
func (c FlowCoverage) sentence() string {
	var parts []string
	var quiet, lost, refused int
	var since time.Time
	for _, a := range c.Agents {
		if a.Quiet {
			quiet++
		}
		lost, refused = lost+int(a.Lost), refused+int(a.Refused)
		if since.IsZero() || a.Since.Before(since) {
			since = a.Since
		}
	}
	switch n := len(c.Agents); {
	case n == 0:
		parts = append(parts, "no agent has ever reported: nothing is known of the network")
	case quiet == 0:
		parts = append(parts, fmt.Sprintf("%s, since %s UTC", count(n, "agent reports", "agents report"), since.UTC().Format("2006-01-02 15:04")))
	default:
		parts = append(parts, fmt.Sprintf("%d of %s now, since %s UTC", n-quiet, count(n, "agent reports", "agents report"), since.UTC().Format("2006-01-02 15:04")))
	}
	if lost > 0 {
		parts = append(parts, count(lost, "row was lost", "rows were lost"))
	}
	if refused > 0 {
		parts = append(parts, count(refused, "row was refused", "rows were refused"))
	}
	for i, s := range c.Silent {
		if i == 3 {
			parts = append(parts, fmt.Sprintf("%d more hosts never reported", len(c.Silent)-i))
			break
		}
		if s.Host == "" {
			parts = append(parts, count(s.Workloads, "workload names", "workloads name")+" no node, so nobody may report for them")
			continue
		}
		parts = append(parts, fmt.Sprintf("%s with %s never reported", s.Host, count(s.Workloads, "workload", "workloads")))
	}
	return strings.Join(parts, "; ")
}

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
