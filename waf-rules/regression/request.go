package regression

import (
	"bytes"
	"net/url"
	"regexp"
	"strconv"
	"strings"
)

// Field is one header field as it is sent.
type Field struct{ Name, Value string }

// Request is what a stage sends.
type Request struct {
	Address string // where upstream would connect to; the tests' server is local
	Port    int
	Method  string
	Target  string // request target with query
	Version string // "HTTP/1.1", or whatever the test wants in its place
	Headers []Field
	Body    []byte
	Encoded []byte // the whole request as bytes; then all but Address and Port is not used
}

// Bytes is the request as it goes on the wire.
func (r *Request) Bytes() []byte {
	if r.Encoded != nil {
		return r.Encoded
	}
	var b bytes.Buffer
	b.WriteString(r.Method + " " + r.Target + " " + r.Version + "\r\n")
	for _, f := range r.Headers {
		b.WriteString(f.Name + ": " + f.Value + "\r\n")
	}
	b.WriteString("\r\n")
	b.Write(r.Body)
	return b.Bytes()
}

// Header gives the value of the first field of that name, in any case.
func (r *Request) Header(name string) (string, bool) {
	for _, f := range r.Headers {
		if strings.EqualFold(f.Name, name) {
			return f.Value, true
		}
	}
	return "", false
}

// complete adds what the suite's own client adds unless told not to: a content
// type and form encoding for a body without, Connection and Content-Length.
func (r *Request) complete() {
	if len(r.Body) > 0 {
		if _, ok := r.Header("Content-Type"); !ok {
			r.Headers = append(r.Headers, Field{"Content-Type", formType})
		}
		r.Body = encodeForm(r.Headers, r.Body)
	}
	r.multipartLines()
	if _, ok := r.Header("Connection"); !ok {
		r.Headers = append(r.Headers, Field{"Connection", "close"})
	}
	if _, ok := r.Header("Content-Length"); ok {
		return
	}
	if len(r.Body) > 0 || r.carriesBody() {
		r.Headers = append(r.Headers, Field{"Content-Length", strconv.Itoa(len(r.Body))})
	}
}

const formType = "application/x-www-form-urlencoded"

// carriesBody follows the suite's client, which tells by how the method begins
// (POST) or ends (DELETE) as well.
func (r *Request) carriesBody() bool {
	return strings.HasPrefix(r.Method, "POST") || strings.Contains(r.Method, "PUT") ||
		strings.Contains(r.Method, "PATCH") || strings.HasSuffix(r.Method, "DELETE")
}

// multipartLines ends the lines of a multipart body as RFC 2046 wants; the
// suite writes them with a bare line feed.
func (r *Request) multipartLines() {
	for _, f := range r.Headers {
		if strings.EqualFold(f.Name, "Content-Type") && strings.Contains(strings.ToLower(f.Value), "multipart/form-data;") {
			r.Body = bytes.ReplaceAll(r.Body, []byte("\n"), []byte("\r\n"))
			return
		}
	}
}

// encodeForm percent-encodes the keys and values of a form that is not encoded
// yet, which the suite leaves to its client: it is told by unescaping having no
// effect.
func encodeForm(headers []Field, body []byte) []byte {
	form := false
	for _, f := range headers {
		form = form || strings.EqualFold(f.Name, "Content-Type") && strings.EqualFold(f.Value, formType)
	}
	if !form {
		return body
	}
	if plain, err := url.QueryUnescape(string(body)); err != nil || plain != string(body) {
		return body
	}
	pairs := strings.Split(string(body), "&")
	if pairs[len(pairs)-1] == "" { // a trailing "&" opens no further pair
		pairs = pairs[:len(pairs)-1]
	}
	for i, pair := range pairs {
		key, value, has := strings.Cut(pair, "=")
		pairs[i] = url.QueryEscape(key)
		if has {
			pairs[i] += "=" + url.QueryEscape(value)
		}
	}
	return []byte(strings.Join(pairs, "&"))
}

var repeat = regexp.MustCompile(`\{\{\s*"([^"]*)"\s*\|\s*repeat\s+(\d{1,7})\s*\}\}`)

// expand evaluates the one template the suite uses in data: {{ "1" | repeat 152 }}.
func expand(data []byte) []byte {
	return repeat.ReplaceAllFunc(data, func(call []byte) []byte {
		m := repeat.FindSubmatch(call)
		n, err := strconv.Atoi(string(m[2]))
		if err != nil || n*len(m[1]) > 8<<20 {
			return call
		}
		return bytes.Repeat(m[1], n)
	})
}
