package openapi

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/gabion-io/gabion/api-discovery"
)

// parseDescriptors reads a FileDescriptorSet, as protoc --descriptor_set_out
// --include_imports and buf build write it.
func parseDescriptors(document []byte, o Options) (apidiscovery.Spec, error) {
	var set descriptorpb.FileDescriptorSet
	if err := proto.Unmarshal(document, &set); err != nil {
		return apidiscovery.Spec{}, fmt.Errorf("parse protobuf descriptors: %w", err)
	}
	if len(set.File) == 0 {
		return apidiscovery.Spec{}, errors.New("parse protobuf descriptors: there is no file in them")
	}
	files, err := protodesc.FileOptions{AllowUnresolvable: true}.NewFiles(&set)
	if err != nil {
		return apidiscovery.Spec{}, fmt.Errorf("parse protobuf descriptors: %w", err)
	}
	spec := apidiscovery.Spec{Title: "gRPC", Source: source(o.Name, "protobuf descriptors")}
	known := messages{}
	var services []string
	files.RangeFiles(func(f protoreflect.FileDescriptor) bool {
		for i := range f.Services().Len() {
			s := f.Services().Get(i)
			services = append(services, string(s.FullName()))
			for k := range s.Methods().Len() {
				known.addMethod(&spec, s, s.Methods().Get(k))
			}
		}
		return true
	})
	if len(services) == 0 {
		return spec, errors.New("parse protobuf descriptors: no file has a service")
	}
	slices.Sort(services)
	spec.Title = strings.Join(services[:min(3, len(services))], ", ")
	return spec, nil
}

// messages are the schemas of those read so far; nil while one is made.
type messages map[protoreflect.FullName]*apidiscovery.Schema

func (known messages) addMethod(spec *apidiscovery.Spec, s protoreflect.ServiceDescriptor, m protoreflect.MethodDescriptor) {
	template, err := apidiscovery.ParsePathTemplate("/" + string(s.FullName()) + "/" + string(m.Name()))
	if err != nil {
		return // names of protobuf have no braces
	}
	op := apidiscovery.Operation{OperationKey: apidiscovery.OperationKey{Protocol: apidiscovery.GRPC, Method: "POST", Template: template}}
	op.ID = template.String()
	switch {
	case m.IsStreamingClient() && m.IsStreamingServer():
		op.Streaming = "bidi"
	case m.IsStreamingClient():
		op.Streaming = "client"
	case m.IsStreamingServer():
		op.Streaming = "server"
	}
	op.Request = []apidiscovery.Body{{MediaType: "application/grpc", Required: true, Schema: known.message(m.Input())}}
	op.Responses = []apidiscovery.Response{{Status: 200, Bodies: []apidiscovery.Body{{MediaType: "application/grpc", Schema: known.message(m.Output())}}}}
	if deprecated(s.Options()) || deprecated(m.Options()) {
		spec.Deprecated = append(spec.Deprecated, op.ID)
	}
	spec.Operations = append(spec.Operations, op)
}

func deprecated(o protoreflect.ProtoMessage) bool {
	switch o := o.(type) {
	case *descriptorpb.MethodOptions:
		return o.GetDeprecated()
	case *descriptorpb.ServiceOptions:
		return o.GetDeprecated()
	}
	return false
}

// message is the JSON form of a protobuf message. One that many fields hold is made
// once and shared; one that holds itself ends there.
func (known messages) message(m protoreflect.MessageDescriptor) *apidiscovery.Schema {
	s, seen := known[m.FullName()]
	if s == nil && seen || m.IsPlaceholder() {
		return &apidiscovery.Schema{Truncated: true}
	}
	if s == nil {
		known[m.FullName()] = nil
		s = known.makeMessage(m)
		known[m.FullName()] = s
	}
	return s
}

func (known messages) makeMessage(m protoreflect.MessageDescriptor) *apidiscovery.Schema {
	switch m.FullName() {
	case "google.protobuf.Timestamp":
		return &apidiscovery.Schema{Types: []string{"string"}, Format: "date-time"}
	case "google.protobuf.Duration", "google.protobuf.FieldMask":
		return &apidiscovery.Schema{Types: []string{"string"}}
	case "google.protobuf.Struct", "google.protobuf.Value", "google.protobuf.Any":
		return &apidiscovery.Schema{}
	}
	s := &apidiscovery.Schema{Types: []string{"object"}}
	for i := range m.Fields().Len() {
		f := m.Fields().Get(i)
		s.Properties = append(s.Properties, apidiscovery.Property{Name: f.JSONName(), Required: f.Cardinality() == protoreflect.Required, Schema: known.field(f)})
	}
	slices.SortFunc(s.Properties, func(a, b apidiscovery.Property) int { return strings.Compare(a.Name, b.Name) })
	return s
}

func (known messages) field(f protoreflect.FieldDescriptor) *apidiscovery.Schema {
	switch {
	case f.IsMap():
		return &apidiscovery.Schema{Types: []string{"object"}, Additional: known.value(f.MapValue())}
	case f.IsList():
		return &apidiscovery.Schema{Types: []string{"array"}, Items: known.value(f)}
	}
	return known.value(f)
}

func (known messages) value(f protoreflect.FieldDescriptor) *apidiscovery.Schema {
	switch f.Kind() {
	case protoreflect.BoolKind:
		return &apidiscovery.Schema{Types: []string{"boolean"}}
	case protoreflect.EnumKind:
		s := &apidiscovery.Schema{Types: []string{"string"}}
		if f.Enum().IsPlaceholder() {
			return s
		}
		for i := range f.Enum().Values().Len() {
			s.Enum = append(s.Enum, string(f.Enum().Values().Get(i).Name()))
		}
		slices.Sort(s.Enum)
		return s
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Uint32Kind, protoreflect.Fixed32Kind, protoreflect.Sfixed32Kind:
		return &apidiscovery.Schema{Types: []string{"integer"}, Format: "int32"}
	case protoreflect.Int64Kind, protoreflect.Sint64Kind, protoreflect.Uint64Kind, protoreflect.Fixed64Kind, protoreflect.Sfixed64Kind:
		return &apidiscovery.Schema{Types: []string{"string"}, Format: "int64"} // JSON numbers would lose digits
	case protoreflect.FloatKind, protoreflect.DoubleKind:
		return &apidiscovery.Schema{Types: []string{"number"}}
	case protoreflect.BytesKind:
		return &apidiscovery.Schema{Types: []string{"string"}, Format: "byte"}
	case protoreflect.MessageKind, protoreflect.GroupKind:
		return known.message(f.Message())
	}
	return &apidiscovery.Schema{Types: []string{"string"}}
}
