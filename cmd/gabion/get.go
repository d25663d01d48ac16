package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"github.com/gabion-io/gabion/controlplane/api/v1alpha1"
	"github.com/gabion-io/gabion/controlplane/server"
)

func newGet(a *app) *cobra.Command {
	var namespace string
	c := &cobra.Command{
		Use:   "get KIND [NAME]",
		Short: "Show resources, wherever they are written",
		Long: `Show the resources in force, whether a file, the store or the flags of
'gabion up' holds them. KIND is a kind in any case, its plural, a short form, or
'all'. Values of Secrets are never shown.`,
		Example: `  gabion get wafpolicies
  gabion get waf shop -o yaml
  gabion get all`,
		Args:              args(cobra.RangeArgs(1, 2)),
		ValidArgsFunction: completeKinds,
		RunE: func(c *cobra.Command, given []string) error {
			if len(given) == 2 {
				return a.getOne(c.Context(), given[0], given[1], namespace)
			}
			q := url.Values{}
			if !strings.EqualFold(given[0], "all") {
				info, err := resolveKind(given[0])
				if err != nil {
					return err
				}
				q.Set("kind", info.Kind)
			}
			if c.Flags().Changed("namespace") {
				q.Set("namespace", namespace)
			}
			return a.getList(c.Context(), q)
		},
	}
	c.Flags().StringVarP(&namespace, "namespace", "n", v1alpha1.DefaultNamespace, "namespace; without NAME: only this one (default all)")
	return a.outputs(a.remote(c), "table", "yaml", "json")
}

func (a *app) getOne(ctx context.Context, kind, name, namespace string) error {
	n, err := resolveName(kind, name, namespace)
	if err != nil {
		return err
	}
	cl, err := a.dial()
	if err != nil {
		return err
	}
	var r server.Resource
	if err := cl.call(ctx, request{method: http.MethodGet, path: n.path()}, &r); err != nil {
		return err
	}
	return a.showOne(r)
}

func (a *app) getList(ctx context.Context, q url.Values) error {
	cl, err := a.dial()
	if err != nil {
		return err
	}
	var list server.ResourceList
	if err := cl.call(ctx, request{method: http.MethodGet, path: "/api/v1/resources", query: q}, &list); err != nil {
		return err
	}
	return a.showList(list)
}

func (a *app) showOne(r server.Resource) error {
	switch a.output {
	case "yaml":
		return a.manifestYAML(r)
	case "json":
		m, err := withStatus(r)
		if err != nil {
			return err
		}
		return writeJSON(a.out, m)
	}
	if err := a.resourceTable([]server.Resource{r}); err != nil {
		return err
	}
	if r.File != "" {
		fmt.Fprintf(a.out, "\nwritten in %s\n", place(r.File, r.Line))
	}
	if len(r.Conditions) == 0 {
		return nil
	}
	fmt.Fprintln(a.out)
	t := newTable(a.out, "CONDITION", "STATUS", "REASON", "PATH", "MESSAGE")
	for _, c := range r.Conditions {
		t.row(c.Type, c.Status, c.Reason, c.Path, c.Message)
	}
	return t.flush()
}

func (a *app) showList(list server.ResourceList) error {
	switch a.output {
	case "yaml":
		for i, r := range list.Items {
			if i > 0 {
				fmt.Fprintln(a.out, "---")
			}
			if err := a.manifestYAML(r); err != nil {
				return err
			}
		}
		return nil
	case "json":
		items := make([]any, len(list.Items))
		for i, r := range list.Items {
			m, err := withStatus(r)
			if err != nil {
				return err
			}
			items[i] = m
		}
		return writeJSON(a.out, map[string]any{"items": items, "conditions": list.Conditions})
	}
	if len(list.Items) == 0 {
		fmt.Fprintln(a.out, "no resources")
	} else if err := a.resourceTable(list.Items); err != nil {
		return err
	}
	a.warn(list.Conditions)
	return nil
}

func (a *app) manifestYAML(r server.Resource) error {
	text, err := yaml.JSONToYAML(r.Manifest)
	if err != nil {
		return err
	}
	_, err = a.out.Write(text)
	return err
}

// withStatus is the manifest with what the control plane knows of it beside.
func withStatus(r server.Resource) (map[string]any, error) {
	m := map[string]any{}
	if err := json.Unmarshal(r.Manifest, &m); err != nil {
		return nil, fmt.Errorf("read the manifest of %s %s/%s: %w", r.Kind, r.Namespace, r.Name, err)
	}
	status := r
	status.Manifest = json.RawMessage("null")
	raw, err := json.Marshal(status)
	if err != nil {
		return nil, err
	}
	var s map[string]any
	if err := json.Unmarshal(raw, &s); err != nil {
		return nil, err
	}
	for _, k := range []string{"kind", "namespace", "name", "manifest"} {
		delete(s, k)
	}
	m["status"] = s
	return m, nil
}

func (a *app) resourceTable(items []server.Resource) error {
	t := newTable(a.out, "KIND", "NAMESPACE", "NAME", "ORIGIN", "REVISION", "AGE", "STATE")
	for _, r := range items {
		revision := ""
		if r.Revision > 0 {
			revision = strconv.FormatInt(r.Revision, 10)
		}
		t.row(r.Kind, r.Namespace, r.Name, r.Origin, revision, age(a.now(), r.Updated), stateOf(r.Conditions))
	}
	return t.flush()
}

// stateOf is one word for how a resource fares.
func stateOf(conditions []v1alpha1.Condition) string {
	var reasons []string
	for _, c := range conditions {
		if c.Bad() && !slices.Contains(reasons, c.Reason) {
			reasons = append(reasons, c.Reason)
		}
	}
	if len(reasons) == 0 {
		return "ok"
	}
	return strings.Join(reasons, ",")
}
