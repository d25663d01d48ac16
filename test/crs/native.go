package crs

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/gabion-io/gabion/filters"
	"github.com/gabion-io/gabion/filters/chain"
	"github.com/gabion-io/gabion/waf-rules/regression"
)

// Native runs requests through the chain in this process, behind a real HTTP
// server, as upstream runs its suite.
type Native struct {
	server *httptest.Server
	judge  *chain.Judge
	mu     sync.Mutex
	last   *Observation
}

// NewNative starts the server; Close it.
func NewNative(p filters.Policy) (*Native, error) {
	n := &Native{}
	judge, err := chain.NewJudge(p, chain.Options{Trace: n.trace})
	if err != nil {
		return nil, err
	}
	n.judge = judge
	n.server = httptest.NewServer(http.HandlerFunc(n.serve))
	return n, nil
}

// Close ends the server and frees the policy.
func (n *Native) Close() {
	n.server.Close()
	n.judge.Close()
}

func (n *Native) trace(t chain.Trace) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.last.Rules = t.Rules
	n.last.Log = strings.Join(t.Lines, "\n")
}

// Do sends the bytes of a request. One at a time.
func (n *Native) Do(r *regression.Request) (Observation, error) {
	n.mu.Lock()
	n.last = &Observation{Refused: "the HTTP server in front answered itself"}
	n.mu.Unlock()
	conn, err := net.Dial("tcp", n.server.Listener.Addr().String())
	if err != nil {
		return Observation{}, err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := conn.Write(r.Bytes()); err != nil {
		return Observation{}, fmt.Errorf("send: %w", err)
	}
	// Nothing more will come; a server that waits for more should not.
	_ = conn.(*net.TCPConn).CloseWrite()
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	n.mu.Lock()
	defer n.mu.Unlock()
	out := *n.last
	if err != nil {
		if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
			return out, nil
		}
		return out, fmt.Errorf("receive: %w", err)
	}
	out.Status = res.StatusCode
	_ = res.Body.Close()
	return out, nil
}

func (n *Native) serve(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body) // what arrived is what is judged
	answer := httptest.NewRecorder()
	inner := r.Clone(r.Context())
	inner.Body = io.NopCloser(strings.NewReader(string(body)))
	Backend().ServeHTTP(answer, inner)
	n.mu.Lock()
	n.last.Refused = ""
	n.mu.Unlock()
	v := n.judge.Decide(chain.Message{
		Request: requestHead(r), RequestBody: body,
		Response: responseHead(answer), ResponseBody: answer.Body.Bytes(),
	})
	n.mu.Lock()
	n.last.Event = v.Event
	n.mu.Unlock()
	w.Header().Set("connection", "close")
	w.WriteHeader(v.Status)
}

func requestHead(r *http.Request) *filters.RequestHead {
	client, _ := netip.ParseAddrPort(r.RemoteAddr)
	h := &filters.RequestHead{Method: r.Method, Scheme: "http", Authority: r.Host, Path: r.RequestURI, Proto: r.Proto, Client: client}
	for name, values := range r.Header {
		for _, v := range values {
			h.Headers = append(h.Headers, filters.Header{Name: strings.ToLower(name), Value: v})
		}
	}
	for _, te := range r.TransferEncoding {
		h.Headers = append(h.Headers, filters.Header{Name: "transfer-encoding", Value: te})
	}
	return h
}

func responseHead(w *httptest.ResponseRecorder) *filters.ResponseHead {
	h := &filters.ResponseHead{Status: w.Code}
	for name, values := range w.Result().Header {
		for _, v := range values {
			h.Headers = append(h.Headers, filters.Header{Name: strings.ToLower(name), Value: v})
		}
	}
	return h
}
