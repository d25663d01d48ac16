package main

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/gabion-io/gabion/controlplane/server"
	"github.com/gabion-io/gabion/controlplane/store"
)

func newAudit(a *app) *cobra.Command {
	return group("audit", "Read and verify the audit log",
		`Every change is in the audit log with its author. Each entry holds the hash of the
one before, so that an entry changed or removed later is found.`,
		newAuditList(a), newAuditVerify(a))
}

func newAuditList(a *app) *cobra.Command {
	var since, until, author, resource string
	var limit int
	c := &cobra.Command{
		Use:     "list",
		Short:   "List changes, newest first",
		Example: "  gabion audit list --since 24h\n  gabion audit list --author ci\n  gabion audit list --resource 'WAFPolicy default/shop'",
		Args:    args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			q := url.Values{"limit": {strconv.Itoa(limit)}}
			for name, text := range map[string]string{"since": since, "until": until} {
				if err := setMoment(q, name, name, text, a.now()); err != nil {
					return usageOf(c, err)
				}
			}
			for name, text := range map[string]string{"author": author, "resource": resource} {
				if text != "" {
					q.Set(name, text)
				}
			}
			cl, err := a.dial()
			if err != nil {
				return err
			}
			var list server.AuditList
			if err := cl.call(c.Context(), request{method: http.MethodGet, path: "/api/v1/audit", query: q}, &list); err != nil {
				return err
			}
			if a.output == "json" {
				return writeJSON(a.out, list)
			}
			return a.showAudit(list.Items)
		},
	}
	c.Flags().StringVar(&since, "since", "", "only later ones: 1h, 7d, or a time")
	c.Flags().StringVar(&until, "until", "", "only earlier ones")
	c.Flags().StringVar(&author, "author", "", "only by this token, or in this file")
	c.Flags().StringVar(&resource, "resource", "", "only about this: 'KIND namespace/name', a token's name or a proposal's id")
	c.Flags().IntVar(&limit, "limit", 100, "how many at most, up to 1000")
	return a.outputs(a.remote(c), "table", "json")
}

func (a *app) showAudit(entries []store.AuditEntry) error {
	t := newTable(a.out, "SEQ", "TIME", "AUTHOR", "ACTION", "SUBJECT", "REVISION", "NOTE")
	for _, e := range entries {
		revision := ""
		if e.Revision > 0 {
			revision = strconv.FormatInt(e.Revision, 10)
		}
		t.row(strconv.FormatInt(e.Seq, 10), e.Time.Local().Format(time.DateTime), e.Author, e.Action, e.Resource, revision, cut(e.Note, 60))
	}
	return t.flush()
}

func newAuditVerify(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:     "verify",
		Short:   "Recompute the chain of hashes",
		Long:    "Recompute the audit log's chain of hashes. The exit code is 1 when an entry does not fit.",
		Example: "  gabion audit verify",
		Args:    args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			cl, err := a.dial()
			if err != nil {
				return err
			}
			var v store.AuditVerdict
			if err := cl.call(c.Context(), request{method: http.MethodGet, path: "/api/v1/audit/verify"}, &v); err != nil {
				return err
			}
			if a.output == "json" {
				if err := writeJSON(a.out, v); err != nil {
					return err
				}
			} else if v.Broken == 0 {
				fmt.Fprintf(a.out, "intact: %d entries (%d older ones pruned by age), head %s\n", v.Entries, v.Pruned, v.Head)
			}
			if v.Broken != 0 {
				return withHint(fmt.Errorf("the audit log is broken at entry %d: %s", v.Broken, v.Reason),
					"entries from there on cannot be trusted; compare with a backup of the state directory")
			}
			return nil
		},
	}
	return a.outputs(a.remote(c), "text", "json")
}
