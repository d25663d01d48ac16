package openapi

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/gabion-io/gabion/api-discovery"
)

var update = flag.Bool("update", false, "write what came out as what is wanted")

// outline writes a specification as a person would check it.
func outline(s apidiscovery.Spec, problems []Problem) string {
	var b strings.Builder
	fmt.Fprintf(&b, "service %q title %q version %q source %q servers %v\n", s.Service, s.Title, s.Version, s.Source, s.Servers)
	for _, o := range s.Operations {
		fmt.Fprintf(&b, "%s %s", o.Method, o.Template)
		if o.Name != "" || o.Protocol != apidiscovery.REST {
			fmt.Fprintf(&b, " (%s %s)", o.Protocol, o.Name)
		}
		if o.Streaming != "" {
			b.WriteString(" streaming " + o.Streaming)
		}
		for _, id := range s.Deprecated {
			if id == o.ID {
				b.WriteString(" deprecated")
			}
		}
		b.WriteByte('\n')
		for _, p := range o.Params {
			fmt.Fprintf(&b, "  %s %s: %s%s\n", p.In, p.Name, schemaText(p.Schema, 0), required(p.Required))
		}
		for _, r := range o.Request {
			fmt.Fprintf(&b, "  sends %s: %s%s\n", r.MediaType, schemaText(r.Schema, 0), required(r.Required))
		}
		for _, r := range o.Responses {
			fmt.Fprintf(&b, "  answers %s", statusKey(r.Status))
			for _, body := range r.Bodies {
				fmt.Fprintf(&b, " %s: %s", body.MediaType, schemaText(body.Schema, 0))
			}
			b.WriteByte('\n')
		}
		fmt.Fprintf(&b, "  asks for %s\n", authsText(o.Auth))
	}
	for _, p := range problems {
		fmt.Fprintf(&b, "problem %s\n", p)
	}
	return b.String()
}

func required(yes bool) string {
	if yes {
		return " required"
	}
	return ""
}

func schemaText(s *apidiscovery.Schema, depth int) string {
	if s == nil {
		return "-"
	}
	if depth > 4 {
		return "…"
	}
	text := strings.Join(s.Types, "|")
	if s.Format != "" {
		text += "(" + s.Format + ")"
	}
	if len(s.Enum) > 0 {
		text += fmt.Sprint(s.Enum)
	}
	if s.Truncated {
		text += "…"
	}
	if len(s.Properties) > 0 {
		var parts []string
		for _, p := range s.Properties {
			mark := ""
			if p.Required {
				mark = "!"
			}
			parts = append(parts, p.Name+mark+" "+schemaText(p.Schema, depth+1))
		}
		text += "{" + strings.Join(parts, ", ") + "}"
	}
	if s.Additional != nil {
		text += "{* " + schemaText(s.Additional, depth+1) + "}"
	}
	if s.Items != nil {
		text += "[" + schemaText(s.Items, depth+1) + "]"
	}
	for _, l := range []struct {
		word string
		list []*apidiscovery.Schema
	}{{" one of ", s.OneOf}, {" any of ", s.AnyOf}} {
		for i, a := range l.list {
			if i == 0 {
				text += l.word
			} else {
				text += " / "
			}
			text += schemaText(a, depth+1)
		}
	}
	return text
}

// Each case is a document and its outline.
func TestParse(t *testing.T) {
	cases, err := filepath.Glob("testdata/parse/*.txtar")
	if err != nil || len(cases) == 0 {
		t.Fatal("no cases", err)
	}
	for _, name := range cases {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) {
			ar, err := txtar.ParseFile(name)
			if err != nil {
				t.Fatal(err)
			}
			in := ar.Files[0]
			spec, problems, err := Parse(in.Data, Options{Name: in.Name})
			got := ""
			if err != nil {
				got = "error " + err.Error() + "\n"
			} else {
				got = outline(spec, problems)
				written, err := Render(spec, YAML)
				if err != nil {
					t.Fatal(err)
				}
				same(t, spec, written)
			}
			if *update {
				ar.Files = append(ar.Files[:1], txtar.File{Name: "outline", Data: []byte(got)})
				if err := os.WriteFile(name, txtar.Format(ar), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if len(ar.Files) < 2 {
				t.Fatal("the case has no outline: run with -update")
			}
			if diff := cmp.Diff(string(ar.Files[1].Data), got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// same holds that writing and reading again changes nothing more.
func same(t *testing.T, spec apidiscovery.Spec, written []byte) {
	t.Helper()
	for _, o := range spec.Operations {
		if o.Name != "" {
			return // operations that share a path become one
		}
	}
	back, problems, err := Parse(written, Options{Service: spec.Service})
	if err != nil || len(problems) > 0 {
		t.Fatal(err, problems)
	}
	again, err := Render(back, YAML)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(written), string(again)); diff != "" {
		t.Errorf("written, read and written again:\n%s", diff)
	}
	if len(back.Operations) != len(spec.Operations) {
		t.Errorf("%d operations, %d of them read again", len(spec.Operations), len(back.Operations))
	}
}

// descriptors of a small service, built as protoc would.
func descriptors(t testing.TB) []byte {
	t.Helper()
	str, num := descriptorpb.FieldDescriptorProto_TYPE_STRING, descriptorpb.FieldDescriptorProto_TYPE_INT64
	one := descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL
	set := &descriptorpb.FileDescriptorSet{File: []*descriptorpb.FileDescriptorProto{{
		Name: proto.String("greet.proto"), Package: proto.String("acme"), Syntax: proto.String("proto3"),
		MessageType: []*descriptorpb.DescriptorProto{{Name: proto.String("Hello"), Field: []*descriptorpb.FieldDescriptorProto{
			{Name: proto.String("full_name"), JsonName: proto.String("fullName"), Number: proto.Int32(1), Type: &str, Label: &one},
			{Name: proto.String("times"), JsonName: proto.String("times"), Number: proto.Int32(2), Type: &num, Label: &one},
		}}},
		Service: []*descriptorpb.ServiceDescriptorProto{{Name: proto.String("Greeter"), Method: []*descriptorpb.MethodDescriptorProto{
			{Name: proto.String("Say"), InputType: proto.String(".acme.Hello"), OutputType: proto.String(".acme.Hello")},
			{Name: proto.String("Watch"), InputType: proto.String(".acme.Hello"), OutputType: proto.String(".acme.Hello"), ServerStreaming: proto.Bool(true),
				Options: &descriptorpb.MethodOptions{Deprecated: proto.Bool(true)}},
		}}},
	}}}
	b, err := proto.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestParseDescriptors(t *testing.T) {
	spec, problems, err := Parse(descriptors(t), Options{Service: "greeter", Name: "greet.protoset"})
	if err != nil {
		t.Fatal(err)
	}
	const want = `service "greeter" title "acme.Greeter" version "" source "greet.protoset (protobuf descriptors)" servers []
POST /acme.Greeter/Say (grpc )
  sends application/grpc: object{fullName string, times string(int64)} required
  answers 200 application/grpc: object{fullName string, times string(int64)}
  asks for 
POST /acme.Greeter/Watch (grpc ) streaming server deprecated
  sends application/grpc: object{fullName string, times string(int64)} required
  answers 200 application/grpc: object{fullName string, times string(int64)}
  asks for 
`
	if diff := cmp.Diff(want, outline(spec, problems)); diff != "" {
		t.Error(diff)
	}
}

func FuzzParse(f *testing.F) {
	cases, _ := filepath.Glob("testdata/parse/*.txtar")
	for _, name := range cases {
		if ar, err := txtar.ParseFile(name); err == nil {
			f.Add(ar.Files[0].Data, ar.Files[0].Name)
		}
	}
	f.Add(descriptors(f), "x.protoset")
	f.Add([]byte("type Query { a(b: Int): [String!] @deprecated }"), "x.graphql")
	f.Add([]byte("openapi: 3.1.0\npaths: {/a: {get: {$ref: '#/paths/~1a/get'}}}"), "")
	f.Fuzz(func(t *testing.T, document []byte, name string) {
		if len(document) > 4096 {
			return
		}
		spec, _, err := Parse(document, Options{Name: name})
		if err != nil {
			return
		}
		for _, o := range spec.Operations {
			if o.Template.IsZero() || o.Method == "" || o.ID == "" {
				t.Fatalf("%+v", o)
			}
		}
		a, err := Render(spec, JSON)
		if err != nil {
			t.Fatal(err)
		}
		if b, _ := Render(spec, JSON); string(a) != string(b) {
			t.Fatal("rendering twice differs")
		}
	})
}
