package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gabion-io/gabion/controlplane/server"
	"github.com/gabion-io/gabion/internal/atomicfile"
)

func newAPIExport(a *app) *cobra.Command {
	var file string
	c := &cobra.Command{
		Use:   "export SERVICE [-o yaml|json] [--file FILE]",
		Short: "Write the observed API of a service as OpenAPI 3.1",
		Long: `Write what a service was observed to have as OpenAPI 3.1. The document changes only if
what was learned does, and holds no value of the traffic: examples show a form.`,
		Example: "  gabion api export shop >shop.yaml\n  gabion api export default/shop -o json --file shop.json",
		Args:    args(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, words []string) error {
			cl, err := a.dial()
			if err != nil {
				return err
			}
			q := url.Values{"service": {words[0]}, "format": {a.output}}
			resp, err := cl.send(c.Context(), request{method: http.MethodGet, path: "/api/v1/apis/document", query: q}, "application/openapi+"+a.output)
			if err != nil {
				return err
			}
			defer resp.Body.Close()
			if file == "" {
				_, err = io.Copy(a.out, resp.Body)
				return err
			}
			body, err := io.ReadAll(resp.Body)
			if err != nil {
				return fmt.Errorf("read the document: %w", err)
			}
			return atomicfile.Write(file, body, 0o644)
		},
	}
	c.Flags().StringVar(&file, "file", "", "write into this file")
	return a.outputs(a.remote(c), "yaml", "json")
}

func newAPIImport(a *app) *cobra.Command {
	var service string
	var remove bool
	c := &cobra.Command{
		Use:   "import FILE --service SERVICE | import --remove --service SERVICE",
		Short: "Declare the API of a service",
		Long: `Declare what a service is meant to have, in the place of what was declared before. From
then on its operations are compared with the declaration: 'gabion api drift'.

FILE is OpenAPI 3.0 or 3.1, Swagger 2, a protobuf descriptor set or a GraphQL schema;
"-" reads standard input. References to other files are not followed. Templates that
are declared are taken as they are, whatever the traffic looks like.`,
		Example: "  gabion api import openapi.yaml --service shop\n  gabion api import --remove --service shop",
		Args:    args(cobra.MaximumNArgs(1)),
		RunE: func(c *cobra.Command, files []string) error {
			if remove == (len(files) == 1) {
				return usageOf(c, errors.New("name a file, or say --remove"))
			}
			cl, err := a.dial()
			if err != nil {
				return err
			}
			q := url.Values{"service": {service}}
			if remove {
				if err := cl.call(c.Context(), request{method: http.MethodDelete, path: "/api/v1/apis/declared", query: q}, nil); err != nil {
					return err
				}
				fmt.Fprintf(a.out, "nothing is declared of %s any more\n", printable(service))
				return nil
			}
			body, err := a.readDocument(files[0])
			if err != nil {
				return err
			}
			q.Set("name", filepath.Base(files[0]))
			var d server.Declaration
			if err := cl.call(c.Context(), request{method: http.MethodPut, path: "/api/v1/apis/declared", query: q, body: octets(body)}, &d); err != nil {
				return err
			}
			if a.output == "json" {
				return writeJSON(a.out, d)
			}
			a.showDeclaration(d)
			return nil
		},
	}
	f := c.Flags()
	f.StringVar(&service, "service", "", "the service: shop, or default/shop")
	f.BoolVar(&remove, "remove", false, "take the declaration back")
	_ = c.MarkFlagRequired("service")
	return a.outputs(a.remote(c), "text", "json")
}

func (a *app) readDocument(name string) (body []byte, err error) {
	err = a.withFile(name, func(r io.Reader) error {
		body, err = io.ReadAll(io.LimitReader(r, server.MaxBody+1))
		return err
	})
	if err == nil && len(body) > server.MaxBody {
		err = fmt.Errorf("read %s: it is longer than %s", name, bytesText(server.MaxBody))
	}
	return body, err
}

func (a *app) showDeclaration(d server.Declaration) {
	for _, p := range d.Problems {
		fmt.Fprintf(a.err, "left out: %s\n", printable(p))
	}
	text := "declared"
	if !d.Changed {
		text = "was declared so before"
	}
	fmt.Fprintf(a.out, "%s: %s %s, %d deprecated\n", printable(d.Service), plural(uint64(d.Operations), "operation", "operations"), text, d.Deprecated)
	fmt.Fprintf(a.out, "How it differs from what is observed:  %s api drift %s\n", a.self, printable(shortService(d.Service)))
}

// shortService is a service's name without the namespace that is meant anyway.
func shortService(name string) string { return strings.TrimPrefix(name, "default/") }

func newAPIRevisions(a *app) *cobra.Command {
	var keep bool
	c := &cobra.Command{
		Use:   "revisions SERVICE [--keep]",
		Short: "List what a service was observed to have, over time",
		Long: `List the revisions of a service's observed API, newest first. One is kept each day on
which it changed, and when somebody asks for it with --keep.`,
		Example: "  gabion api revisions shop\n  gabion api revisions shop --keep      # before a release\n  gabion api changes --service shop     # since the latest",
		Args:    args(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, words []string) error {
			cl, err := a.dial()
			if err != nil {
				return err
			}
			q := url.Values{"service": {words[0]}}
			if keep {
				if err := cl.call(c.Context(), request{method: http.MethodPost, path: "/api/v1/apis/revisions", query: q}, nil); err != nil {
					return err
				}
			}
			var list server.RevisionsOfAPI
			if err := cl.call(c.Context(), request{method: http.MethodGet, path: "/api/v1/apis/revisions", query: q}, &list); err != nil {
				return err
			}
			if a.output == "json" {
				return writeJSON(a.out, list)
			}
			if len(list.Items) == 0 {
				fmt.Fprintln(a.out, "no revision is kept yet: --keep keeps what is observed now")
				return nil
			}
			t := newTable(a.out, "REVISION", "TIME", "WHY")
			for _, o := range list.Items {
				t.row(fmt.Sprint(o.Revision), timeOf(o.Time), o.Reason)
			}
			return t.flush()
		},
	}
	c.Flags().BoolVar(&keep, "keep", false, "keep what is observed now, if it says something new")
	return a.outputs(a.remote(c), "table", "json")
}

// octets is a body that is sent as it is, whatever it is.
type octets []byte
