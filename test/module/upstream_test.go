package module

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// echo is what the upstream saw of a request.
type echo struct {
	Method, Path, Proto, Sum string
	Size                     int64
	Trailer                  string
	Chunked                  bool
}

// startUpstream serves an application that tells what reached it, streams, and
// speaks WebSocket; HTTP/1.1 and HTTP/2 without TLS.
func startUpstream(t testing.TB) (addr string) {
	t.Helper()
	mux := http.NewServeMux()
	for _, key := range []string{"detect", "block", "off", "missing", "plain"} {
		mux.HandleFunc("/"+key+"/sse", serveEvents)
		mux.HandleFunc("/"+key+"/ws", serveWebSocket)
		mux.HandleFunc("/"+key+"/duplex", serveDuplex)
		mux.HandleFunc("/"+key+"/leak", serveLeak)
		mux.HandleFunc("/"+key+"/", serveEcho)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: mux, Protocols: new(http.Protocols)}
	s.Protocols.SetHTTP1(true)
	s.Protocols.SetUnencryptedHTTP2(true)
	go func() { _ = s.Serve(l) }()
	t.Cleanup(func() { _ = s.Close() })
	return l.Addr().String()
}

func serveEcho(w http.ResponseWriter, r *http.Request) {
	sum := sha256.New()
	n, _ := io.Copy(sum, r.Body)
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(echo{
		Method: r.Method, Path: r.URL.Path, Proto: r.Proto, Size: n,
		Sum: hex.EncodeToString(sum.Sum(nil)), Trailer: r.Trailer.Get("X-Tail"), Chunked: len(r.TransferEncoding) > 0,
	})
}

// serveEvents sends three events, each only after the one before was due.
func serveEvents(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	for i := range 3 {
		fmt.Fprintf(w, "data: %d\n\n", i)
		_ = http.NewResponseController(w).Flush()
		select {
		case <-time.After(300 * time.Millisecond):
		case <-r.Context().Done():
			return
		}
	}
}

func serveWebSocket(w http.ResponseWriter, r *http.Request) {
	c, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	defer c.CloseNow()
	for {
		kind, msg, err := c.Read(r.Context())
		if err != nil || c.Write(r.Context(), kind, []byte("echo "+string(msg))) != nil {
			return
		}
	}
}

// serveDuplex answers each message as it arrives, as a streaming gRPC method does.
func serveDuplex(w http.ResponseWriter, r *http.Request) {
	rc := http.NewResponseController(w)
	_ = rc.EnableFullDuplex()
	w.Header().Set("Content-Type", "application/grpc")
	w.Header().Set("Trailer", "Grpc-Status")
	_ = rc.Flush()
	for head := make([]byte, 5); ; {
		if _, err := io.ReadFull(r.Body, head); err != nil {
			break
		}
		message := make([]byte, binary.BigEndian.Uint32(head[1:]))
		if _, err := io.ReadFull(r.Body, message); err != nil {
			break
		}
		fmt.Fprintf(w, "got %s", message)
		_ = rc.Flush()
	}
	w.Header().Set("Grpc-Status", "0")
}

// serveLeak answers with what a response rule should catch.
func serveLeak(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html")
	fmt.Fprint(w, "<b>Warning</b>: mysql_fetch_array() expects parameter 1 to be resource, You have an error in your SQL syntax; check the manual that corresponds to your MySQL server version")
}
