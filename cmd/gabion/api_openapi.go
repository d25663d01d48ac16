package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/gabion-io/gabion/api-discovery"
	"github.com/gabion-io/gabion/api-discovery/openapi"
	"github.com/gabion-io/gabion/internal/atomicfile"
	"github.com/gabion-io/gabion/internal/exchange"
)

// maxServers bounds how many are kept of the traffic.
const maxServers = 1000

// servers are where exchanges went: observations no longer say how a host was
// spoken to. Only those that are wanted pass.
type servers struct {
	service string
	wanted  []string
	mu      sync.Mutex
	seen    map[string]bool // "https://shop.example"
}

func newServers(l learning) *servers {
	s := &servers{service: l.service, seen: map[string]bool{}}
	for _, h := range l.hosts {
		s.wanted = append(s.wanted, exchange.MaskHost(h))
	}
	return s
}

// of looks at what decode decodes; an exchange with another host than those that
// are wanted is none.
func (s *servers) of(decode toLearn) toLearn {
	return func() (*exchange.Raw, error) {
		raw, err := decode()
		if err != nil || raw == nil {
			return raw, err
		}
		host := exchange.MaskHost(raw.Host)
		if len(s.wanted) > 0 && !slices.Contains(s.wanted, host) {
			return nil, nil
		}
		s.note(raw.Scheme, host)
		return raw, nil
	}
}

func (s *servers) note(scheme, host string) {
	switch scheme {
	case "http", "https":
	case "ws", "wss": // begin as HTTP
		scheme = "http" + strings.TrimPrefix(scheme, "ws")
	default:
		return
	}
	if host == "" || strings.ContainsAny(host, "{}") {
		return
	}
	if strings.Contains(host, ":") {
		host = "[" + host + "]" // an address of IPv6
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.seen) < maxServers {
		s.seen[scheme+"://"+host] = true
	}
}

// serving are the servers of a service.
func (s *servers) serving(service string) (list []string) {
	for origin := range s.seen {
		if _, host, _ := strings.Cut(origin, "://"); s.service != "" || strings.Trim(host, "[]") == service {
			list = append(list, origin)
		}
	}
	return list
}

// writeLearned writes what was learned as one document.
func (a *app) writeLearned(l learning, specs []apidiscovery.Spec, seen *servers) error {
	var full []apidiscovery.Spec
	for _, s := range specs {
		if len(s.Operations) > 0 {
			s.Servers = seen.serving(s.Service)
			full = append(full, s)
		}
	}
	switch len(full) {
	case 0:
		return withHint(errors.New("write OpenAPI: no operation was learned"), "only what was answered with success is one: leave -o out to see what there was")
	case 1:
		return a.writeOpenAPI(full[0], l.output)
	}
	return a.writeOpenAPI(openapi.Join(fmt.Sprintf("%d services", len(full)), full...), l.output)
}

// writeOpenAPI writes a specification to a file, in the format its name says.
func (a *app) writeOpenAPI(spec apidiscovery.Spec, name string) error {
	format := openapi.YAML
	if strings.EqualFold(filepath.Ext(name), ".json") {
		format = openapi.JSON
	}
	b, err := openapi.Render(spec, format)
	if err != nil {
		return err
	}
	if name == "-" {
		_, err := a.out.Write(b)
		return err
	}
	if err := atomicfile.Write(name, b, 0o644); err != nil {
		return fmt.Errorf("write OpenAPI: %w", err)
	}
	return nil
}
