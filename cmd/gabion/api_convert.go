package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gabion-io/gabion/api-discovery"
	"github.com/gabion-io/gabion/api-discovery/openapi"
	"github.com/gabion-io/gabion/internal/atomicfile"
)

func newAPIConvert(a *app) *cobra.Command {
	var output, service string
	c := &cobra.Command{
		Use:   "convert FILE [-o FILE]",
		Short: "Write a declared API of any kind as OpenAPI 3.1",
		Long: `Write a declared API as OpenAPI 3.1: Swagger 2, OpenAPI 3.0, a protobuf descriptor set
(protoc --include_imports --descriptor_set_out, buf build) or a GraphQL schema. What
cannot be used is left out, and said. JSON or YAML, by the name of the file.`,
		Example: `  gabion api convert swagger.json -o openapi.yaml
  gabion api convert greeter.protoset`,
		Args: args(cobra.ExactArgs(1)),
		RunE: func(_ *cobra.Command, files []string) error {
			spec, problems, err := readDeclared(files[0], service)
			if err != nil {
				return err
			}
			for _, p := range problems {
				fmt.Fprintf(a.err, "left out: %s\n", printable(p.String()))
			}
			return a.writeOpenAPI(spec, output)
		},
	}
	c.Flags().StringVarP(&output, "output", "o", "-", "file to write, .yaml or .json; - is standard output")
	c.Flags().StringVar(&service, "service", "", "name of the service")
	return c
}

// writeOpenAPI writes a specification to a file, in the format its name says.
func (a *app) writeOpenAPI(spec apidiscovery.Spec, name string) error {
	format := openapi.YAML
	if strings.EqualFold(filepath.Ext(name), ".json") {
		format = openapi.JSON
	}
	b, err := openapi.Render(spec, format)
	if err != nil {
		return err
	}
	if name == "-" {
		_, err := a.out.Write(b)
		return err
	}
	if err := atomicfile.Write(name, b, 0o644); err != nil {
		return fmt.Errorf("write OpenAPI: %w", err)
	}
	return nil
}

// writeLearned writes the one service that was learned.
func (a *app) writeLearned(specs []apidiscovery.Spec, name string) error {
	var full []apidiscovery.Spec
	var names []string
	for _, s := range specs {
		if len(s.Operations) > 0 {
			full = append(full, s)
			names = append(names, s.Service)
		}
	}
	switch len(full) {
	case 0:
		return errors.New("write OpenAPI: no operation was learned")
	case 1:
		return a.writeOpenAPI(full[0], name)
	}
	return withHint(fmt.Errorf("write OpenAPI: the traffic is of %d services: %s", len(full), strings.Join(names, ", ")), "give all of them one name with --service")
}
