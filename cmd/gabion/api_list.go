package main

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"github.com/gabion-io/gabion/api-discovery"
	"github.com/gabion-io/gabion/controlplane/server"
)

// operationFlags narrow operations.
type operationFlags struct {
	service, method, auth, sensitive, drift, exposure string
	newer, idle                                       string
}

func newAPIList(a *app) *cobra.Command {
	var f operationFlags
	c := &cobra.Command{
		Use:   "list",
		Short: "List the operations that really exist",
		Long: `List the operations that the control plane learned from traffic, of all services or
of one. An operation is what was answered with success; what only ever failed is
counted aside, and the last lines say how much of it there was.

DRIFT says how an operation differs from what is declared: shadow is not declared,
zombie is declared deprecated and still called, mismatch is not as declared. Nothing
stands there of a service whose API nobody declared ('gabion api import').

An operation is exposed to the outside when the routes of some Gateway's listener lead
to it, by the configuration in force; 'gabion api show' names them.`,
		Example: `  gabion api list
  gabion api list --service shop --sensitive any
  gabion api list --drift shadow
  gabion api list --auth none --method POST -o json
  gabion api list --exposure outside --auth none  # anybody can call these
  gabion api list --idle 30d                    # not called for thirty days
  gabion api list --new 24h                     # first called in the last day`,
		Args: args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			q, err := f.query(a.now())
			if err != nil {
				return usageOf(c, err)
			}
			cl, err := a.dial()
			if err != nil {
				return err
			}
			return a.listOperations(c.Context(), cl, q)
		},
	}
	fl := c.Flags()
	fl.StringVar(&f.service, "service", "", "of this service: shop, or default/shop")
	fl.StringVar(&f.method, "method", "", "with this method")
	fl.StringVar(&f.auth, "auth", "", "called so at least once: none, basic, bearer, digest, apiKey, cookie, mtls")
	fl.StringVar(&f.sensitive, "sensitive", "", "that carry this kind of data, or 'any'")
	fl.StringVar(&f.drift, "drift", "", "that drift so: shadow, zombie, orphan or mismatch")
	fl.StringVar(&f.exposure, "exposure", "", "outside: a Gateway's listener leads to it; inside: only workloads can call it")
	fl.StringVar(&f.newer, "new", "", "first called since: 90s, 1h, 7d, or a time like 2026-01-31T15:04:05Z")
	fl.StringVar(&f.idle, "idle", "", "last called before that long ago, or before a time")
	return a.outputs(a.remote(c), "table", "json", "yaml")
}

func (f operationFlags) query(now time.Time) (url.Values, error) {
	q := url.Values{}
	for name, text := range map[string]string{"service": f.service, "method": f.method, "auth": f.auth, "sensitive": f.sensitive, "drift": f.drift, "exposure": f.exposure} {
		if text != "" {
			q.Set(name, text)
		}
	}
	kinds := []string{string(apidiscovery.Shadow), string(apidiscovery.Zombie), string(apidiscovery.Orphan), string(apidiscovery.Mismatch)}
	if f.drift != "" && !slices.Contains(kinds, f.drift) {
		return nil, fmt.Errorf("--drift %q: it is one of %s", f.drift, strings.Join(kinds, ", "))
	}
	if f.exposure != "" && f.exposure != string(server.Outside) && f.exposure != string(server.Inside) {
		return nil, fmt.Errorf("--exposure %q: it is one of %s, %s", f.exposure, server.Outside, server.Inside)
	}
	for _, m := range []struct{ flag, name, text string }{{"new", "since", f.newer}, {"idle", "idle", f.idle}} {
		if err := setMoment(q, m.name, m.flag, m.text, now); err != nil {
			return nil, err
		}
	}
	return q, nil
}

func (a *app) listOperations(ctx context.Context, cl *client, q url.Values) error {
	var list server.OperationList
	if err := cl.call(ctx, request{method: http.MethodGet, path: "/api/v1/operations", query: q}, &list); err != nil {
		return err
	}
	if a.output != "table" {
		return a.writeStructured(list)
	}
	if len(list.Items) > 0 {
		t := newTable(a.out, "ID", "SERVICE", "METHOD", "TEMPLATE", "EXCHANGES", "AUTH", "CALLERS", "DATA", "DRIFT", "LAST")
		for _, o := range list.Items {
			drift := make([]string, len(o.Drift))
			for i, d := range o.Drift {
				drift[i] = string(d)
			}
			t.row(o.ID[:min(8, len(o.ID))], o.Service, o.Method, cut(templateOf(o.OperationKey), 70), count(o.Exchanges), cut(strings.Join(o.Auth, ", "), 30),
				count(o.Callers), cut(strings.Join(o.Sensitive, ", "), 40), strings.Join(drift, ", "), ago(list.Now, o.Last))
		}
		if err := t.flush(); err != nil {
			return err
		}
	}
	var apis server.ServiceList
	if err := cl.call(ctx, request{method: http.MethodGet, path: "/api/v1/apis"}, &apis); err != nil {
		return err
	}
	a.printServices(apis, q.Get("service"))
	if len(list.Items) == 0 {
		fmt.Fprintln(a.err, "no operation fits")
	}
	return nil
}

// printServices says what is not in the list: to whoever reads, not to whoever
// pipes.
func (a *app) printServices(apis server.ServiceList, only string) {
	for _, s := range apis.Items {
		if only != "" && s.Name != only && !strings.HasSuffix(s.Name, "/"+only) {
			continue
		}
		text := fmt.Sprintf("%s: %s from %s", printable(s.Name), plural(uint64(s.Operations), "operation", "operations"), plural(s.Exchanges, "exchange", "exchanges"))
		if s.Declared != "" {
			text += ", declared in " + printable(s.Declared)
		}
		for _, k := range slices.Sorted(maps.Keys(s.Drift)) {
			text += fmt.Sprintf(", %d %s", s.Drift[k], k)
		}
		fmt.Fprintln(a.err, text)
		if s.Broken != "" {
			fmt.Fprintf(a.err, "  its declaration cannot be read: %s\n", printable(s.Broken))
		}
		a.printAsides(s.Aside)
	}
}

// writeStructured prints v as JSON, or as YAML.
func (a *app) writeStructured(v any) error {
	if a.output == "json" {
		return writeJSON(a.out, v)
	}
	text, err := yaml.Marshal(v)
	if err == nil {
		_, err = a.out.Write(text)
	}
	return err
}
