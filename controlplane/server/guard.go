package server

import (
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"runtime/debug"
	"slices"
	"strings"
)

// MaxBody bounds what one request may send, in bytes. The largest honest body
// is a directory of manifests.
const MaxBody = 8 << 20

// guard is everything that is decided before a request reaches an operation:
// it protects a loopback listener from pages in the owner's own browser (DNS
// rebinding, cross-site requests) and every listener from oversized bodies.
type guard struct {
	hosts   []string // names that may stand in the Host header, lower case, no port
	origins []string // origins beside our own that may call: "https://console.example.com"
	log     *slog.Logger
	next    http.Handler
}

// loopbackNames are always in the Host allow-list: whoever reaches us by them
// is on this machine, and no DNS name can be made to equal them.
func loopbackNames() []string { return []string{"localhost", "127.0.0.1", "::1"} }

func (g *guard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	defer g.recover(w, r)
	secureHeaders(w.Header())
	if !g.hostAllowed(r.Host) {
		writeProblem(w, http.StatusMisdirectedRequest, "this server does not answer to the host name in the request; add it with --admin-host, or use 127.0.0.1")
		return
	}
	if !g.originAllowed(r) {
		writeProblem(w, http.StatusForbidden, "requests from pages of another origin are refused")
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, MaxBody)
	g.next.ServeHTTP(w, r)
}

func (g *guard) hostAllowed(host string) bool {
	name, ok := hostName(host)
	return ok && slices.Contains(g.hosts, name)
}

// originAllowed refuses what a browser sends on behalf of another site. Command
// line clients send neither header.
func (g *guard) originAllowed(r *http.Request) bool {
	if r.Header.Get("Sec-Fetch-Site") == "cross-site" {
		return false
	}
	origins := r.Header.Values("Origin")
	if len(origins) == 0 {
		return true
	}
	if len(origins) > 1 {
		return false
	}
	origin := strings.ToLower(origins[0])
	if slices.Contains(g.origins, origin) {
		return true
	}
	u, err := url.Parse(origin)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") {
		return false
	}
	return u.Host == strings.ToLower(r.Host)
}

// hostName takes the port off a Host header; ok is false for what is no host.
func hostName(host string) (name string, ok bool) {
	if host == "" || strings.ContainsAny(host, "/@ ,") {
		return "", false
	}
	bracket := host[0] == '['
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	} else if bracket {
		if host, ok = strings.CutSuffix(host[1:], "]"); !ok {
			return "", false
		}
	}
	if bracket { // holds an address as it is, or nothing
		_, err := netip.ParseAddr(host)
		return strings.ToLower(host), err == nil
	}
	return strings.ToLower(strings.TrimSuffix(host, ".")), true
}

func secureHeaders(h http.Header) {
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
}

// recover answers 500 for a panic in a handler, so that one broken request does
// not end the control plane. What panicked goes to the log, not to the client.
func (g *guard) recover(w http.ResponseWriter, r *http.Request) {
	p := recover()
	if p == nil {
		return
	}
	if p == http.ErrAbortHandler {
		panic(p)
	}
	g.log.Error("request handler panicked", "method", r.Method, "path", r.URL.Path, "panic", p, "stack", string(debug.Stack()))
	writeProblem(w, http.StatusInternalServerError, "internal error; the server's log has the details")
}
