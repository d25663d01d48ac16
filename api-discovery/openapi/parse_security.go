package openapi

import (
	"slices"
	"strings"

	"github.com/gabion-io/gabion/api-discovery"
)

// schemes are the ways to authenticate by name.
func (r *reader) schemes(declared map[string]any) map[string]apidiscovery.Auth {
	auths := map[string]apidiscovery.Auth{}
	for name := range declared {
		if s, _ := r.follow(declared[name], name); s != nil {
			auths[name] = authOf(textIn(s, "type"), textIn(s, "scheme"), textIn(s, "bearerFormat"), textIn(s, "in"), textIn(s, "name"))
		}
	}
	return auths
}

func authOf(kind, scheme, format, in, name string) apidiscovery.Auth {
	switch scheme = strings.ToLower(scheme); strings.ToLower(kind) {
	case "apikey":
		if in == apidiscovery.InCookie {
			return apidiscovery.Auth{Kind: apidiscovery.AuthCookie, Name: name}
		}
		return apidiscovery.Auth{Kind: apidiscovery.AuthAPIKey, In: in, Name: paramName(in, name)}
	case "oauth2", "openidconnect":
		return apidiscovery.Auth{Kind: apidiscovery.AuthBearer, Scheme: "bearer"}
	case "mutualtls":
		return apidiscovery.Auth{Kind: apidiscovery.AuthMTLS}
	case "basic": // Swagger 2
		scheme = "basic"
	}
	switch scheme {
	case "basic":
		return apidiscovery.Auth{Kind: apidiscovery.AuthBasic, Scheme: scheme}
	case "bearer":
		return apidiscovery.Auth{Kind: apidiscovery.AuthBearer, Scheme: scheme, Format: strings.ToUpper(format)}
	}
	return apidiscovery.Auth{Kind: apidiscovery.AuthDigest, Scheme: scheme}
}

// requirements are the ways that suffice; those of an operation replace the
// document's. With nothing said, and with an empty list, anybody may.
func requirements(op, root map[string]any, auths map[string]apidiscovery.Auth) (list []apidiscovery.Auth) {
	own, said := op["security"].([]any)
	if !said {
		own = listIn(root, "security")
	}
	add := func(a apidiscovery.Auth) {
		if !slices.ContainsFunc(list, func(b apidiscovery.Auth) bool {
			return a.Kind == b.Kind && a.In == b.In && a.Name == b.Name && a.Scheme == b.Scheme && a.Format == b.Format
		}) {
			list = append(list, a)
		}
	}
	for _, q := range own {
		q, _ := q.(map[string]any)
		if len(q) == 0 {
			add(apidiscovery.Auth{Kind: apidiscovery.AuthNone})
		}
		for _, name := range sorted(q) {
			if a, ok := auths[name]; ok {
				add(a)
			} else {
				add(apidiscovery.Auth{Kind: apidiscovery.AuthUnknown, Name: name})
			}
		}
	}
	if len(list) == 0 {
		add(apidiscovery.Auth{Kind: apidiscovery.AuthNone})
	}
	return list
}
