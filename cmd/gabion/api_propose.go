package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"

	"github.com/spf13/cobra"

	"github.com/gabion-io/gabion/api-discovery"
	"github.com/gabion-io/gabion/controlplane/inventory"
	"github.com/gabion-io/gabion/controlplane/proposal"
	"github.com/gabion-io/gabion/controlplane/server"
)

// apis shows the inventory to proposals, in their words (proposal.APIs).
type apis struct{ inventory *inventory.Inventory }

func (s apis) Observed(ctx context.Context, service string) (apidiscovery.Spec, error) {
	return s.inventory.Spec(ctx, service)
}

func (s apis) Declared(service string) (apidiscovery.Spec, bool) {
	d, ok := s.inventory.Declaration(service)
	spec := d.Spec
	if spec.Source == "" {
		spec.Source = d.Name
	}
	return spec, ok && d.Broken == ""
}

func newAPIPropose(a *app) *cobra.Command {
	var req server.ProposeAPIRequest
	c := &cobra.Command{
		Use:   "propose SERVICE | OPERATION",
		Short: "Propose an APIPolicy from what was learned or declared",
		Long: `Propose an APIPolicy that holds requests to what they look like: of a service, all its
operations; or of one operation, by its id. It is made from what was learned, or with
--declared from what was imported, and is rehearsed on recorded traffic before it is
shown. It begins in mode detect.

Of what was learned, little is asked until much was seen: an operation seen fewer than
20 times is left out; a field seen fewer than 20 times is optional and may be anything;
a field is required only when at least 100 had it, all of them; a list of values takes
1000 sightings. What was declared is asked as it was written; of responses, too, of which
what differs is told and never denied.

Nothing changes: review with 'gabion proposal show', write with 'gabion proposal accept'.`,
		Example: `  gabion api propose shop
  gabion api propose shop --declared
  gabion api propose 7q3kd90v
  gabion api propose shop -o yaml               # the resource it would write`,
		Args: args(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, given []string) error {
			cl, err := a.dial()
			if err != nil {
				return err
			}
			p, err := proposeAPI(c.Context(), cl, req, given[0])
			if err != nil {
				return err
			}
			return a.printProposal(p, func() {
				if !req.DryRun {
					fmt.Fprintf(a.out, "\nWrite it:  %s proposal accept %s\n", a.self, p.ID)
				}
			})
		},
	}
	c.Flags().BoolVar(&req.Declared, "declared", false, "from what is declared, not from what was learned")
	c.Flags().BoolVar(&req.DryRun, "dry-run", false, "show it and do not keep it")
	return a.outputs(a.remote(c), "table", "yaml", "json")
}

var operationID = regexp.MustCompile(`^[0-9a-v]{4,32}$`)

// proposeAPI asks for a service, and, where none is called so, for an operation.
func proposeAPI(ctx context.Context, cl *client, req server.ProposeAPIRequest, subject string) (p proposal.Proposal, err error) {
	ask := func(r server.ProposeAPIRequest) error {
		return cl.call(ctx, request{method: http.MethodPost, path: "/api/v1/apis/propose", body: r}, &p)
	}
	of := req
	of.Service = subject
	err = ask(of)
	var refused *remoteError
	if errors.As(err, &refused) && refused.status == http.StatusNotFound && operationID.MatchString(subject) {
		of.Service, of.Operation = "", subject
		err = ask(of)
	}
	if errors.As(err, &refused) && refused.status == http.StatusNotFound {
		err = withHint(err, "'gabion api list' lists services and operations")
	}
	return p, err
}

// showAPIProposal prints what an APIPolicy asks for, and what that rests on.
func (a *app) showAPIProposal(p proposal.Proposal) {
	fmt.Fprintln(a.out, a.paint(bold, "Proposal "+p.ID)+": "+printable(p.Title))
	fmt.Fprintf(a.out, "  state     %s\n  author    %s, %s\n  target    %s, revision %d\n", p.State, p.Author, ago(a.now(), p.Created), p.Base, p.Base.Revision)
	if p.DecidedBy != "" {
		fmt.Fprintf(a.out, "  decided   by %s, %s %s\n", p.DecidedBy, ago(a.now(), p.Decided), printable(p.Reason))
	}
	e := p.API
	fmt.Fprintf(a.out, "\n  Evidence: %s\n", printable(p.Evidence.Supplied))
	if e.Source == "learned" {
		fmt.Fprintf(a.out, "    complete  the next exchange is of an operation not seen yet with a probability of %s\n", chance(e.Unseen, e.UnseenAtMost))
		if e.Aside > 0 {
			fmt.Fprintf(a.out, "    aside     %s that are no operation\n", plural(e.Aside, "exchange", "exchanges"))
		}
	}
	fmt.Fprintln(a.out)
	t := newTable(a.out, "  OPERATION", "EXCHANGES", "BODIES SEEN", "FIELDS", "ASKED OF", "FIELD NOT SEEN YET", "LEFT OUT BECAUSE")
	if e.Source != "learned" {
		t = newTable(a.out, "  OPERATION", "FIELDS", "ASKED OF", "LEFT OUT BECAUSE")
	}
	for _, o := range e.Operations {
		asked := 0
		for _, f := range o.Fields {
			if len(f.Asks) < 7 || f.Asks[:7] != "nothing" {
				asked++
			}
		}
		name, fields := "  "+cut(o.Operation, 60), fmt.Sprint(len(o.Fields)+o.More)
		switch {
		case e.Source != "learned":
			t.row(name, fields, fmt.Sprint(asked), o.LeftOut)
		case o.LeftOut != "":
			t.row(name, count(o.Exchanges), "", "", "", "", o.LeftOut)
		default:
			t.row(name, count(o.Exchanges), count(o.Inspected), fields, fmt.Sprint(asked), chance(o.Unseen, o.UnseenAtMost), "")
		}
	}
	_ = t.flush()
	if len(e.Operations) == 1 {
		a.showFieldEvidence(e.Operations[0])
	}
	fmt.Fprintf(a.out, "\n%s", a.coloured(p.Patch))
}

// chance is an estimate with its bound.
func chance(estimate, atMost float64) string {
	if estimate == 0 {
		return fmt.Sprintf("at most %.2g %%", 100*atMost)
	}
	return fmt.Sprintf("%.2g %%, at most %.2g %%", 100*estimate, 100*atMost)
}

// showFieldEvidence is what one operation rests on, field by field.
func (a *app) showFieldEvidence(o proposal.APIOperationEvidence) {
	if len(o.Fields) == 0 {
		return
	}
	fmt.Fprintln(a.out)
	t := newTable(a.out, "  FIELD", "SEEN", "ASKED")
	for _, f := range o.Fields {
		t.row("  "+cut(f.Where, 60), count(f.Count), f.Asks)
	}
	_ = t.flush()
}
