package identity

import (
	"context"
	"crypto/x509"
	"log/slog"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// The enrolment service. Both methods take a certificate request (PKCS #10, DER)
// and answer PEM: the host's certificate, then the authority's. They are
//
//	service Enrolment {
//	  rpc Join(google.protobuf.BytesValue) returns (google.protobuf.BytesValue);
//	  rpc Renew(google.protobuf.BytesValue) returns (google.protobuf.BytesValue);
//	}
//
// Join is told the one-time secret in the metadata ("authorization: Bearer …"),
// and the request's common name is the host it is for. Renew needs the host's
// certificate, and nothing in the request but its key counts. When a host joins anew,
// certificates of its earlier joins are not renewed any more: whoever has stolen one
// has it for a day at most.
const (
	enrolmentService = "gabion.identity.v1alpha1.Enrolment"
	JoinMethod       = "/" + enrolmentService + "/Join"
	RenewMethod      = "/" + enrolmentService + "/Renew"
)

// Redeemer takes one-time secrets; *store.Store is one.
type Redeemer interface {
	// RedeemJoinToken's error is told to the host that showed the secret.
	RedeemJoinToken(ctx context.Context, secret, host string) error
	// JoinedSince says whether a host has joined again after a moment.
	JoinedSince(ctx context.Context, host string, since time.Time) (bool, error)
}

// Enrolment is the service.
type Enrolment struct {
	Authority *Authority
	Tokens    Redeemer
	Log       *slog.Logger
}

// Register adds the service to a gRPC server.
func (e *Enrolment) Register(g *grpc.Server) {
	g.RegisterService(&grpc.ServiceDesc{
		ServiceName: enrolmentService,
		HandlerType: (*any)(nil),
		Methods: []grpc.MethodDesc{
			{MethodName: "Join", Handler: unary(JoinMethod, e.join)},
			{MethodName: "Renew", Handler: unary(RenewMethod, e.renew)},
		},
	}, e)
}

// unary is what generated code would be.
func unary(method string, do func(context.Context, []byte) ([]byte, error)) grpc.MethodHandler {
	return func(_ any, ctx context.Context, decode func(any) error, intercept grpc.UnaryServerInterceptor) (any, error) {
		in := &wrapperspb.BytesValue{}
		if err := decode(in); err != nil {
			return nil, err
		}
		call := func(ctx context.Context, in any) (any, error) {
			out, err := do(ctx, in.(*wrapperspb.BytesValue).GetValue())
			if err != nil {
				return nil, err
			}
			return wrapperspb.Bytes(out), nil
		}
		if intercept == nil {
			return call(ctx, in)
		}
		return intercept(ctx, in, &grpc.UnaryServerInfo{FullMethod: method}, call)
	}
}

func (e *Enrolment) join(ctx context.Context, der []byte) ([]byte, error) {
	secret, ok := bearer(ctx)
	if !ok {
		return nil, status.Error(codes.Unauthenticated, "a join token is needed")
	}
	request, host, err := ReadRequest(der)
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	if err := CheckHost(host); err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	// Taken before it is signed: a token that signs twice is worse than one that is
	// lost in between.
	if err := e.Tokens.RedeemJoinToken(ctx, secret, host); err != nil {
		e.Log.Warn("a host may not join", "host", host, "error", err)
		return nil, status.Error(codes.PermissionDenied, err.Error())
	}
	e.Log.Info("host joined", "host", host)
	return e.sign(request, host, e.Authority.o.Now())
}

func (e *Enrolment) renew(ctx context.Context, der []byte) ([]byte, error) {
	host, err := e.Authority.HostOf(ctx)
	if err != nil {
		return nil, err
	}
	request, _, err := ReadRequest(der)
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	switch anew, err := e.Tokens.JoinedSince(ctx, host.Name, host.Joined); {
	case err != nil:
		e.Log.Error("a host's certificate could not be renewed", "host", host.Name, "error", err)
		return nil, status.Error(codes.Unavailable, "the certificate could not be renewed now; the control plane's log has the details")
	case anew:
		e.Log.Warn("a certificate of an earlier join is not renewed", "host", host.Name, "joined", host.Joined)
		return nil, status.Errorf(codes.PermissionDenied, "host %s has joined again since: a certificate of an earlier join is not renewed", host.Name)
	}
	return e.sign(request, host.Name, host.Joined)
}

func (e *Enrolment) sign(request *x509.CertificateRequest, host string, joined time.Time) ([]byte, error) {
	out, err := e.Authority.SignHost(request, host, joined)
	if err != nil {
		e.Log.Error("a host's certificate could not be signed", "host", host, "error", err)
		return nil, status.Error(codes.Internal, "the certificate could not be signed; the control plane's log has the details")
	}
	return out, nil
}

func bearer(ctx context.Context) (string, bool) {
	md, _ := metadata.FromIncomingContext(ctx)
	values := md.Get("authorization")
	if len(values) != 1 {
		return "", false
	}
	secret, ok := strings.CutPrefix(values[0], "Bearer ")
	return secret, ok && secret != "" && len(secret) <= maxToken
}
