package proposal

import (
	"bytes"
	"net/url"
	"slices"
	"strconv"
	"strings"

	wafrules "github.com/gabion-io/gabion/waf-rules"
)

// maxVariants bounds the requests made of one attack and one exclusion.
const maxVariants = 6

// Placed writes a known attack as requests that fall under an exclusion: the
// attack as it is, sent to the exclusion's method, host and path, and each of
// its payloads put where the exclusion's target reads. What cannot be said in a
// request (a payload in the path, when the path is given) is left out, so the
// list may be empty.
func Placed(r *wafrules.AttackRequest, x wafrules.Exclusion) [][]byte {
	p := place{method: x.Method, host: concreteHost(x.Host), path: x.Path}
	var out [][]byte
	add := func(raw []byte) {
		if raw != nil && len(out) < maxVariants && !slices.ContainsFunc(out, func(o []byte) bool { return bytes.Equal(o, raw) }) {
			out = append(out, raw)
		}
	}
	name, key := cutTarget(x.Target)
	if key == "" || r.Encoded != nil { // any name will do: it stays where it is
		add(p.resend(r))
	}
	for _, payload := range payloads(r) {
		add(p.carry(payload, name, concreteKey(key)))
	}
	return out
}

// place is where an exclusion acts, in words of a request.
type place struct{ method, host, path string }

func concreteHost(pattern string) string {
	if domain, ok := strings.CutPrefix(pattern, "*."); ok {
		return "www." + domain
	}
	return pattern
}

// concreteKey is a name that a target's key covers; a regular expression made by
// mergeIndices covers the name with zeros for numbers.
func concreteKey(key string) string {
	if len(key) > 2 && key[0] == '/' && key[len(key)-1] == '/' {
		key = strings.TrimSuffix(strings.TrimPrefix(key[1:len(key)-1], "^"), "$")
		key = strings.ReplaceAll(key, "[0-9]+", "0")
		key = strings.ReplaceAll(key, `\`, "")
	}
	return key
}

// resend is the attack with the place's method, host and path.
func (p place) resend(r *wafrules.AttackRequest) []byte {
	if r.Encoded != nil {
		return p.resendEncoded(r.Encoded)
	}
	c := *r
	c.Headers = slices.Clone(r.Headers)
	c.Method = or(p.method, r.Method)
	if len(r.Body) > 0 && c.Method != r.Method && !takesBody(c.Method) {
		return nil // a body where none belongs is a finding of its own
	}
	target, ok := p.target(r.Target)
	if !ok {
		return nil
	}
	c.Target = target
	if p.host != "" {
		c.Headers = setHeader(c.Headers, "Host", p.host)
	}
	if _, has := c.Header("Content-Length"); !has && takesBody(c.Method) && c.Method != r.Method {
		c.Headers = setHeader(c.Headers, "Content-Length", strconv.Itoa(len(c.Body)))
	}
	return c.Bytes()
}

// resendEncoded does the same to bytes, in the request line and the Host line.
func (p place) resendEncoded(raw []byte) []byte {
	head, body, found := bytes.Cut(raw, []byte("\r\n\r\n"))
	lines := strings.Split(string(head), "\r\n")
	words := strings.Split(lines[0], " ")
	if !found || len(words) != 3 {
		return nil
	}
	target, ok := p.target(words[1])
	if !ok {
		return nil
	}
	lines[0] = or(p.method, words[0]) + " " + target + " " + words[2]
	for i, l := range lines[1:] {
		if name, _, _ := strings.Cut(l, ":"); p.host != "" && strings.EqualFold(name, "Host") {
			lines[i+1] = "Host: " + p.host
		}
	}
	return []byte(strings.Join(lines, "\r\n") + "\r\n\r\n" + string(body))
}

// target moves a request target under the place's path; false when the place
// names one path and the attack lives in another.
func (p place) target(of string) (string, bool) {
	path, query, has := strings.Cut(of, "?")
	if has {
		query = "?" + query
	}
	switch prefix, isPrefix := strings.CutSuffix(p.path, "*"); {
	case p.path == "" || p.path == "*":
		return of, true
	case isPrefix:
		return escaped(prefix) + strings.TrimPrefix(path, "/") + query, true
	default:
		return escaped(p.path) + query, !strings.Contains(path, "..") && !strings.Contains(path, "%")
	}
}

// carry puts a payload where a target reads it. An empty result: there is no
// such place in a request, or the attack as it is covers it.
func (p place) carry(payload, variable, key string) []byte {
	key = or(key, "q")
	path := escaped(or(strings.TrimSuffix(p.path, "*"), "/"))
	method := or(p.method, "GET")
	if p.method == "" && bodyTarget(variable, key) {
		method = "POST"
	}
	req := wafrules.AttackRequest{Version: "HTTP/1.1", Method: method, Target: path, Headers: []wafrules.AttackHeader{
		{Name: "Host", Value: or(p.host, "localhost")},
		{Name: "User-Agent", Value: "Mozilla/5.0 (X11; Linux x86_64)"},
		{Name: "Accept", Value: "*/*"},
	}}
	query := variable == "ARGS" && !takesBody(method) && !strings.HasPrefix(key, "json.") || variable == "ARGS_GET" || variable == "QUERY_STRING"
	switch {
	case query:
		req.Target += "?" + url.QueryEscape(key) + "=" + url.QueryEscape(payload)
	case variable == "ARGS_GET_NAMES", variable == "ARGS_NAMES" && !takesBody(method):
		req.Target += "?" + url.QueryEscape(payload) + "=1"
	case variable == "REQUEST_URI", variable == "REQUEST_URI_RAW", variable == "REQUEST_LINE":
		req.Target += "?q=" + url.QueryEscape(payload)
	case strings.HasPrefix(key, "json.") && (variable == "ARGS" || variable == "ARGS_POST"):
		setBody(&req, "application/json", nestJSON(strings.Split(key, ".")[1:], payload))
	case variable == "ARGS", variable == "ARGS_POST":
		setBody(&req, formType, url.QueryEscape(key)+"="+url.QueryEscape(payload))
	case variable == "ARGS_POST_NAMES", variable == "ARGS_NAMES":
		setBody(&req, formType, url.QueryEscape(payload)+"=1")
	case variable == "REQUEST_BODY":
		setBody(&req, formType, payload)
	case variable == "XML":
		setBody(&req, "application/xml", "<a><b>"+escapeXML(payload)+"</b></a>")
	case variable == "REQUEST_HEADERS" && cleanHeader(payload) && !strings.EqualFold(key, "host"):
		req.Headers = setHeader(req.Headers, or(key, "X-Value"), payload)
	case variable == "REQUEST_COOKIES" && cleanHeader(payload):
		req.Headers = setHeader(req.Headers, "Cookie", key+"="+strings.ReplaceAll(payload, ";", "%3B"))
	case variable == "REQUEST_COOKIES_NAMES" && cleanHeader(payload):
		req.Headers = setHeader(req.Headers, "Cookie", strings.NewReplacer(";", "%3B", "=", "%3D").Replace(payload)+"=1")
	case variable == "FILES", variable == "FILES_NAMES", variable == "MULTIPART_FILENAME":
		setMultipart(&req, key, payload)
	case variable == "": // the rule whole: try it as an argument
		req.Target += "?q=" + url.QueryEscape(payload)
	default:
		return nil
	}
	return req.Bytes()
}

// bodyTarget: the target reads the body, and only that.
func bodyTarget(variable, key string) bool {
	return strings.HasPrefix(variable, "ARGS_POST") || strings.HasPrefix(variable, "FILES") || strings.HasPrefix(key, "json.") ||
		slices.Contains([]string{"REQUEST_BODY", "XML", "MULTIPART_FILENAME"}, variable)
}

const formType = "application/x-www-form-urlencoded"

func takesBody(method string) bool {
	return slices.Contains([]string{"POST", "PUT", "PATCH"}, method)
}

func setBody(r *wafrules.AttackRequest, contentType, body string) {
	r.Body = []byte(body)
	r.Headers = append(r.Headers, wafrules.AttackHeader{Name: "Content-Type", Value: contentType},
		wafrules.AttackHeader{Name: "Content-Length", Value: strconv.Itoa(len(body))})
}

func setMultipart(r *wafrules.AttackRequest, field, filename string) {
	if !cleanHeader(filename) {
		return
	}
	const boundary = "gabion-boundary"
	quoted := strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace
	setBody(r, "multipart/form-data; boundary="+boundary, "--"+boundary+"\r\nContent-Disposition: form-data; name=\""+
		quoted(field)+"\"; filename=\""+quoted(filename)+"\"\r\nContent-Type: text/plain\r\n\r\nhello\r\n--"+boundary+"--\r\n")
}

func setHeader(in []wafrules.AttackHeader, name, value string) []wafrules.AttackHeader {
	out := slices.DeleteFunc(slices.Clone(in), func(f wafrules.AttackHeader) bool { return strings.EqualFold(f.Name, name) })
	return append(out, wafrules.AttackHeader{Name: name, Value: value})
}

// cleanHeader: the value can stand in a header at all.
func cleanHeader(s string) bool { return !strings.ContainsAny(s, "\r\n\x00") }

func escapeXML(s string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(s)
}

// nestJSON writes {"a":{"b":"value"}}; zeros are places in arrays. A later place is
// written as a name, which the engine reads as the same.
func nestJSON(keys []string, value string) string {
	if len(keys) == 0 {
		return strconv.QuoteToASCII(value)
	}
	inner := nestJSON(keys[1:], value)
	if keys[0] == "0" {
		return "[" + inner + "]"
	}
	return "{" + strconv.QuoteToASCII(keys[0]) + ":" + inner + "}"
}

// payloads are the values of an attack that may be the attack: what stands in
// its query, form, cookies, the headers people attack by, and its body.
func payloads(r *wafrules.AttackRequest) []string {
	var out []string
	add := func(s string) {
		if s != "" && len(s) <= 8<<10 && !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	_, query, _ := strings.Cut(r.Target, "?")
	formPayloads(query, add)
	contentType, _ := r.Header("Content-Type")
	switch {
	case len(r.Body) == 0:
	case strings.HasPrefix(contentType, formType):
		formPayloads(string(r.Body), add)
	case strings.Contains(contentType, "json"):
		jsonPayloads(r.Body, add)
	default:
		add(string(r.Body))
	}
	for _, name := range []string{"User-Agent", "Referer", "Cookie", "X-Filename", "X-File-Name", "Accept", "Content-Type", "X-Forwarded-For", "Range", "Authorization"} {
		value, ok := r.Header(name)
		if !ok || ordinary(name, value) {
			continue
		}
		if name == "Cookie" {
			for _, c := range strings.Split(value, ";") {
				_, v, _ := strings.Cut(strings.TrimSpace(c), "=")
				add(unescape(v))
			}
			continue
		}
		add(value)
	}
	return out[:min(len(out), maxVariants)]
}

// ordinary values of the suite's own client are no payloads.
func ordinary(name, value string) bool {
	switch name {
	case "User-Agent":
		return value == "OWASP CRS test agent"
	case "Accept":
		return strings.HasPrefix(value, "text/") || value == "*/*"
	case "Content-Type":
		return strings.HasPrefix(value, formType) || value == "application/json" || value == "text/xml"
	}
	return false
}

func formPayloads(form string, add func(string)) {
	for _, pair := range strings.Split(form, "&") {
		name, value, has := strings.Cut(pair, "=")
		if has && value != "" {
			add(unescape(value))
		}
		if name = unescape(name); !has || strings.ContainsAny(name, "<>'\"()[]{}$|;/\\") {
			add(name)
		}
	}
}

func unescape(s string) string {
	if plain, err := url.QueryUnescape(s); err == nil {
		return plain
	}
	return s
}

// escaped writes a decoded path as it is sent.
func escaped(path string) string { return (&url.URL{Path: path}).EscapedPath() }

func or(s, missing string) string {
	if s == "" {
		return missing
	}
	return s
}
