package exchange

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestMaskPath(t *testing.T) {
	for path, want := range map[string]string{
		"/":                         "/",
		"":                          "",
		"/api/v1/orders":            "/api/v1/orders",
		"/api/v1/orders/4711":       "/api/v1/orders/{number}",
		"/api/v1/orders/4711/items": "/api/v1/orders/{number}/items",
		"/search?q=secret":          "/search",
		"/search#frag":              "/search",
		"/users/0b5e3f0a-9c1d-4e55-8a00-d50f75f0b6fe/avatar.png": "/users/{uuid}/avatar.png",
		"/users/0B5E3F0A9C1D4E558A00D50F75F0B6FE":                "/users/{uuid}",
		"/u/anna@example.com":                                    "/u/{email}",
		"/u/anna%40example.com":                                  "/u/{value}",
		"/reset/eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc":        "/reset/{token}",
		"/t/d50f75f":                   "/t/{token}",
		"/t/AKIAIOSFODNN7EXAMPLE":      "/t/{token}",
		"/t/ghp_16C7e42F292c6912E7":    "/t/{token}",
		"/t/dGhpc2lzYVNlY3JldA":        "/t/{token}",
		"/card/4111-1111-1111-1111":    "/card/{number}",
		"/date/2026-03-01":             "/date/{number}",
		"/ip/10.0.0.1":                 "/ip/{number}",
		"/static/main.4f3a2b1c.js":     "/static/{token}",
		"/static/jquery-3.7.1.min.js":  "/static/jquery-3.7.1.min.js",
		"/well-known/openid":           "/well-known/openid",
		"/.well-known/acme-challenge":  "/.well-known/acme-challenge",
		"/oauth2/authorize":            "/oauth2/authorize",
		"/getUserByExternalId":         "/getUserByExternalId",
		"/graphql":                     "/graphql",
		"/../../etc/passwd":            "/../../etc/passwd",
		"/a;sid=1":                     "/{value}",
		"/<script>alert(1)</script>":   "/{value}/{value}",
		"/caf\xc3\xa9":                 "/{value}",
		"/feed/\xff\x00":               "/feed/{value}",
		"/" + strings.Repeat("a", 100): "/{token}",
		"/acme.Greeter/SayHello":       "/acme.Greeter/SayHello",
		"//double":                     "//double",
	} {
		if got := MaskPath(path); got != want {
			t.Errorf("%q: %q, want %q", path, got, want)
		}
	}
	long := MaskPath(strings.Repeat("/a", 500))
	if len(long) > 80 || !strings.HasSuffix(long, "…") {
		t.Fatal(long)
	}
}

func TestParamNames(t *testing.T) {
	got := ParamNames("/a?q=1&q=2&filter%5Bname%5D=x&ids[]=3&4711=1&a%20b=1&=5&flag&x=a=b#f=1")
	want := []string{"q", "filter[name]", "ids[]", "{number}", "{value}", "flag", "x"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatal(diff)
	}
	if got := ParamNames("/a"); got != nil {
		t.Fatal(got)
	}
}

func TestMaskHost(t *testing.T) {
	for host, want := range map[string]string{"Shop.Example:8080": "shop.example", "127.0.0.1:80": "127.0.0.1",
		"[::1]:80": "::1", "::1": "::1", "a b": "{value}", "": "", strings.Repeat("a", 300): "{value}", "x'--": "{value}"} {
		if got := MaskHost(host); got != want {
			t.Errorf("%q: %q, want %q", host, got, want)
		}
	}
}

// Whatever comes in, no escape, no query and nothing long comes out.
func FuzzMaskPath(f *testing.F) {
	f.Add("/api/v1/orders/4711?x=1")
	f.Add("/\xff%00")
	f.Fuzz(func(t *testing.T, path string) {
		got := MaskPath(path)
		if strings.ContainsAny(got, "?#%@&=<>'\" \x00") || len(got) > (maxSegments+1)*(maxName+1)+3 {
			t.Fatalf("%q", got)
		}
		for i := 0; i < len(got); i++ {
			if got[i] >= 0x80 && !strings.HasSuffix(got, "…") {
				t.Fatalf("%q", got)
			}
		}
		if again := MaskPath(got); again != got && !strings.HasSuffix(got, "…") {
			t.Fatalf("%q, then %q", got, again)
		}
		ParamNames(path)
		MaskHost(path)
	})
}
