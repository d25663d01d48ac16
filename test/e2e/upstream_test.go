package e2e

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// startUpstream serves h over HTTP/1.1 and HTTP/2 without TLS.
func startUpstream(t testing.TB, h http.Handler) (address string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var p http.Protocols
	p.SetHTTP1(true)
	p.SetUnencryptedHTTP2(true)
	s := &http.Server{Handler: h, Protocols: &p}
	go s.Serve(ln)
	t.Cleanup(func() { s.Close() })
	return ln.Addr().String()
}

// oddUpstream answers what proxies and filters like to get wrong.
func oddUpstream() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/odd/digest", func(w http.ResponseWriter, r *http.Request) {
		sum := sha256.New()
		n, err := io.Copy(sum, r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		fmt.Fprintf(w, "%s %d %s", r.Proto, n, hex.EncodeToString(sum.Sum(nil)))
	})
	mux.HandleFunc("/odd/trailers", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "X-Sum")
		io.Copy(io.Discard, r.Body)
		fmt.Fprint(w, "body, then a trailer")
		w.Header().Set("X-Sum", "after "+r.Trailer.Get("X-Request-Sum"))
	})
	mux.HandleFunc("/odd/drip", func(w http.ResponseWriter, r *http.Request) {
		for i := range 3 {
			fmt.Fprintf(w, "part %d;", i)
			http.NewResponseController(w).Flush()
		}
	})
	return mux
}

// The methods of the gRPC service, which has no .proto: its messages are
// StringValue both ways.
const grpcService = "gabion.test.Echo"

type echoServer interface{ prefix() string }

type echo struct{}

func (echo) prefix() string { return "echo " }

func startGRPC(t testing.TB) (address string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer()
	s.RegisterService(&grpc.ServiceDesc{
		ServiceName: grpcService, HandlerType: (*echoServer)(nil),
		Methods: []grpc.MethodDesc{{MethodName: "Unary", Handler: unary}},
		Streams: []grpc.StreamDesc{
			{StreamName: "Server", Handler: serverStream, ServerStreams: true},
			{StreamName: "Client", Handler: clientStream, ClientStreams: true},
			{StreamName: "Bidi", Handler: bidiStream, ServerStreams: true, ClientStreams: true},
		},
	}, echo{})
	go s.Serve(ln)
	t.Cleanup(s.Stop)
	return ln.Addr().String()
}

func unary(srv any, _ context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
	var in wrapperspb.StringValue
	if err := decode(&in); err != nil {
		return nil, err
	}
	return wrapperspb.String(srv.(echoServer).prefix() + in.Value), nil
}

func serverStream(_ any, s grpc.ServerStream) error {
	var in wrapperspb.StringValue
	if err := s.RecvMsg(&in); err != nil {
		return err
	}
	for i := range 3 {
		if err := s.SendMsg(wrapperspb.String(fmt.Sprint(in.Value, i))); err != nil {
			return err
		}
	}
	return nil
}

func clientStream(_ any, s grpc.ServerStream) error {
	all := ""
	for {
		var in wrapperspb.StringValue
		switch err := s.RecvMsg(&in); {
		case errors.Is(err, io.EOF):
			return s.SendMsg(wrapperspb.String(all))
		case err != nil:
			return err
		}
		all += in.Value
	}
}

func bidiStream(_ any, s grpc.ServerStream) error {
	for {
		var in wrapperspb.StringValue
		switch err := s.RecvMsg(&in); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		if err := s.SendMsg(wrapperspb.String("echo " + in.Value)); err != nil {
			return err
		}
	}
}
