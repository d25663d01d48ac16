package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gabion-io/gabion/api-discovery"
	"github.com/gabion-io/gabion/api-discovery/learn"
	"github.com/gabion-io/gabion/internal/exchange"
)

// learning is one `gabion api learn`.
type learning struct {
	hars, exchanges []string
	hosts           []string
	output          string
	service         string
	operations      bool
	explain         bool
}

func newAPILearn(a *app) *cobra.Command {
	var l learning
	c := &cobra.Command{
		Use:   "learn (--har FILE | --exchanges FILE) [--operations] [-o FILE]",
		Short: "Learn the operations of an API from recorded traffic",
		Long: `Learn the operations of an API from recorded traffic, without a control plane.

A HAR file (1.2) is what browsers and proxies save. A file of exchanges has one JSON
object a line:

  {"time","client","method","scheme","host","path","request":{"headers":{},"body":""},
   "status","response":{"headers":{},"body":""},"duration_ms"}

"path" is with its query, "body_base64" stands for a body that is no text, and all but
"method" and "path" may be missing. "-" reads standard input. Both flags may be given
several times; what is in all of the files is one traffic.

Without --operations and -o a table is printed. What was never answered with success
is no operation: the last lines say how much of it there was, and why.

-o writes OpenAPI 3.1, as JSON if the name ends in .json, else as YAML; "-" is standard
output. The document changes only if what was learned does. It holds no value of the
traffic: examples show a form. Of several hosts each operation names its server, unless
--host picks some of them or --service makes them one.`,
		Example: `  gabion api learn --har shop.har
  gabion api learn --exchanges monday.jsonl --exchanges tuesday.jsonl --explain
  gabion api learn --exchanges traffic.jsonl --service shop --operations | jq -r .template
  gabion api learn --har session.har --host api.example.com -o openapi.yaml`,
		Args: args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			if err := l.recorded(c); err != nil {
				return err
			}
			return a.learn(c.Context(), l)
		},
	}
	l.recordingFlags(c)
	f := c.Flags()
	f.StringVar(&l.service, "service", "", "name of the service; hosts are then not told apart")
	f.BoolVar(&l.operations, "operations", false, "print one JSON line an operation")
	f.BoolVar(&l.explain, "explain", false, "print why each template is what it is")
	f.StringArrayVar(&l.hosts, "host", nil, "learn of this host only; may be given several times")
	f.StringVarP(&l.output, "output", "o", "", "write OpenAPI 3.1 to this file, .yaml or .json")
	return c
}

// recordingFlags are the flags of all that reads recorded traffic.
func (l *learning) recordingFlags(c *cobra.Command) {
	f := c.Flags()
	f.StringArrayVar(&l.hars, "har", nil, "HAR file, as browsers and proxies save it")
	f.StringArrayVar(&l.exchanges, "exchanges", nil, "file of exchanges, one JSON object a line")
}

// recorded says that there is a recording to read.
func (l *learning) recorded(c *cobra.Command) error {
	if len(l.hars)+len(l.exchanges) == 0 {
		return usageOf(c, errors.New("name a recording with --har or --exchanges"))
	}
	return nil
}

func (a *app) learn(ctx context.Context, l learning) error {
	learner := learn.New(learn.Limits{})
	read := newIntake(ctx, a, &exchange.Door{Service: l.service, Names: new(exchange.Names)}, learner)
	seen := newServers(l)
	if err := read.close(a.readTraffic(l, func(decode toLearn) error { return read.offer(seen.of(decode)) })); err != nil {
		return err
	}
	specs := learner.Conclude(nil)
	if l.output != "" {
		if err := a.writeLearned(l, specs, seen); err != nil {
			return err
		}
	}
	switch {
	case l.operations:
		return a.printOperations(specs)
	case l.explain:
		a.explainOperations(specs)
	case l.output != "":
	default:
		if err := a.tableOperations(specs); err != nil {
			return err
		}
	}
	a.printAside(specs, learner.Evicted(), read.exchanges)
	return nil
}

func (a *app) readTraffic(l learning, offer func(toLearn) error) error {
	for _, name := range l.exchanges {
		if err := a.withFile(name, func(r io.Reader) error { return readExchanges(r, name, offer) }); err != nil {
			return err
		}
	}
	for _, name := range l.hars {
		if err := a.withFile(name, func(r io.Reader) error { return readHAR(r, name, offer) }); err != nil {
			return err
		}
	}
	return nil
}

// withFile reads a file, or standard input for "-".
func (a *app) withFile(name string, read func(io.Reader) error) error {
	if name == "-" {
		return read(a.in)
	}
	f, err := os.Open(name)
	if err != nil {
		return fmt.Errorf("read traffic: %w", err)
	}
	defer f.Close()
	return read(f)
}

// operationLine is what --operations prints.
type operationLine struct {
	Service  string                `json:"service,omitempty"`  // when there are several
	Protocol apidiscovery.Protocol `json:"protocol,omitempty"` // when it is not REST
	Name     string                `json:"name,omitempty"`     // of what is called, when method and template do not say it
	Method   string                `json:"method"`
	Template string                `json:"template"`
	Params   []operationParam      `json:"params"`
	Count    uint64                `json:"count"`
}

type operationParam struct {
	In       string `json:"in"`
	Name     string `json:"name"`
	Type     string `json:"type"`
	Required bool   `json:"required"`
}

func (a *app) printOperations(specs []apidiscovery.Spec) error {
	enc := json.NewEncoder(a.out)
	enc.SetEscapeHTML(false)
	for _, s := range specs {
		for _, o := range s.Operations {
			line := operationLine{Name: o.Name, Method: o.Method, Template: o.Template.String(), Params: []operationParam{}, Count: o.Traffic.Count}
			if len(specs) > 1 {
				line.Service = s.Service
			}
			if o.Protocol != apidiscovery.REST {
				line.Protocol = o.Protocol
			}
			for _, p := range o.Params {
				line.Params = append(line.Params, operationParam{p.In, p.Name, p.Type(), p.Required})
			}
			line.Params = append(line.Params, keyParams(&o)...)
			if err := enc.Encode(line); err != nil {
				return err
			}
		}
	}
	return nil
}

// keyParams are the keys that an operation was called with. OpenAPI has another
// place for them, but who writes a request sends them as parameters.
func keyParams(o *apidiscovery.Operation) (list []operationParam) {
	for _, x := range o.Auth {
		if x.Kind == apidiscovery.AuthAPIKey && x.Name != "authorization" && x.Accepted > 0 {
			list = append(list, operationParam{x.In, x.Name, "string", x.Count >= 2 && x.Count >= o.Traffic.Count-min(o.Traffic.Count, o.Traffic.Denied)})
		}
	}
	return list
}

func (a *app) tableOperations(specs []apidiscovery.Spec) error {
	t := newTable(a.out, "SERVICE", "METHOD", "TEMPLATE", "EXCHANGES", "ERRORS", "AUTH", "CALLERS", "SURE")
	for _, s := range specs {
		for _, o := range s.Operations {
			template := o.Template.String()
			if o.Name != "" {
				template += " " + o.Name
			}
			var auth []string
			for _, x := range o.Auth {
				auth = append(auth, strings.TrimSpace(x.Kind+" "+x.Name))
			}
			t.row(s.Service, o.Method, cut(template, 90), fmt.Sprint(o.Traffic.Count), fmt.Sprint(o.Traffic.Errors), cut(strings.Join(auth, ", "), 40),
				fmt.Sprint(o.Callers.Distinct), fmt.Sprintf("%d%%", int(100*o.Evidence.Confidence)))
		}
	}
	return t.flush()
}

func (a *app) explainOperations(specs []apidiscovery.Spec) {
	for _, s := range specs {
		for _, o := range s.Operations {
			fmt.Fprintf(a.out, "%s %s%s %s\n", o.Method, printable(s.Service), printable(o.Template.String()), printable(o.Name))
			for _, g := range o.Evidence.Segments {
				a.explainSegment(g)
			}
		}
	}
}

func (a *app) explainSegment(g apidiscovery.Segment) {
	fmt.Fprintf(a.out, "  %s  %s in %s (%s), %d%% sure\n", printable(g.Text), plural(g.Values, "value", "values"),
		plural(g.Count, "exchange", "exchanges"), strings.Join(g.Kinds, ", "), int(100*g.Confidence))
	for _, r := range g.Reasons {
		fmt.Fprintf(a.out, "      %s\n", printable(r))
	}
}

// printAside says what is not in the inventory: to whoever reads, not to whoever
// pipes.
func (a *app) printAside(specs []apidiscovery.Spec, evicted, exchanges uint64) {
	operations := 0
	for _, s := range specs {
		operations += len(s.Operations)
	}
	fmt.Fprintf(a.err, "%s from %s\n", plural(uint64(operations), "operation", "operations"), plural(exchanges, "exchange", "exchanges"))
	for _, s := range specs {
		a.printAsides(s.Aside)
	}
	if evicted > 0 {
		fmt.Fprintf(a.err, "left out: %s beyond the bounds\n", plural(evicted, "exchange", "exchanges"))
	}
}

func (a *app) printAsides(list []apidiscovery.Aside) {
	for _, x := range list {
		fmt.Fprintf(a.err, "aside: %s %s, such as %s\n", plural(x.Count, "exchange", "exchanges"), asideText(x.Reason), printable(strings.Join(x.Examples[:min(3, len(x.Examples))], ", ")))
	}
}

func asideText(reason string) string {
	switch reason {
	case "missing":
		return "for what is not there"
	case "unproven":
		return "that never succeeded"
	case "catch-all":
		return "that were answered as anything is"
	case "unread":
		return "whose bodies, which say what was called, were not looked into"
	case "static":
		return "for files of a web page"
	case "preflight":
		return "that only asked for permission (CORS)"
	case "blocked":
		return "that were blocked"
	}
	return reason
}
