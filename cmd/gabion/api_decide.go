package main

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gabion-io/gabion/api-discovery"
	"github.com/gabion-io/gabion/controlplane/server"
	"github.com/gabion-io/gabion/controlplane/store"
)

func newAPIPin(a *app) *cobra.Command {
	return a.deciding(apidiscovery.OverridePin, "pin TEMPLATE", "Say that paths of this form are one operation",
		`Say that paths that fit a template have it, whatever the traffic looks like.`,
		"  gabion api pin '/files/{name}/raw' --service shop", 1)
}

func newAPIMerge(a *app) *cobra.Command {
	return a.deciding(apidiscovery.OverrideMerge, "merge TEMPLATE", "Say that what was taken for words are values of one parameter",
		`Say that what stands in the holes of a template are values of a parameter, though they
were taken for words of the API: /top/artists and /top/tracks are both /top/{kind}.`,
		"  gabion api merge '/top/{kind}' --service shop --reason 'one list, three kinds'", 1)
}

func newAPISplit(a *app) *cobra.Command {
	return a.deciding(apidiscovery.OverrideSplit, "split TEMPLATE WORD", "Say that one value of a parameter is an operation of its own",
		`Say that a word in the last hole of a template is a word of the API: with 'split
/users/{userId} me' there is /users/me beside /users/{userId}.`,
		"  gabion api split '/users/{userId}' me --service shop", 2)
}

func newAPIRename(a *app) *cobra.Command {
	return a.deciding(apidiscovery.OverrideRename, "rename TEMPLATE NAME...", "Name the parameters of a template",
		`Give the holes of a template names, from left to right.`,
		"  gabion api rename '/shops/{shopId}/items/{itemId}' shop number --service shop", -1)
}

// deciding is a command that says something of templates; words is how many it
// takes, -1 any from two on.
func (a *app) deciding(action, use, short, long, example string, words int) *cobra.Command {
	var service, reason string
	check := cobra.ExactArgs(words)
	if words < 0 {
		check = cobra.MinimumNArgs(2)
	}
	c := &cobra.Command{
		Use: use, Short: short, Example: example,
		Long: long + `

What is decided holds at once and for good, for what was learned and for what will be;
'gabion api decisions' lists it and takes it back, and the audit log has it.`,
		Args: args(check),
		RunE: func(c *cobra.Command, words []string) error {
			cl, err := a.dial()
			if err != nil {
				return err
			}
			d := server.Decision{Service: service, Action: action, Template: words[0], Reason: reason}
			switch action {
			case apidiscovery.OverrideSplit:
				d.Value = words[1]
			case apidiscovery.OverrideRename:
				d.Names = words[1:]
			}
			var o store.StoredOverride
			if err := cl.call(c.Context(), request{method: http.MethodPost, path: "/api/v1/apis/decisions", body: d}, &o); err != nil {
				return err
			}
			if a.output == "json" {
				return writeJSON(a.out, o)
			}
			fmt.Fprintf(a.out, "decided: %s\nTake it back:  %s api decisions --undo %d\n", overrideText(o), a.self, o.ID)
			return nil
		},
	}
	c.Flags().StringVar(&service, "service", "", "of this service: shop, or default/shop (default: of every one)")
	c.Flags().StringVar(&reason, "reason", "", "why, for the audit log")
	return a.outputs(a.remote(c), "text", "json")
}

func overrideText(o store.StoredOverride) string {
	text := o.Action + " " + o.Template.String()
	if o.Value != "" {
		text += " " + o.Value
	}
	if len(o.Names) > 0 {
		text += " " + strings.Join(o.Names, " ")
	}
	if o.Service != "" {
		text += " of " + o.Service
	}
	return printable(text)
}

func newAPIDecisions(a *app) *cobra.Command {
	var undo int64
	c := &cobra.Command{
		Use:     "decisions [--undo NUMBER]",
		Short:   "List what was decided about templates, or take it back",
		Long:    `List what persons decided about templates with pin, merge, split and rename.`,
		Example: "  gabion api decisions\n  gabion api decisions --undo 3",
		Args:    args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			cl, err := a.dial()
			if err != nil {
				return err
			}
			if c.Flags().Changed("undo") {
				if err := cl.call(c.Context(), request{method: http.MethodDelete, path: "/api/v1/apis/decisions/" + strconv.FormatInt(undo, 10)}, nil); err != nil {
					return err
				}
				fmt.Fprintf(a.out, "taken back: %d\n", undo)
				return nil
			}
			var list server.DecisionList
			if err := cl.call(c.Context(), request{method: http.MethodGet, path: "/api/v1/apis/decisions"}, &list); err != nil {
				return err
			}
			if a.output == "json" {
				return writeJSON(a.out, list)
			}
			if len(list.Items) == 0 {
				fmt.Fprintln(a.out, "nothing was decided")
				return nil
			}
			t := newTable(a.out, "NUMBER", "DECISION", "AUTHOR", "TIME", "REASON")
			for _, o := range list.Items {
				t.row(strconv.FormatInt(o.ID, 10), overrideText(o), o.Author, timeOf(o.Time), o.Reason)
			}
			return t.flush()
		},
	}
	c.Flags().Int64Var(&undo, "undo", 0, "take this one back")
	return a.outputs(a.remote(c), "table", "json")
}
