package main

import (
	"cmp"
	"fmt"
	"net/http"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/gabion-io/gabion/controlplane/ads"
	"github.com/gabion-io/gabion/controlplane/hosts"
	"github.com/gabion-io/gabion/controlplane/server"
)

func newStatus(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:   "status",
		Short: "Show proxies, versions, refusals, coverage and storage",
		Long: `Show how the installation fares: which proxies are connected, which version each
has accepted or refused and how long that took, what somebody should look at, how
complete the telemetry is, and how much is stored.`,
		Example: "  gabion status\n  gabion status -o json",
		Args:    args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			cl, err := a.dial()
			if err != nil {
				return err
			}
			var s server.Status
			if err := cl.call(c.Context(), request{method: http.MethodGet, path: "/api/v1/status"}, &s); err != nil {
				return err
			}
			if a.output == "json" {
				return writeJSON(a.out, s)
			}
			return a.showStatus(s)
		},
	}
	return a.outputs(a.remote(c), "table", "json")
}

func (a *app) showStatus(s server.Status) error {
	snapshot := s.Snapshot
	if snapshot == "" {
		snapshot = "none yet"
	}
	fmt.Fprintf(a.out, "gabion %s, %d resources, snapshot %s\n\n", s.Version, s.Resources, snapshot)
	if err := a.showProxies(s); err != nil {
		return err
	}
	if err := a.showAgents(s); err != nil {
		return err
	}
	for _, r := range s.Refusals {
		fmt.Fprintf(a.out, "  %s %s refused %s %s: %s", a.paint(red, "refused:"), r.Node, r.Type, r.Version, printable(r.Message))
		if len(r.Causes) > 0 {
			fmt.Fprintf(a.out, " (from %s)", strings.Join(r.Causes, ", "))
		}
		fmt.Fprintln(a.out)
	}
	if len(s.Conditions) > 0 {
		fmt.Fprintln(a.out)
		t := newTable(a.out, "TO LOOK AT", "REASON", "PATH", "MESSAGE")
		for _, c := range s.Conditions {
			t.row(c.Key().String(), c.Reason, c.Path, cut(c.Message, 120))
		}
		if err := t.flush(); err != nil {
			return err
		}
	}
	if err := a.showCoverage(s); err != nil {
		return err
	}
	return a.showStore(s)
}

func (a *app) showProxies(s server.Status) error {
	if len(s.Proxies) == 0 {
		fmt.Fprintln(a.out, "no proxy has connected yet")
		return nil
	}
	t := newTable(a.out, "PROXY", "CLUSTER", "STATE", "SINCE", "TYPE", "VERSION", "ACK", "LAG")
	for _, p := range s.Proxies {
		state := "connected"
		if !p.Connected {
			state = "gone"
		}
		types := p.Types
		sort.Slice(types, func(i, j int) bool { return types[i].TypeURL < types[j].TypeURL })
		for i, ty := range types {
			row := []string{p.Node, p.Cluster, state, ago(s.Now, p.Since), typeName(ty.TypeURL), cut(cmp.Or(ty.Acked, ty.Want), 12), ackText(ty), short(ty.Lag)}
			if i > 0 {
				row[0], row[1], row[2], row[3] = " ", " ", " ", " "
			}
			t.row(row...)
		}
		if len(types) == 0 {
			t.row(p.Node, p.Cluster, state, ago(s.Now, p.Since), "", "", "", "")
		}
	}
	return t.flush()
}

func (a *app) showAgents(s server.Status) error {
	if len(s.Agents) == 0 {
		return nil
	}
	fmt.Fprintln(a.out)
	t := newTable(a.out, "AGENT OF", "STATE", "SINCE", "ADDRESS", "RESOURCES", "VERSION", "ACK", "CERTIFICATE")
	for _, h := range s.Agents {
		state := "connected"
		if !h.Connected {
			state = "gone"
		}
		t.row(h.Host, state, ago(s.Now, h.Since), h.Address, strconv.Itoa(h.Resources), cut(cmp.Or(h.Acked, h.Want), 12), hostAck(h, s.Now), "for "+short(max(h.Certificate.Sub(s.Now), 0).Truncate(time.Second)))
	}
	if err := t.flush(); err != nil {
		return err
	}
	for _, h := range s.Agents {
		if h.Nacked != "" {
			did := "refused"
			if h.TakenBack {
				did = "taken back"
			}
			fmt.Fprintf(a.out, "  %s version %s by host %s: %s\n", a.paint(red, did+":"), h.Nacked, h.Host, printable(h.Error))
		}
	}
	return nil
}

// hostAck is what a host made of what it was sent last.
func hostAck(h hosts.Status, now time.Time) string {
	switch {
	case h.Connected && !h.SentAt.IsZero():
		return "trying for " + short(max(now.Sub(h.SentAt), 0).Truncate(time.Second))
	case h.TakenBack:
		return "taken back"
	case h.Nacked != "":
		return "NACK"
	case h.Want == h.Acked && h.Want != "":
		return "ACK"
	}
	return "waiting"
}

func typeName(url string) string { return url[strings.LastIndexByte(url, '.')+1:] }

func ackText(t ads.TypeStatus) string {
	switch {
	case t.Nacked != "":
		return "NACK"
	case t.Want == "" && t.Acked == "":
		return ""
	case t.Want == "", t.Acked == t.Want:
		return "ACK"
	}
	return "waiting"
}

func (a *app) showCoverage(s server.Status) error {
	fmt.Fprintln(a.out)
	if len(s.Coverage) == 0 {
		fmt.Fprintln(a.out, "telemetry: nothing has arrived yet")
		return nil
	}
	t := newTable(a.out, "TELEMETRY", "RECEIVED", "LOST", "GARBAGE", "DUPLICATES", "SINCE", "LAST")
	for _, c := range s.Coverage {
		t.row(c.Source, count(c.Received), count(c.Lost), count(c.Garbage), count(c.Duplicates), ago(s.Now, c.Since), ago(s.Now, c.Last))
	}
	return t.flush()
}

func count(n uint64) string { return strconv.FormatUint(n, 10) }

func (a *app) showStore(s server.Status) error {
	fmt.Fprintf(a.out, "\nstored in %s, %s; disk %.0f %% full\n", s.Store.Backend, s.Store.Where, s.Store.DiskUsed*100)
	if s.Store.TelemetryStopped {
		fmt.Fprintf(a.out, "%s telemetry is no longer stored, %d rows were refused: free some disk space\n", a.paint(red, "stopped:"), s.Store.TelemetryRefused)
	}
	t := newTable(a.out, "STORED", "ROWS", "SIZE", "OLDEST", "AT MOST", "PRUNED")
	for _, c := range s.Store.Classes {
		bound := ""
		if c.MaxAge > 0 {
			bound = short(c.MaxAge)
		}
		if c.MaxBytes > 0 {
			bound = strings.TrimPrefix(bound+", "+bytesText(c.MaxBytes), ", ")
		}
		t.row(c.Name, strconv.FormatInt(c.Rows, 10), bytesText(c.Bytes), ago(s.Now, c.Oldest), bound, strconv.FormatInt(c.Pruned, 10))
	}
	return t.flush()
}
