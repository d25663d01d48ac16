package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/gabion-io/gabion/controlplane/server"
)

func newRollback(a *app) *cobra.Command {
	var namespace string
	var w writeFlags
	var list bool
	c := &cobra.Command{
		Use:   "rollback KIND NAME [REVISION]",
		Short: "Write an earlier revision of a resource again",
		Long: `Write an earlier revision of a resource again, as a new revision: the one before
the current, or the one named. So rolling back twice undoes the rollback. What did
not exist before its first revision is deleted.`,
		Example: `  gabion rollback wafpolicy shop
  gabion rollback waf shop --list       # the revisions there are
  gabion rollback waf shop 3`,
		Args:              args(cobra.RangeArgs(2, 3)),
		ValidArgsFunction: completeKinds,
		RunE: func(c *cobra.Command, given []string) error {
			n, err := resolveName(given[0], given[1], namespace)
			if err != nil {
				return err
			}
			if list {
				return a.showRevisions(c.Context(), n)
			}
			q := w.query()
			if len(given) == 3 {
				revision, err := strconv.ParseInt(given[2], 10, 64)
				if err != nil || revision < 1 {
					return usageOf(c, fmt.Errorf("%q is not a revision: they count from 1", given[2]))
				}
				q.Set("revision", given[2])
			}
			err = a.change(c.Context(), request{method: http.MethodPost, path: n.path("rollback"), query: q}, w)
			if remote, ok := errors.AsType[*remoteError](err); ok && remote.status == http.StatusNotFound && len(given) == 3 {
				err = withHint(err, "'gabion rollback %s %s --list' lists those that are kept", given[0], given[1])
			}
			return err
		},
	}
	w.add(c)
	c.Flags().BoolVar(&w.force, "force", false, "write although the result would have new problems")
	c.Flags().BoolVar(&list, "list", false, "list the revisions and change nothing")
	return a.outputs(a.remote(namespaced(c, &namespace)), "table", "json")
}

func (a *app) showRevisions(ctx context.Context, n named) error {
	cl, err := a.dial()
	if err != nil {
		return err
	}
	var list server.RevisionList
	if err := cl.call(ctx, request{method: http.MethodGet, path: n.path("revisions")}, &list); err != nil {
		return err
	}
	if a.output == "json" {
		return writeJSON(a.out, list)
	}
	t := newTable(a.out, "REVISION", "AGE", "AUTHOR", "ORIGIN", "ACTION")
	for _, r := range list.Items {
		t.row(strconv.FormatInt(r.Revision, 10), age(a.now(), r.Time), r.Author, r.Origin, r.Action)
	}
	return t.flush()
}
