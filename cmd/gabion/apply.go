package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gabion-io/gabion/controlplane/api/v1alpha1"
	"github.com/gabion-io/gabion/controlplane/server"
)

// writeFlags are shared by everything that changes resources.
type writeFlags struct {
	dryRun, force, write bool
}

func (w *writeFlags) add(c *cobra.Command) {
	c.Flags().BoolVar(&w.dryRun, "dry-run", false, "say what would be done and do nothing")
	c.Flags().BoolVar(&w.write, "write", false, "edit the file of a resource that a file owns")
}

func (w writeFlags) query() url.Values {
	q := url.Values{}
	if w.dryRun {
		q.Set("dryRun", "true")
	}
	if w.force {
		q.Set("force", "true")
	}
	return q
}

func newApply(a *app) *cobra.Command {
	var paths []string
	var w writeFlags
	revision := int64(-1)
	c := &cobra.Command{
		Use:   "apply -f FILE",
		Short: "Write resources: all of them or none",
		Long: `Write resources to the control plane's store, all of them or none. What is
acknowledged survives a crash, and is being served when the command returns.

A name that a file owns is changed in that file only: then nothing is written,
the patch is printed and the exit code is 1. With --write the file is edited.

A change that would make new problems (a rule that does not parse, a reference to
nothing) is refused with their list; --force writes it all the same.`,
		Example: `  gabion apply -f policy.yaml
  gabion apply -f policies/ --dry-run
  kustomize build . | gabion apply -f -
  gabion apply -f policy.yaml --revision 4      # only if nobody changed it since`,
		Args: args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			body, err := a.readManifests(paths)
			if err != nil {
				return err
			}
			q := w.query()
			if revision >= 0 {
				q.Set("revision", strconv.FormatInt(revision, 10))
			}
			if len(paths) == 1 {
				q.Set("name", paths[0])
			}
			return a.change(c.Context(), request{method: http.MethodPost, path: "/api/v1/apply", query: q, body: body}, w)
		},
	}
	manifestFlag(c, &paths, "what to write")
	w.add(c)
	c.Flags().BoolVar(&w.force, "force", false, "write although the result would have new problems")
	c.Flags().Int64Var(&revision, "revision", -1, "with one resource: write only if this is its current revision (0: it must not exist)")
	return a.outputs(a.remote(c), "table", "json")
}

// change sends a writing request, reports it, and edits files when asked to.
func (a *app) change(ctx context.Context, r request, w writeFlags) error {
	cl, err := a.dial()
	if err != nil {
		return err
	}
	var result server.ApplyResult
	if err := cl.call(ctx, r, &result); err != nil {
		return err
	}
	if a.output == "json" {
		if err := writeJSON(a.out, result); err != nil {
			return err
		}
	} else {
		a.report(result, w)
	}
	if err := a.fileOwned(result, w); err != nil {
		return err
	}
	if result.Written && result.Version == "" {
		return withHint(errors.New("stored, but the control plane does not serve it: what was before is in force"), "its log says why; it tries again by itself")
	}
	return a.rollout(result.Rollout)
}

// rollout says what the proxies and agents made of a change. A refusal is an error,
// although the change is stored: it is not in force.
func (a *app) rollout(r *server.Rollout) error {
	switch {
	case r == nil:
	case r.Agents.Refused > 0:
		return withHint(fmt.Errorf("stored, but %d of %d agents refused it and keep what they had", r.Agents.Refused, r.Agents.Connected),
			"'gabion status' says why; 'gabion rollback' takes it back")
	case r.Refused > 0:
		return withHint(fmt.Errorf("stored, but %d of %d proxies refused it and keep what they had", r.Refused, r.Proxies),
			"'gabion status' says why; 'gabion rollback' takes it back")
	case a.output == "json":
	case r.Waiting > 0:
		fmt.Fprintf(a.out, "stored; %d of %d proxies have not answered yet: 'gabion status' shows when they have\n", r.Waiting, r.Proxies)
	case r.Agents.Waiting > 0:
		fmt.Fprintf(a.out, "stored; %d of %d agents have not answered yet: 'gabion status' shows when they have\n", r.Agents.Waiting, r.Agents.Connected)
	case r.Proxies+r.Agents.Connected > 0:
		var on []string
		if r.Proxies > 0 {
			on = append(on, plural(r.Proxies, "proxy", "proxies"))
		}
		if r.Agents.Connected > 0 {
			on = append(on, plural(r.Agents.Connected, "agent", "agents"))
		}
		fmt.Fprintln(a.out, "in force on "+strings.Join(on, " and "))
	}
	return nil
}

// inForce: there is somebody who acts on the change, and all of them have taken it.
func inForce(r *server.Rollout) bool {
	return r != nil && r.Proxies+r.Agents.Connected > 0 && r.Refused+r.Waiting+r.Agents.Refused+r.Agents.Waiting == 0
}

func (a *app) report(result server.ApplyResult, w writeFlags) {
	suffix := ""
	if w.dryRun {
		suffix = " (dry run)"
	}
	for _, it := range result.Items {
		key := v1alpha1.Key{Kind: it.Kind, Namespace: it.Namespace, Name: it.Name}
		switch {
		case it.Action == server.FileOwned && w.write && !w.dryRun:
			fmt.Fprintf(a.out, "%s, in %s:\n%s", key, place(it.File, it.Line), a.coloured(it.Patch))
		case it.Action == server.FileOwned:
			fmt.Fprintf(a.out, "%s is owned by %s: not changed\n", key, place(it.File, it.Line))
			fmt.Fprint(a.out, a.coloured(it.Patch))
		case !result.Written && !w.dryRun && it.Action != server.Unchanged:
			fmt.Fprintf(a.out, "%s not changed\n", key)
		case it.Revision > 0 && it.Action != server.Unchanged:
			fmt.Fprintf(a.out, "%s %s, revision %d%s\n", key, it.Action, it.Revision, suffix)
		default:
			fmt.Fprintf(a.out, "%s %s%s\n", key, it.Action, suffix)
		}
		if w.dryRun && it.Action == server.Updated {
			fmt.Fprint(a.out, a.coloured(it.Patch))
		}
		if it.Action != server.Deleted {
			a.warn(it.Conditions)
			continue
		}
		for _, c := range it.Conditions { // of others, which referred to it
			c.Path = c.Key().String() + " " + c.Path
			a.warn([]v1alpha1.Condition{c})
		}
	}
}

// warn prints what somebody should look at.
func (a *app) warn(conditions []v1alpha1.Condition) {
	for _, c := range conditions {
		if c.Bad() {
			where := c.Path
			if where != "" {
				where += ": "
			}
			fmt.Fprintf(a.out, "  %s %s%s\n", a.paint(yellow, "warning:"), printable(where), printable(c.Message))
		}
	}
}

// fileOwned edits files with --write; without it, a change that a file stands in
// the way of is an error.
func (a *app) fileOwned(result server.ApplyResult, w writeFlags) error {
	owned := 0
	for _, it := range result.Items {
		if it.Action != server.FileOwned {
			continue
		}
		owned++
		if !w.write || w.dryRun {
			continue
		}
		key := v1alpha1.Key{Kind: it.Kind, Namespace: it.Namespace, Name: it.Name}
		var text []byte
		if it.Manifest != "" {
			text = []byte(it.Manifest)
		}
		if err := editFile(it.File, key, text); err != nil {
			return err
		}
		fmt.Fprintf(a.err, "%s: %s edited\n", it.File, key)
	}
	if owned == 0 || w.dryRun {
		return nil
	}
	if !w.write {
		return withHint(fmt.Errorf("nothing was changed: a file owns %d of the names", owned), "edit the file, or run the command again with --write")
	}
	if owned < len(result.Items) && !result.Written {
		return withHint(fmt.Errorf("the files were edited; the other resources were not written"), "run the command again for them")
	}
	return nil
}

func place(file string, line int) string {
	if line > 0 {
		return fmt.Sprintf("%s:%d", file, line)
	}
	return file
}

// coloured paints a unified diff on a terminal.
func (a *app) coloured(patch string) string {
	if !a.terminal() {
		return patch
	}
	lines := strings.SplitAfter(patch, "\n")
	for i, l := range lines {
		switch {
		case strings.HasPrefix(l, "+"):
			lines[i] = a.paint(green, l)
		case strings.HasPrefix(l, "-"):
			lines[i] = a.paint(red, l)
		case strings.HasPrefix(l, "@@"):
			lines[i] = a.paint(dim, l)
		}
	}
	return strings.Join(lines, "")
}
