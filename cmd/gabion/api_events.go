package main

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/gabion-io/gabion/controlplane/store"
	"github.com/gabion-io/gabion/filters"
)

func newAPIEvents(a *app) *cobra.Command {
	f := eventFlags{api: true}
	c := &cobra.Command{
		Use:   "events",
		Short: "List requests that were not what their operation takes, newest first",
		Long: `List requests in which API protection found something, newest first: which operation
they were for, and what was wrong with which field of them. The decision is what the
filter did: 'deny', or 'detect' when it passed and block mode would have denied it, or
'allow' when it was only to be told.

'gabion waf event ID' shows one whole.`,
		Example: `  gabion api events --since 1h
  gabion api events --decision deny --policy shop
  gabion api events --follow`,
		Args: args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error { return a.events(c, f) },
	}
	f.register(c)
	return a.outputs(a.remote(c), "table", "json")
}

func apiEventColumns() []string {
	return []string{"TIME", "EVENT", "DECISION", "OPERATION", "VIOLATION", "MORE", "REQUEST", "CLIENT"}
}

func (a *app) apiEventRow(e store.StoredEvent) []string {
	operation, first, more := "-", "", ""
	if f := e.API; f != nil && len(f.Violations) > 0 {
		if f.Operation != "" {
			operation = f.Operation
		}
		first = f.Violations[0].String()
		if n := len(f.Violations) - 1 + f.More; n > 0 {
			more = fmt.Sprintf("+%d", n)
		}
	}
	return []string{e.Time.Local().Format("Jan 02 15:04:05"), e.ID, string(e.Decision), cut(operation, 48), cut(first, 70), more,
		cut(e.Method+" "+e.Host+e.Path, 60), cut(e.Client, 12)}
}

func (a *app) printAPIEvent(e *store.StoredEvent) error {
	if a.output == "json" {
		return json.NewEncoder(a.out).Encode(e)
	}
	row := a.apiEventRow(*e)
	for i := range row {
		row[i] = printable(row[i])
	}
	_, err := fmt.Fprintf(a.out, "%s  %s  %-6s  %s  %s %s\n", row[0], row[1], a.decision(e.Decision), row[3], row[4], row[5])
	return err
}

// showViolations is what API protection says in an event.
func (a *app) showViolations(f *filters.APIFinding) {
	if f == nil {
		return
	}
	operation := f.Operation
	if operation == "" {
		operation = "no operation of the API"
	}
	fmt.Fprintf(a.out, "  %s  (%s, mode %s)\n", a.paint(bold, printable(operation)), printable(f.Policy), f.Mode)
	for _, v := range f.Violations {
		told := ""
		if v.Told {
			told = "  (only told)"
		}
		fmt.Fprintf(a.out, "    %s%s\n", printable(v.String()), told)
	}
	if f.More > 0 {
		fmt.Fprintf(a.out, "    and more, at least %d\n", f.More)
	}
	fmt.Fprintln(a.out)
}
