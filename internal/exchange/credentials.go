package exchange

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"strings"
	"time"

	"github.com/gabion-io/gabion/internal/sensitive"
)

// facts are what the headers of an exchange say besides parameters.
type facts struct {
	requestType, responseType string // media types with parameters
	contentLength             string
	upgrade                   string
	soapAction                string
	corsMethod                string
	accept                    string
}

// headers reads the request's headers into parameters, credentials and facts.
func (d *Door) headers(r *Raw, o *Observation) (f facts) {
	for i := range r.Request.Headers {
		h := &r.Request.Headers[i]
		name := lower(h.Name)
		switch name {
		case "authorization":
			d.authorization(h.Value, o)
		case "cookie":
			d.cookies(h.Value, o)
		case "content-type":
			f.requestType = h.Value
		case "content-length":
			f.contentLength = h.Value
		case "upgrade":
			f.upgrade = h.Value
		case "soapaction":
			f.soapAction = h.Value
		case "access-control-request-method":
			f.corsMethod = method(h.Value)
		case "accept":
			f.accept = lower(strings.TrimSpace(h.Value))
		default:
			d.header(name, h.Value, o)
		}
	}
	f.responseType = r.Response.Get("content-type")
	if o.Method == "OPTIONS" {
		o.Preflight = f.corsMethod
	}
	return f
}

func lower(s string) string {
	for i := range len(s) {
		if c := s[i]; 'A' <= c && c <= 'Z' {
			return strings.ToLower(s)
		}
	}
	return s
}

// header: a parameter of the API, a key, or one of those that every client sends.
func (d *Door) header(name, value string, o *Observation) {
	if name == "" || name[0] == ':' {
		return
	}
	f := d.Names.of("header", name)
	switch {
	case f.role == passedOver:
	case name == "if-none-match" && (o.Method == "GET" || o.Method == "HEAD"): // caches send it
	case f.role == credential || f.role == either && isCredential(value):
		d.key(AuthSeen{Kind: "apiKey", In: "header", Name: f.shown}, value, o)
	case len(o.Params) < maxParams && f.shown != "":
		p := ParamSeen{In: "header", Name: f.shown, Value: d.Value(value)}
		p.Sensitive = carries(p.Kind, value, f.field)
		p.withoutNames(f)
		o.Params = append(o.Params, p)
	}
}

// plumbing: headers of HTTP itself, of browsers and of proxies.
func plumbing(name string) bool {
	switch name {
	case "accept-charset", "accept-encoding", "accept-language", "connection", "host", "user-agent", "referer", "origin", "te",
		"trailer", "transfer-encoding", "expect", "date", "via", "forwarded", "from", "pragma", "cache-control", "keep-alive", "proxy-connection",
		"if-modified-since", "if-range", "range", "dnt", "upgrade-insecure-requests", "priority",
		"traceparent", "tracestate", "baggage", "b3", "x-request-id", "x-correlation-id", "x-requested-with", "x-real-ip", "x-client-ip", "true-client-ip",
		"access-control-request-headers", "access-control-request-private-network", "content-encoding", "content-language", "content-disposition",
		"max-forwards", "x-amzn-trace-id", "x-cloud-trace-context", "save-data", "device-memory", "downlink", "rtt", "ect", "purpose", "x-scheme",
		"grpc-timeout", "grpc-accept-encoding", "grpc-encoding", "x-original-uri", "x-original-host", "x-http-method-override", "mcp-session-id",
		"http2-settings", "sentry-trace", "x-client-data", "alt-used", "x-datadog-trace-id", "accept-datetime", "service-worker", "x-purpose":
		return true
	}
	for _, prefix := range []string{"sec-", "x-forwarded-", "x-envoy-", "x-b3-", "cf-", "x-gabion-", "proxy-", "x-datadog-", "x-amz-cf-", "fly-", "cdn-", "uber-trace-"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// isKeyName: names that API keys are sent under. All of them end in key, token or
// secret; of queries, which may be long, every name is asked.
func isKeyName(name string) bool {
	end := len(name) - 1
	for end >= 0 && (name[end] == '-' || name[end] == '_') {
		end--
	}
	if end < 0 || strings.IndexByte("ynt", name[end]|0x20) < 0 {
		return false
	}
	switch name = joined(name); name {
	case "xauthkey", "xfunctionskey", "privatetoken", "xvaulttoken", "xamzsecuritytoken":
		return true
	}
	for _, end := range []string{"apikey", "apitoken", "apisecret", "accesstoken", "authtoken", "subscriptionkey", "appkey", "applicationkey"} {
		if strings.HasSuffix(name, end) {
			return true
		}
	}
	return false
}

// joined is a name without what parts its words, in lower case.
func joined(name string) string {
	return lower(strings.ReplaceAll(strings.ReplaceAll(name, "-", ""), "_", ""))
}

// isTokenName: headers that some send a credential in ("circle-token"), and some
// the place in a list.
func isTokenName(name string) bool {
	if !strings.HasSuffix(name, "token") && !strings.HasSuffix(name, "-key") {
		return false
	}
	for _, other := range []string{"csrf", "xsrf", "page", "next", "continu", "sync", "device", "push", "idempotency", "cache", "partition", "routing"} {
		if strings.Contains(name, other) {
			return false
		}
	}
	return true
}

// isCredential: long, and nothing that somebody would write by hand.
func isCredential(value string) bool {
	if len(value) < 16 {
		return false
	}
	switch KindOf(value) {
	case KindToken, KindHex, KindPrefixed, KindUUID, KindMixed:
		return true
	}
	return false
}

// authorization reads the scheme; of a JWT what names its issuer, never the whole.
func (d *Door) authorization(value string, o *Observation) {
	scheme, credential, _ := strings.Cut(strings.TrimSpace(value), " ")
	scheme = lower(scheme)
	credential = strings.TrimSpace(credential)
	switch {
	case value == "" || redacted(value) || credential == "" && len(scheme) > 24:
		o.Auth = append(o.Auth, AuthSeen{Kind: "unknown"})
	case scheme == "basic":
		o.Auth = append(o.Auth, AuthSeen{Kind: "basic", Scheme: "basic"})
		if !redacted(credential) {
			if user, err := base64.StdEncoding.DecodeString(credential); err == nil {
				name, _, _ := strings.Cut(string(user), ":")
				d.caller("subject", name, o)
			}
		}
	case scheme == "bearer" || scheme == "token":
		a := AuthSeen{Kind: "bearer", Scheme: scheme}
		d.key(a, credential, o)
	case scheme == "digest" || scheme == "negotiate" || scheme == "hawk" || strings.HasPrefix(scheme, "aws4-"):
		o.Auth = append(o.Auth, AuthSeen{Kind: "digest", Scheme: scheme})
	case KindOf(scheme) == KindWord && credential != "":
		a := AuthSeen{Kind: "digest", Scheme: scheme}
		if strings.HasPrefix(credential, "ey") { // "JWT eyJ…"
			d.key(a, credential, o)
			return
		}
		o.Auth = append(o.Auth, a)
	default:
		o.Auth = append(o.Auth, AuthSeen{Kind: "apiKey", In: "header", Name: "authorization"})
		d.caller("key", value, o)
	}
}

// key notes a way of saying who calls, and takes the credential for who it is, or
// what it says of that: a JWT may stand anywhere.
func (d *Door) key(a AuthSeen, credential string, o *Observation) {
	kind := "key"
	if a.Kind == "cookie" {
		kind = "session"
	}
	if subject := readJWT(credential, &a, o.Time); subject != "" {
		d.caller("subject", subject, o)
	} else {
		d.caller(kind, credential, o)
	}
	if a.Name != "" {
		a.Format = "" // it is one way, whatever is sent under the name
	}
	if len(o.Auth) < maxKeys {
		o.Auth = append(o.Auth, a)
	}
}

// maxKeys is how many ways of saying who calls are told of one request.
const maxKeys = 12

// redacted: what tools put in the place of a credential they remove.
func redacted(s string) bool {
	return len(s) < 40 && (strings.Contains(s, "***") || strings.ContainsAny(s, "<[") || strings.Contains(strings.ToLower(s), "redacted"))
}

// readJWT takes algorithm, issuer and audience of a JWT, and what is weak about it
// at a time, and answers its subject, as its issuer's; "" when there is none.
func readJWT(s string, a *AuthSeen, at time.Time) (subject string) {
	head, rest, _ := strings.Cut(s, ".")
	payload, signature, two := strings.Cut(rest, ".")
	if !two || len(s) > 16<<10 || !strings.HasPrefix(head, "ey") {
		return ""
	}
	var header struct {
		Alg string `json:"alg"`
	}
	var claims struct {
		Issuer   string          `json:"iss"`
		Subject  string          `json:"sub"`
		Client   string          `json:"client_id"`
		Audience json.RawMessage `json:"aud"`
		Expires  *float64        `json:"exp"`
	}
	if !readPart(head, &header) {
		return ""
	}
	readable := readPart(payload, &claims) // an encrypted or odd payload: a JWT all the same
	switch {
	case strings.EqualFold(header.Alg, "none"):
		a.Weak = append(a.Weak, "has the algorithm none")
	case signature == "":
		a.Weak = append(a.Weak, "has no signature")
	}
	switch {
	case !readable:
	case claims.Expires == nil:
		a.Weak = append(a.Weak, "never expires")
	case !at.IsZero() && *claims.Expires < float64(at.Add(-tolerance).Unix()):
		a.Weak = append(a.Weak, "had expired")
	}
	a.Format, a.Alg, a.Issuer = "JWT", algorithm(header.Alg), claim(claims.Issuer)
	var one string
	var several []string
	switch {
	case json.Unmarshal(claims.Audience, &one) == nil:
		a.Audience = claim(one)
	case json.Unmarshal(claims.Audience, &several) == nil && len(several) > 0:
		a.Audience = claim(several[0])
	}
	if subject = cmp.Or(claims.Subject, claims.Client); subject == "" {
		return ""
	}
	return claims.Issuer + "\x00" + subject
}

// maxWeak is how much may be wrong with one token.
const maxWeak = 2

// tolerance is by how much the clocks of two machines may differ.
const tolerance = 5 * time.Minute

func readPart(s string, into any) bool {
	b, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(s, "="))
	return err == nil && json.Unmarshal(b, into) == nil
}

// claim is the name of an issuer or an audience. Nobody has checked the token yet:
// what is somebody's, or no name, is masked.
func claim(s string) string {
	switch {
	case len(s) > 200:
		return MaskToken
	case strings.IndexByte(s, '@') >= 0:
		return MaskEmail
	case strings.ContainsAny(s, " <>{}\"'\\") || carries(KindOf(s), s, sensitive.Field{}) != sensitive.None:
		return MaskValue
	}
	return s
}

// algorithm is one that RFC 7518 or RFC 8037 name, or "other".
func algorithm(s string) string {
	switch upper := strings.ToUpper(s); upper {
	case "HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "PS256", "PS384", "PS512",
		"RSA1_5", "RSA-OAEP", "RSA-OAEP-256", "A128KW", "A192KW", "A256KW", "DIR", "ECDH-ES", "A128GCMKW", "A192GCMKW", "A256GCMKW":
		return upper
	case "NONE", "EDDSA", "ES256K", "ECDH-ES+A128KW", "ECDH-ES+A192KW", "ECDH-ES+A256KW":
		return s
	case "":
		return ""
	}
	return "other"
}

// cookies: a session is a credential, the rest are parameters, except what
// measures visitors.
func (d *Door) cookies(value string, o *Observation) {
	for value != "" && len(o.Params) < maxParams {
		var pair string
		pair, value, _ = strings.Cut(value, ";")
		name, v, found := strings.Cut(strings.TrimSpace(pair), "=")
		if !found || name == "" {
			continue
		}
		switch f := d.Names.of("cookie", name); f.role {
		case passedOver:
		case credential:
			d.key(AuthSeen{Kind: "cookie", In: "cookie", Name: f.shown}, v, o)
		default:
			d.param(f, v, o)
		}
	}
}

func isSession(name string) bool {
	name = lower(name)
	for _, word := range []string{"sess", "sid", "auth", "token", "jwt", "login", "remember"} {
		if strings.Contains(name, word) && !strings.Contains(name, "csrf") && !strings.Contains(name, "xsrf") {
			return true
		}
	}
	return false
}

func isTracker(name string) bool {
	for _, prefix := range []string{"_ga", "_gid", "_gat", "_gcl", "_fbp", "_hj", "utm", "__utm", "ajs_", "amplitude", "mp_", "_pk_", "optimizely", "__cf", "cf_", "intercom", "_dd_", "OptanonConsent"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// caller keeps the strongest identity that a request carried.
func (d *Door) caller(kind, value string, o *Observation) {
	if value == "" || redacted(value) || rank(kind) <= rank(o.Caller.Kind) {
		return
	}
	o.Caller = CallerSeen{Kind: kind, Hash: d.Key.Hash(value)}
}

func rank(kind string) int {
	switch kind {
	case "client":
		return 1
	case "session":
		return 2
	case "key":
		return 3
	case "subject":
		return 4
	case "workload":
		return 5
	}
	return 0
}

// identify adds what is known without headers, and says when a request carried
// nothing.
func (d *Door) identify(r *Raw, o *Observation, _ facts) {
	d.caller("client", r.Client, o)
	if r.Workload != "" {
		d.caller("workload", r.Workload, o)
		o.Caller.Name = r.Workload
		o.Auth = append(o.Auth, AuthSeen{Kind: "mtls"})
	}
	if len(o.Auth) == 0 && !r.Some {
		o.Auth = append(o.Auth, AuthSeen{Kind: "none"})
	}
}
