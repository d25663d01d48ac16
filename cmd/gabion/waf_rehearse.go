package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"

	"github.com/gabion-io/gabion/controlplane/proposal"
	"github.com/gabion-io/gabion/controlplane/server"
)

func newRehearse(a *app) *cobra.Command {
	var paths []string
	var since string
	c := &cobra.Command{
		Use:   "rehearse -f CANDIDATE",
		Short: "Try a candidate policy on recorded traffic",
		Long: `Run a candidate through the engine that would enforce it, over recorded traffic:
what it would newly block, what it would newly pass, with examples. Nothing changes.`,
		Example: `  gabion waf rehearse -f policy.yaml
  gabion waf rehearse -f policy.yaml --since 24h -o json`,
		Args: args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			q, err := sinceQuery(c, since, a.now())
			if err != nil {
				return err
			}
			body, err := a.readManifests(paths)
			if err != nil {
				return err
			}
			if len(paths) == 1 {
				q.Set("name", paths[0])
			}
			cl, err := a.dial()
			if err != nil {
				return err
			}
			r, err := a.rehearse(c.Context(), cl, request{method: http.MethodPost, path: "/api/v1/rehearsals", query: q, body: body})
			if err != nil {
				return err
			}
			if a.output == "json" {
				return writeJSON(a.out, r)
			}
			a.showRehearsal(r)
			return nil
		},
	}
	c.Flags().StringVar(&since, "since", "", "exchanges from then on: 1h, 7d, or a time (default all)")
	return a.outputs(a.remote(manifestFlag(c, &paths, "the candidate")), "table", "json")
}

// rehearse starts a rehearsal, shows how far it is, and waits for its outcome.
// Ctrl-C stops it on the server too.
func (a *app) rehearse(ctx context.Context, cl *client, start request) (proposal.Rehearsal, error) {
	var job server.Rehearsing
	if err := cl.call(ctx, start, &job); err != nil {
		return proposal.Rehearsal{}, err
	}
	path := "/api/v1/rehearsals/" + job.ID
	bar := a.progress("rehearsing")
	err := cl.follow(ctx, request{method: http.MethodGet, path: path + "/stream"}, func(_, _ string, data []byte) error {
		if err := json.Unmarshal(data, &job); err != nil {
			return err
		}
		if job.Total > 0 {
			bar.ChangeMax(job.Total)
			return bar.Set(job.Done)
		}
		return nil
	})
	_ = bar.Finish()
	if ctx.Err() != nil {
		stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		_ = cl.call(stop, request{method: http.MethodDelete, path: path}, nil)
		return proposal.Rehearsal{}, errors.New("stopped")
	}
	if job.State == server.JobRunning { // the stream broke: ask once more
		if err := errors.Join(cl.call(ctx, request{method: http.MethodGet, path: path}, &job)); err != nil {
			return proposal.Rehearsal{}, err
		}
	}
	switch {
	case job.State == server.JobDone && job.Result != nil:
		return *job.Result, nil
	case job.State == server.JobRunning:
		return proposal.Rehearsal{}, fmt.Errorf("lost sight of rehearsal %s: %w", job.ID, err)
	}
	return proposal.Rehearsal{}, fmt.Errorf("rehearse: %s", job.Error)
}

// progress is a bar on standard error when that is a terminal, else nothing.
func (a *app) progress(what string) *progressbar.ProgressBar {
	return progressbar.NewOptions(-1,
		progressbar.OptionSetWriter(a.err),
		progressbar.OptionSetVisibility(a.errTerminal()),
		progressbar.OptionSetDescription(what),
		progressbar.OptionShowCount(),
		progressbar.OptionClearOnFinish(),
		progressbar.OptionThrottle(100*time.Millisecond))
}

// showRehearsal prints what would change, how, and what the answer rests on.
func (a *app) showRehearsal(r proposal.Rehearsal) {
	if r.Network != nil {
		a.showNetworkRehearsal(r)
		return
	}
	fmt.Fprintln(a.out, a.paint(bold, "\nRehearsal")+" of "+plural(r.Judged, "recorded exchange", "recorded exchanges"))
	fmt.Fprintf(a.out, "  newly blocked  %d\n  newly passed   %d\n  unchanged      %d\n", r.NewlyBlocked, r.NewlyPassed, r.Unchanged)
	fmt.Fprintf(a.out, "  for clients    %d more denied, %d fewer (by the modes in force)\n", r.Enforced.NewlyDenied, r.Enforced.NewlyPassed)
	if n := r.Unjudged.Total(); n > 0 {
		fmt.Fprintf(a.out, "  not judged     %d (body cut short %d, route gone %d, no policy %d, engine failed %d)\n",
			n, r.Unjudged.TruncatedBody, r.Unjudged.UnknownKey, r.Unjudged.NoPolicy, r.Unjudged.Failed)
	}
	if r.Coverage.Data {
		fmt.Fprintf(a.out, "  coverage       %s\n", r.Coverage.Summary)
	} else {
		fmt.Fprintf(a.out, "  %s %s\n", a.paint(yellow, "no data:"), r.Coverage.Summary)
	}
	if r.Drift.SamePolicy > 0 {
		fmt.Fprintf(a.out, "  %s %d exchanges are judged otherwise today than live although the policy is the same\n", a.paint(yellow, "warning:"), r.Drift.SamePolicy)
	}
	a.showShifts("rule", r.Rules)
	a.showShifts("route", r.Routes)
	a.showExamples("Newly blocked, for example", r.Blocked)
	a.showExamples("Newly passed, for example", r.Passed)
}

func (a *app) showShifts(what string, shifts []proposal.Shift) {
	if len(shifts) == 0 {
		return
	}
	fmt.Fprintf(a.out, "\n  By %s\n", what)
	t := newTable(a.out, "  NAME", "NEWLY BLOCKED", "NEWLY PASSED")
	for _, s := range shifts[:min(len(shifts), 20)] {
		t.row("  "+s.Name, fmt.Sprint(s.NewlyBlocked), fmt.Sprint(s.NewlyPassed))
	}
	_ = t.flush()
}

func (a *app) showExamples(title string, examples []proposal.Example) {
	if len(examples) == 0 {
		return
	}
	fmt.Fprintf(a.out, "\n  %s\n", title)
	t := newTable(a.out, "  EXCHANGE", "SCORE", "REQUEST", "RULES")
	for _, e := range examples {
		rules := ""
		for i, r := range e.Rules {
			if i > 0 {
				rules += ", "
			}
			rules += r
		}
		t.row("  "+e.ID, fmt.Sprintf("%d → %d", e.Before, e.After), cut(e.Method+" "+e.Host+e.Path, 60), cut(rules, 60))
	}
	_ = t.flush()
}
