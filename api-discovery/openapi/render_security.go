package openapi

import (
	"cmp"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/gabion-io/gabion/api-discovery"
)

// security are the ways of authentication that were accepted, as alternatives;
// nil when nothing is known.
func (w *writer) security(ops []apidiscovery.Operation) *yaml.Node {
	names := map[string]bool{}
	open, known := false, false
	for _, o := range ops {
		for _, a := range o.Auth {
			if a.Count > 0 && a.Accepted == 0 {
				continue // tried, never good
			}
			known = true
			if a.Kind == apidiscovery.AuthNone {
				open = true
				continue
			}
			if name, scheme := schemeOf(a); scheme != nil {
				names[name] = true
				w.schemes[name] = scheme
			}
		}
	}
	if !known || len(names) == 0 && !open {
		return nil
	}
	list := array()
	for _, name := range sorted(names) {
		list.Content = append(list.Content, object(name, array()))
	}
	if open && len(names) > 0 {
		list.Content = append(list.Content, object())
	}
	return list
}

// schemeOf names a way of authentication and describes it.
func schemeOf(a apidiscovery.Auth) (string, *yaml.Node) {
	switch a.Kind {
	case apidiscovery.AuthBasic:
		return "basic", object("type", text("http"), "scheme", text("basic"))
	case apidiscovery.AuthBearer:
		n := object("type", text("http"), "scheme", text("bearer"))
		if a.Format != "" {
			add(n, "bearerFormat", text(a.Format))
			return "bearer" + plainName(a.Format), n
		}
		return "bearer", n
	case apidiscovery.AuthDigest:
		scheme := cmp.Or(a.Scheme, "digest")
		return "http-" + plainName(scheme), object("type", text("http"), "scheme", text(scheme))
	case apidiscovery.AuthAPIKey:
		in := a.In
		if in != "query" && in != "cookie" {
			in = "header"
		}
		if a.Name == "" {
			return "", nil
		}
		return "key-" + in + "-" + plainName(a.Name), object("type", text("apiKey"), "in", text(in), "name", text(a.Name))
	case apidiscovery.AuthCookie:
		if a.Name == "" {
			return "", nil
		}
		return "cookie-" + plainName(a.Name), object("type", text("apiKey"), "in", text("cookie"), "name", text(a.Name))
	case apidiscovery.AuthMTLS:
		return "mutualTLS", object("type", text("mutualTLS"))
	}
	return "", nil
}

// plainName keeps what a component's name may have.
func plainName(s string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x80 && (r >= '0' && r <= '9' || r|0x20 >= 'a' && r|0x20 <= 'z' || r == '.' || r == '-' || r == '_') {
			return r
		}
		return '_'
	}, s)
}
