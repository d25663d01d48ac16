package main

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"github.com/gabion-io/gabion/controlplane/server"
	"github.com/gabion-io/gabion/segmentation"
	"github.com/gabion-io/gabion/workload"
)

// flowFlags narrow flows and edges.
type flowFlags struct {
	since, until            string
	namespace, selector     string
	from, to, verdict, port string
	limit                   int
	most                    int // that the server gives
}

func (f *flowFlags) add(c *cobra.Command, limit, most int) {
	f.limit, f.most = limit, most
	fl := c.Flags()
	fl.StringVar(&f.since, "since", "", "seen since: 90s, 1h, 7d, or a time like 2026-01-31T15:04:05Z")
	fl.StringVar(&f.until, "until", "", "seen before, written the same way")
	fl.StringVarP(&f.namespace, "namespace", "n", "", "one of the ends is in this namespace")
	fl.StringVarP(&f.selector, "selector", "l", "", "one of the ends has these labels: app=web,tier in (a,b)")
	fl.StringVar(&f.from, "from", "", "source: namespace/name, namespace/, labels, or an address or prefix")
	fl.StringVar(&f.to, "to", "", "destination, written the same way")
	fl.StringVar(&f.verdict, "verdict", "", "allowed, audited or denied")
	fl.StringVar(&f.port, "port", "", "of the service: 443, or UDP/53")
	fl.IntVar(&f.limit, "limit", limit, "how many at most")
}

func (f *flowFlags) query(now time.Time) (url.Values, error) {
	q := url.Values{}
	for name, text := range map[string]string{"since": f.since, "until": f.until} {
		if err := setMoment(q, name, name, text, now); err != nil {
			return nil, err
		}
	}
	if f.verdict != "" {
		if _, err := segmentation.ParseVerdict(f.verdict); err != nil {
			return nil, fmt.Errorf("--verdict %q: it is one of allowed, audited, denied", f.verdict)
		}
	}
	if _, err := workload.ParseSelector(f.selector); err != nil {
		return nil, fmt.Errorf("--selector: %w", err)
	}
	for name, text := range map[string]string{
		"namespace": f.namespace, "selector": f.selector, "from": f.from, "to": f.to, "verdict": f.verdict,
	} {
		if text != "" {
			q.Set(name, text)
		}
	}
	if f.port != "" {
		protocol, number, both := strings.Cut(f.port, "/")
		if !both {
			protocol, number = "", f.port
		}
		n, err := strconv.ParseUint(number, 10, 16)
		if err != nil || n == 0 {
			return nil, fmt.Errorf("--port %q: write 443, or UDP/53", f.port)
		}
		q.Set("port", number)
		if protocol != "" {
			q.Set("protocol", protocol)
		}
	}
	if f.limit < 1 || f.limit > f.most {
		return nil, fmt.Errorf("--limit: from 1 to %d", f.most)
	}
	return q, nil
}

// structured prints what a machine reads; false: a person reads.
func (a *app) structured(v any) (bool, error) {
	switch a.output {
	case "json":
		return true, writeJSON(a.out, v)
	case "yaml":
		text, err := yaml.Marshal(v)
		if err != nil {
			return true, fmt.Errorf("write YAML: %w", err)
		}
		_, err = a.out.Write(text)
		return true, err
	}
	return false, nil
}

// showCoverageOf says how much of the network was looked at, under every list:
// an empty one is no sign that all is well.
func (a *app) showCoverageOf(c server.FlowCoverage) {
	colour := dim
	if len(c.Agents) == 0 || len(c.Silent) > 0 {
		colour = yellow
	}
	fmt.Fprintf(a.out, "\n%s\n", a.paint(colour, "coverage: "+printable(c.Summary)))
}

func (a *app) verdictText(v segmentation.Verdict) string {
	switch v {
	case segmentation.Denied:
		return a.paint(red, v.String())
	case segmentation.Audited:
		return a.paint(yellow, v.String())
	case segmentation.Allowed:
	}
	return v.String()
}
