package main

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/gabion-io/gabion/api-discovery"
	"github.com/gabion-io/gabion/controlplane/server"
)

func newAPIShow(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:   "show ID | show METHOD TEMPLATE",
		Short: "Show all that is known of one operation",
		Long: `Show what an operation takes and answers, who calls it and how they say who they
are, what data it carries, how it differs from what is declared, and why its template
is what it is. ID is from 'gabion api list', or the beginning of one.`,
		Example: `  gabion api show 4k1t9
  gabion api show GET '/orders/{orderId}'
  gabion api show GET /orders -o yaml`,
		Args: args(cobra.RangeArgs(1, 2)),
		RunE: func(c *cobra.Command, words []string) error {
			o, err := a.findOperation(c.Context(), words)
			if err != nil {
				return err
			}
			if a.output != "table" {
				return a.writeStructured(o)
			}
			return a.showOperation(o)
		},
	}
	return a.outputs(a.remote(c), "table", "json", "yaml")
}

func newAPICallers(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:   "callers ID | callers METHOD TEMPLATE",
		Short: "Show who calls an operation",
		Long: `Show who calls an operation, most exchanges first. A caller is the strongest identity
that its requests carried: a workload's certificate, the subject of a token, a key, a
session, or the client's address. All but workloads are keyed hashes: the same caller
has the same hash at every operation.`,
		Example: "  gabion api callers GET '/orders/{orderId}'\n  gabion api callers 4k1t9 -o json",
		Args:    args(cobra.RangeArgs(1, 2)),
		RunE: func(c *cobra.Command, words []string) error {
			o, err := a.findOperation(c.Context(), words)
			if err != nil {
				return err
			}
			if a.output != "table" {
				return a.writeStructured(o.Callers)
			}
			return a.tableCallers(o)
		},
	}
	return a.outputs(a.remote(c), "table", "json", "yaml")
}

// findOperation finds one by its id, or by method and template; names of holes
// do not matter.
func (a *app) findOperation(ctx context.Context, words []string) (o server.OperationDetail, err error) {
	cl, err := a.dial()
	if err != nil {
		return o, err
	}
	id := strings.ToLower(words[0])
	if len(words) == 2 {
		if id, err = a.operationID(ctx, cl, words[0], words[1]); err != nil {
			return o, err
		}
	}
	return o, cl.call(ctx, request{method: http.MethodGet, path: "/api/v1/operations/" + id}, &o)
}

func (a *app) operationID(ctx context.Context, cl *client, method, template string) (string, error) {
	t, err := apidiscovery.ParsePathTemplate(template)
	if err != nil {
		return "", usageError{err}
	}
	var list server.OperationList
	if err := cl.call(ctx, request{method: http.MethodGet, path: "/api/v1/operations"}, &list); err != nil {
		return "", err
	}
	var found []server.OperationSummary
	for _, o := range list.Items {
		if strings.EqualFold(o.Method, method) && o.Template.Canonical() == t.Canonical() {
			found = append(found, o)
		}
	}
	switch len(found) {
	case 0:
		return "", withHint(fmt.Errorf("no operation %s %s", method, template), "'gabion api list' shows what there is")
	case 1:
		return found[0].ID, nil
	}
	text := ""
	for _, o := range found {
		text += fmt.Sprintf("%s  %s %s\n", o.ID, o.Service, o.Name)
	}
	return "", withHint(fmt.Errorf("%d operations are %s %s", len(found), method, template), "name one by its id:\n%s", strings.TrimRight(text, "\n"))
}

func (a *app) showOperation(o server.OperationDetail) error {
	t := o.Traffic
	fmt.Fprintf(a.out, "%s %s\n", o.Method, printable(templateOf(o.OperationKey)))
	fmt.Fprintf(a.out, "  service   %s (%s), operation %s\n", printable(o.Service), o.Protocol, o.ID)
	fmt.Fprintf(a.out, "  traffic   %s", plural(t.Count, "exchange", "exchanges"))
	for _, n := range []struct {
		n    uint64
		what string
	}{{t.Errors, "errors"}, {t.Denied, "denied"}, {t.Missing, "missing"}, {t.Preflights, "preflights"}} {
		if n.n > 0 {
			fmt.Fprintf(a.out, ", %d %s", n.n, n.what)
		}
	}
	fmt.Fprintf(a.out, "\n  seen      %s to %s\n", timeOf(t.First), timeOf(t.Last))
	if t.Latency.Count() > 0 {
		fmt.Fprintf(a.out, "  latency   half within %s, 99 of 100 within %s\n", latencyText(t.Latency.Quantile(0.5)), latencyText(t.Latency.Quantile(0.99)))
	}
	for _, x := range o.Auth {
		fmt.Fprintf(a.out, "  auth      %s\n", authText(x))
	}
	fmt.Fprintf(a.out, "  callers   %d\n", o.Callers.Distinct)
	a.showExposure(o.Listeners)
	for _, d := range o.Drift {
		fmt.Fprintf(a.out, "  %s    %s\n", d.Kind, printable(strings.TrimSpace(d.Part+" "+d.Where+" "+d.What)))
	}
	for _, f := range o.Findings {
		fmt.Fprintf(a.out, "  finding   %s, %s: %s\n", f.Rule, f.Confidence, printable(strings.TrimPrefix(f.Where+": "+f.Evidence, ": ")))
	}
	for _, s := range o.Sensitive {
		fmt.Fprintf(a.out, "  data      %s: %s\n", printable(s.Where), strings.Join(s.Kinds, ", "))
	}
	if err := a.showShape(o.Operation); err != nil {
		return err
	}
	a.showEvidence(o.Evidence)
	return nil
}

// showShape prints what goes in and what comes out.
func (a *app) showShape(o apidiscovery.Operation) error {
	fmt.Fprintln(a.out)
	t := newTable(a.out, "IN", "NAME", "TYPE", "REQUIRED", "SEEN")
	rows := 0
	row := func(in, name string, s *apidiscovery.Schema, required bool, n uint64) {
		rows++
		t.row(in, cut(name, 60), cut(schemaText(s), 50), map[bool]string{true: "yes", false: "no"}[required], count(n))
	}
	body := func(in string, b apidiscovery.Body) {
		row(in, b.MediaType, b.Schema, b.Required, b.Count)
		b.Schema.Walk(func(where string, s *apidiscovery.Schema) {
			if where != "" && strings.Count(where, "/") <= 4 {
				row(in, "  "+where, s, false, s.Count)
			}
		})
	}
	for _, p := range o.Params {
		row(p.In, p.Name, p.Schema, p.Required, p.Count)
	}
	for _, b := range o.Request {
		body("request", b)
	}
	for _, r := range o.Responses {
		if len(r.Bodies) == 0 {
			row(fmt.Sprint(r.Status), "", nil, false, r.Count)
		}
		for _, b := range r.Bodies {
			body(fmt.Sprint(r.Status), b)
		}
	}
	if rows == 0 {
		return nil
	}
	return t.flush()
}

func (a *app) showEvidence(e apidiscovery.Evidence) {
	if len(e.Segments) == 0 {
		return
	}
	fmt.Fprintf(a.out, "\nwhy this template, %d%% sure\n", int(100*e.Confidence))
	for _, g := range e.Segments {
		a.explainSegment(g)
	}
}

func (a *app) tableCallers(o server.OperationDetail) error {
	if len(o.Callers.Top) == 0 {
		fmt.Fprintln(a.out, "no caller is known")
		return nil
	}
	t := newTable(a.out, "CALLER", "IS A", "EXCHANGES")
	for _, c := range o.Callers.Top {
		name := c.Hash
		if c.Name != "" {
			name = c.Name
		}
		t.row(name, c.Kind, count(c.Count))
	}
	if err := t.flush(); err != nil {
		return err
	}
	if n := o.Callers.Distinct; n > uint64(len(o.Callers.Top)) {
		fmt.Fprintf(a.out, "and some %d more\n", n-uint64(len(o.Callers.Top)))
	}
	return nil
}

func authText(x apidiscovery.Auth) string {
	s := strings.TrimSpace(x.Kind + " " + x.Format)
	if x.Name != "" {
		s += " " + printable(x.Name)
		if x.In != "" {
			s += " in " + x.In
		}
	}
	if len(x.Issuers) > 0 {
		s += ", of " + printable(strings.Join(x.Issuers, ", "))
	}
	if len(x.Audiences) > 0 {
		s += ", for " + printable(strings.Join(x.Audiences, ", "))
	}
	return s + fmt.Sprintf(": %d, accepted %d", x.Count, x.Accepted)
}

// schemaText is a schema in one line: "string (email)", "array of integer".
func schemaText(s *apidiscovery.Schema) string {
	if s == nil {
		return ""
	}
	text := strings.Join(s.Types, " or ")
	if s.Format != "" {
		text += " (" + s.Format + ")"
	}
	if s.Items != nil {
		text += " of " + schemaText(s.Items)
	}
	if len(s.Enum) > 0 {
		text += ": " + strings.Join(s.Enum, ", ")
	}
	if len(s.Sensitive) > 0 {
		text += " [" + strings.Join(s.Sensitive, ", ") + "]"
	}
	return text
}

func timeOf(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05") }

func latencyText(d time.Duration) string {
	if d < 10*time.Millisecond {
		return fmt.Sprintf("%.1fms", float64(d)/1e6)
	}
	return short(d)
}

// showExposure says from where an operation can be called.
func (a *app) showExposure(listeners []string) {
	if len(listeners) == 0 {
		fmt.Fprintln(a.out, "  exposed   no listener leads to it: only workloads can call it")
		return
	}
	fmt.Fprintf(a.out, "  exposed   through %s\n", printable(strings.Join(listeners, ", ")))
}
