package main

import (
	"strings"
	"testing"
)

func TestNamesOfListeners(t *testing.T) {
	for address, want := range map[string]struct{ call, own string }{
		"127.0.0.1:9090":          {"127.0.0.1:9090", "127.0.0.1"},
		"192.0.2.7:9090":          {"192.0.2.7:9090", "192.0.2.7"},
		"[2001:db8::7]:9090":      {"[2001:db8::7]:9090", "2001:db8::7"},
		"plane.example.com:https": {"plane.example.com:https", "plane.example.com"},
		":9090":                   {"127.0.0.1:9090", ""},
		"0.0.0.0:9090":            {"127.0.0.1:9090", ""},
		"[::]:9090":               {"127.0.0.1:9090", ""},
	} {
		if got := reachable(address); got != want.call {
			t.Errorf("%s is called by %s", address, got)
		}
		if got := strings.Join(ownName(address), " "); got != want.own {
			t.Errorf("%s is reached by %q", address, got)
		}
	}
}
