package flowreport

import (
	"context"
	"encoding/json"
	"fmt"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// Names of the call. The messages are google.protobuf.BytesValue.
const (
	service = "gabion.flows.v1.Flows"
	method  = "/" + service + "/Report"
)

// Receiver stores what is reported; an error with a gRPC code is answered as it
// is. InvalidArgument and PermissionDenied say that sending it again is no use.
type Receiver interface {
	Report(ctx context.Context, m Message) (Receipt, error)
}

// Register adds the call to a server.
func Register(g grpc.ServiceRegistrar, r Receiver) {
	g.RegisterService(&grpc.ServiceDesc{
		ServiceName: service,
		HandlerType: (*Receiver)(nil),
		Methods:     []grpc.MethodDesc{{MethodName: "Report", Handler: handle}},
	}, r)
}

func handle(srv any, ctx context.Context, decode func(any) error, intercept grpc.UnaryServerInterceptor) (any, error) {
	in := new(wrapperspb.BytesValue)
	if err := decode(in); err != nil {
		return nil, err
	}
	answer := func(ctx context.Context, in any) (any, error) {
		m, err := Decode(in.(*wrapperspb.BytesValue).GetValue())
		if err != nil {
			return nil, status.Error(codes.InvalidArgument, err.Error())
		}
		receipt, err := srv.(Receiver).Report(ctx, m)
		if err != nil {
			return nil, err
		}
		b, err := json.Marshal(receipt)
		if err != nil {
			return nil, status.Error(codes.Internal, err.Error())
		}
		return wrapperspb.Bytes(b), nil
	}
	if intercept == nil {
		return answer(ctx, in)
	}
	return intercept(ctx, in, &grpc.UnaryServerInfo{Server: srv, FullMethod: method}, answer)
}

// Send reports an encoded message and returns when it is stored.
func Send(ctx context.Context, conn grpc.ClientConnInterface, encoded []byte) (Receipt, error) {
	out := new(wrapperspb.BytesValue)
	if err := conn.Invoke(ctx, method, wrapperspb.Bytes(encoded), out); err != nil {
		return Receipt{}, err
	}
	var r Receipt
	if err := json.Unmarshal(out.GetValue(), &r); err != nil {
		return Receipt{}, fmt.Errorf("read receipt: %w", err)
	}
	return r, nil
}

// Hopeless says whether a message that was answered with an error will never be
// taken.
func Hopeless(err error) bool {
	return status.Code(err) == codes.InvalidArgument
}
