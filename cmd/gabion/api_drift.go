package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gabion-io/gabion/api-discovery"
	"github.com/gabion-io/gabion/api-discovery/learn"
	"github.com/gabion-io/gabion/api-discovery/openapi"
	"github.com/gabion-io/gabion/api-discovery/risk"
	"github.com/gabion-io/gabion/controlplane/inventory"
	"github.com/gabion-io/gabion/internal/exchange"
)

// drifting is one `gabion api drift`.
type drifting struct {
	learning
	declared string
}

func newAPIDrift(a *app) *cobra.Command {
	var d drifting
	c := &cobra.Command{
		Use:   "drift SERVICE | drift --declared FILE (--exchanges FILE | --har FILE)",
		Short: "Compare a declared API with what is observed",
		Long: `Compare the API that a service is declared to have ('gabion api import') with the one
that the control plane observes; or, with --declared, a declared API with recorded
traffic, without a control plane.

FILE is OpenAPI 3.0 or 3.1, Swagger 2, a protobuf descriptor set or a GraphQL schema.

  shadow    answered, and not declared
  zombie    declared deprecated, and still answered
  mismatch  not as declared: parameters, bodies, statuses, authentication
  orphan    declared, and not in this traffic

Below them stand weaknesses that the traffic shows, by the OWASP API Security Top 10.
"suspicion" means that there may be a good reason. All hosts of a recording are taken
for the service, unless --host picks some: a browser asks others too.`,
		Example: `  gabion api drift shop
  gabion api drift --declared openapi.yaml --exchanges traffic.jsonl
  gabion api drift --declared openapi.yaml --har shop.har -o json | jq '.drift[] | select(.kind=="shadow")'`,
		Args: args(cobra.MaximumNArgs(1)),
		RunE: func(c *cobra.Command, words []string) error {
			if len(words) == 1 {
				if d.declared != "" || d.recorded(c) == nil {
					return usageOf(c, errors.New("name a service, or a declared API and a recording"))
				}
				return a.driftOf(c.Context(), words[0])
			}
			if d.declared == "" {
				return usageOf(c, errors.New("name a service, or a declared API with --declared"))
			}
			if err := d.recorded(c); err != nil {
				return err
			}
			return a.drift(c.Context(), d)
		},
	}
	d.recordingFlags(c)
	f := c.Flags()
	f.StringVar(&d.declared, "declared", "", "file with the declared API")
	f.StringArrayVar(&d.hosts, "host", nil, "look at this host only; may be given several times")
	f.StringVar(&d.service, "service", "", "name of the service in the answer")
	return a.outputs(a.remote(c), "table", "json")
}

// driftReport is what -o json prints.
type driftReport struct {
	Service   string                 `json:"service"`
	Declared  string                 `json:"declared"`
	Exchanges uint64                 `json:"exchanges"`
	Drift     []apidiscovery.Drift   `json:"drift"`
	Findings  []apidiscovery.Finding `json:"findings"`
	Problems  []openapi.Problem      `json:"problems,omitempty"` // of the declared document
}

func (a *app) drift(ctx context.Context, d drifting) error {
	declared, problems, err := readDeclared(d.declared, d.service)
	if err != nil {
		return err
	}
	observed, owners, exchanges, err := a.observe(ctx, d, declared)
	if err != nil {
		return err
	}
	r := driftReport{Service: declared.Service, Declared: declared.Source, Exchanges: exchanges, Problems: problems,
		Drift: openapi.Compare(declared, observed), Findings: risk.Findings(observed, owners)}
	if a.output == "json" {
		return encodeReport(a.out, r)
	}
	return a.tableDrift(r)
}

// encodeReport writes lists as lists, also when they are empty.
func encodeReport(w io.Writer, r driftReport) error {
	if r.Drift == nil {
		r.Drift = []apidiscovery.Drift{}
	}
	if r.Findings == nil {
		r.Findings = []apidiscovery.Finding{}
	}
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(r)
}

// driftOf asks the control plane about a service.
func (a *app) driftOf(ctx context.Context, service string) error {
	cl, err := a.dial()
	if err != nil {
		return err
	}
	var r inventory.Report
	if err := cl.call(ctx, request{method: http.MethodGet, path: "/api/v1/apis/drift", query: url.Values{"service": {service}}}, &r); err != nil {
		return err
	}
	if a.output == "json" {
		return writeJSON(a.out, r)
	}
	if r.Declared == "" {
		fmt.Fprintf(a.err, "nothing is declared of %s: 'gabion api import FILE --service %s' does\n", printable(r.Service), printable(shortService(r.Service)))
	}
	for _, p := range r.Problems {
		fmt.Fprintf(a.err, "left out of %s: %s\n", printable(r.Declared), printable(p))
	}
	return a.tableDrift(driftReport{Service: r.Service, Declared: r.Declared, Exchanges: r.Traffic, Drift: r.Drift, Findings: r.Findings})
}

func readDeclared(name, service string) (apidiscovery.Spec, []openapi.Problem, error) {
	b, err := os.ReadFile(name)
	if err != nil {
		return apidiscovery.Spec{}, nil, fmt.Errorf("read declared API: %w", err)
	}
	return openapi.Parse(b, openapi.Options{Service: service, Name: filepath.Base(name)})
}

// both folds into two.
type both struct {
	learner *learn.Learner
	owners  *risk.Owners
}

func (b both) Add(o *exchange.Observation) {
	b.learner.Add(o)
	b.owners.Add(o)
}

// observe learns from the recordings as one service. Templates that are declared
// are taken as they are: a person wrote them.
func (a *app) observe(ctx context.Context, d drifting, declared apidiscovery.Spec) (apidiscovery.Spec, *risk.Owners, uint64, error) {
	to := both{learn.New(learn.Limits{}), risk.NewOwners()}
	read := newIntake(ctx, a, &exchange.Door{Service: declared.Service, Names: new(exchange.Names)}, to)
	seen := newServers(d.learning)
	if err := read.close(a.readTraffic(d.learning, func(decode toLearn) error { return read.offer(seen.of(decode)) })); err != nil {
		return apidiscovery.Spec{}, nil, 0, err
	}
	var pins []apidiscovery.Override
	for _, o := range declared.Operations {
		pins = append(pins, apidiscovery.Override{Action: apidiscovery.OverridePin, Template: o.Template})
	}
	for _, s := range to.learner.Conclude(pins) {
		if s.Service == declared.Service {
			return s, to.owners, read.exchanges, nil
		}
	}
	return apidiscovery.Spec{Service: declared.Service}, to.owners, read.exchanges, nil
}

func (a *app) tableDrift(r driftReport) error {
	for _, p := range r.Problems {
		fmt.Fprintf(a.err, "left out of %s: %s\n", printable(r.Declared), printable(p.String()))
	}
	if len(r.Drift) == 0 && r.Declared != "" {
		fmt.Fprintf(a.out, "no drift in %s: %s is as declared\n", plural(r.Exchanges, "exchange", "exchanges"), printable(r.Service))
	} else if len(r.Drift) > 0 {
		t := newTable(a.out, "DRIFT", "METHOD", "TEMPLATE", "WHERE", "WHAT", "EXCHANGES", "LAST")
		for _, d := range r.Drift {
			what := d.What
			if d.Declared != "" && d.Observed != "" {
				what += ": " + d.Declared + ", seen " + d.Observed
			}
			if len(d.Sensitive) > 0 {
				what += " (" + strings.Join(d.Sensitive, ", ") + ")"
			}
			t.row(string(d.Kind), d.Method, cut(templateOf(d.OperationKey), 60), cut(strings.TrimSpace(d.Part+" "+d.Where), 60), cut(what, 110), fmt.Sprint(d.Count), timeText(d))
		}
		if err := t.flush(); err != nil {
			return err
		}
	}
	if len(r.Findings) == 0 {
		return nil
	}
	fmt.Fprintln(a.out)
	t := newTable(a.out, "FINDING", "CLASS", "METHOD", "TEMPLATE", "SURE", "EVIDENCE")
	for _, f := range r.Findings {
		t.row(f.Rule, f.Class, f.Method, cut(templateOf(f.OperationKey), 60), f.Confidence, cut(strings.TrimPrefix(f.Where+": "+f.Evidence, ": "), 140))
	}
	return t.flush()
}

func templateOf(k apidiscovery.OperationKey) string {
	return strings.TrimSpace(k.Template.String() + " " + k.Name)
}

func timeText(d apidiscovery.Drift) string {
	if d.Last.IsZero() || d.Kind == apidiscovery.Orphan {
		return ""
	}
	return d.Last.UTC().Format("2006-01-02 15:04")
}
