package crs

import (
	"net"
	"net/http"
)

// serveUpstream answers until the listener is closed.
func serveUpstream(l net.Listener) {
	s := &http.Server{Handler: Backend(), MaxHeaderBytes: 16 << 20}
	_ = s.Serve(l)
}
