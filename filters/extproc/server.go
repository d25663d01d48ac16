package extproc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"runtime/debug"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	procv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
)

// The initial metadata of a stream.
const (
	tableMetadata = "x-gabion-table" // the listener's table, from the filter's own configuration
	keyMetadata   = "x-gabion-key"   // the route's key, from its override
)

// drain is how long exchanges may finish once the process was asked to end.
const drain = 2 * time.Second

func serve(ctx context.Context, l net.Listener, t *tables, log *slog.Logger) error {
	s := grpc.NewServer(grpc.MaxRecvMsgSize(maxMessage), grpc.MaxSendMsgSize(maxMessage))
	procv3.RegisterExternalProcessorServer(s, &server{tables: t, log: log})
	log.Info("filter listening", "socket", l.Addr().String())
	failed := make(chan error, 1)
	go func() { failed <- s.Serve(l) }()
	select {
	case err := <-failed:
		return fmt.Errorf("serve the filter: %w", err)
	case <-ctx.Done():
	}
	cut := time.AfterFunc(drain, s.Stop)
	defer cut.Stop()
	s.GracefulStop()
	<-failed
	return nil
}

// server answers Envoy: one stream an exchange.
type server struct {
	procv3.UnimplementedExternalProcessorServer
	tables *tables
	log    *slog.Logger
	told   sync.Once
}

// cut says, once, that Envoy holds less than is to be inspected.
func (s *server) cut(shown int, length int64) {
	s.told.Do(func() {
		s.log.Warn("Envoy shows less of a body than is to be inspected: raise request_body_buffer_limit of its routes", "shown", shown, "length", length)
	})
}

// Process runs one exchange. An error makes Envoy answer by its own
// failure_mode_allow; a normal end lets the exchange pass.
func (s *server) Process(stream procv3.ExternalProcessor_ProcessServer) error {
	md, _ := metadata.FromIncomingContext(stream.Context())
	name, key := first(md, tableMetadata), first(md, keyMetadata)
	exchange, table, err := s.tables.begin(name, key)
	if err != nil {
		return status.Error(codes.Unavailable, err.Error())
	}
	x := &session{exchange: exchange, table: table, key: key, cut: s.cut,
		gone: func() bool { return stream.Context().Err() != nil }}
	late := &lateBody{server: s, session: x, send: stream.Send}
	defer s.guard("complete", func() {
		late.lock.Lock()
		defer late.lock.Unlock()
		late.stop()
		exchange.Complete()
	})
	for {
		req, err := stream.Recv()
		if err != nil {
			if errors.Is(err, io.EOF) || stream.Context().Err() != nil {
				return nil
			}
			return err
		}
		if !s.step(stream, x, req, late) {
			return nil
		}
	}
}

// step answers one message; false: nothing more is inspected, or the client went away.
func (s *server) step(stream procv3.ExternalProcessor_ProcessServer, x *session, req *procv3.ProcessingRequest, late *lateBody) bool {
	late.lock.Lock()
	defer late.lock.Unlock()
	late.stop()
	var res *procv3.ProcessingResponse
	failed := s.guard("process", func() { res = x.answer(req) })
	if failed {
		res = x.lapse(req)
	}
	if res == nil || stream.Send(res) != nil || failed {
		return false
	}
	late.start()
	return true
}

// guard catches what would end the process and every exchange with it.
func (s *server) guard(where string, f func()) (failed bool) {
	defer func() {
		if p := recover(); p != nil {
			failed = true
			s.log.Error("recovered a panic in the filter", "where", where, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
		}
	}()
	f()
	return false
}

func first(md metadata.MD, key string) string {
	if v := md.Get(key); len(v) > 0 {
		return v[0]
	}
	return ""
}
