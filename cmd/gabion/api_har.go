package main

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/textproto"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/gabion-io/gabion/internal/exchange"
)

// harEntry is one entry of a HAR 1.2 log, as far as it is used. Members that
// begin with an underscore are those of Chrome.
type harEntry struct {
	Started  string          `json:"startedDateTime"`
	Time     float64         `json:"time"`
	Resource string          `json:"_resourceType"`
	Messages json.RawMessage `json:"_webSocketMessages"`
	Request  struct {
		Method  string      `json:"method"`
		URL     string      `json:"url"`
		Headers []harHeader `json:"headers"`
		Cookies []harHeader `json:"cookies"`
		Post    *harPost    `json:"postData"`
		Size    *float64    `json:"bodySize"` // nil or -1 when unknown
	} `json:"request"`
	Response struct {
		Status  float64     `json:"status"`
		Headers []harHeader `json:"headers"`
		Content struct {
			MimeType string  `json:"mimeType"`
			Text     string  `json:"text"`
			Encoding string  `json:"encoding"`
			Size     float64 `json:"size"`
		} `json:"content"`
	} `json:"response"`
}

type harHeader struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

type harPost struct {
	MimeType string     `json:"mimeType"`
	Text     string     `json:"text"`
	Encoding string     `json:"encoding"`
	Params   []harParam `json:"params"`
}

// harParam is a field of a form; a file has a name and no value, as a rule.
type harParam struct {
	Name        string `json:"name"`
	Value       string `json:"value"`
	FileName    string `json:"fileName"`
	ContentType string `json:"contentType"`
}

// readHAR offers each entry of a HAR file. It holds one entry at a time.
func readHAR(r io.Reader, name string, offer func(toLearn) error) error {
	lines := &lineCounter{r: skipBOM(r)}
	d := json.NewDecoder(lines)
	n := 0
	fail := func(err error) error {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		where := fmt.Sprintf("read %s, line %d", name, lines.at(d.InputOffset()))
		if n > 0 {
			where += fmt.Sprintf(", entry %d", n)
		}
		return withHint(fmt.Errorf("%s: %w", where, err), "a HAR file is saved from the network panel of a browser, or by a proxy; the format is version 1.2")
	}
	found, err := findMember(d, "log", func() error {
		_, err := findMember(d, "entries", func() error {
			if err := expect(d, '['); err != nil {
				return fmt.Errorf(`"entries": %w`, err)
			}
			for d.More() {
				n++
				if err := offerEntry(d, n, name, offer); err != nil {
					return err
				}
			}
			n = 0
			return expect(d, ']')
		})
		return err
	})
	if errors.Is(err, errIntakeFailed) {
		return err
	}
	if err != nil {
		return fail(err)
	}
	if !found {
		return fail(errors.New(`no "log" in it: is this a HAR file?`))
	}
	return nil
}

func offerEntry(d *json.Decoder, n int, name string, offer func(toLearn) error) error {
	var e harEntry
	if err := d.Decode(&e); err != nil {
		return jsonError(err)
	}
	return offer(func() (*exchange.Raw, error) {
		raw, err := e.raw()
		if err != nil {
			return nil, fmt.Errorf("read %s, entry %d: %w", name, n, err)
		}
		return raw, nil
	})
}

// findMember reads an object; use is called with the decoder before the value of
// the member named. Other members are skipped.
func findMember(d *json.Decoder, name string, use func() error) (found bool, err error) {
	if err := expect(d, '{'); err != nil {
		return false, err
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return found, err
		}
		if key == name {
			found = true
			err = use()
		} else {
			err = skipValue(d)
		}
		if err != nil {
			return found, err
		}
	}
	return found, expect(d, '}')
}

func expect(d *json.Decoder, want json.Delim) error {
	t, err := d.Token()
	if err != nil {
		return err
	}
	if t != want {
		return fmt.Errorf("%v instead of %v", t, want)
	}
	return nil
}

// skipValue reads over a value without holding it.
func skipValue(d *json.Decoder) error {
	depth := 0
	for {
		t, err := d.Token()
		if err != nil {
			return err
		}
		switch t {
		case json.Delim('{'), json.Delim('['):
			depth++
		case json.Delim('}'), json.Delim(']'):
			depth--
		}
		if depth == 0 {
			return nil
		}
	}
}

// raw makes an exchange of an entry; nil for what was no exchange with a server:
// requests that were blocked or came from a cache of the page, data URLs, and
// tunnels that a proxy noted.
func (e *harEntry) raw() (*exchange.Raw, error) {
	if e.Request.Method == "" || e.Request.URL == "" {
		return nil, errors.New("method or url of the request is missing")
	}
	u, err := url.Parse(e.Request.URL)
	if err != nil {
		scheme, rest, _ := strings.Cut(e.Request.URL, "://") // an address that browsers take and Go does not
		host, path, _ := strings.Cut(rest, "/")
		u = &url.URL{Scheme: scheme, Host: host, Path: "/" + path}
	}
	switch u.Scheme {
	case "http", "https", "ws", "wss":
	default:
		return nil, nil
	}
	if e.Response.Status < 100 || e.Request.Method == "CONNECT" { // aborted, blocked, or offline
		return nil, nil
	}
	started, _ := time.Parse(time.RFC3339Nano, e.Started)
	raw := &exchange.Raw{Time: started, Method: e.Request.Method, Scheme: u.Scheme, Host: u.Host, Path: u.RequestURI(),
		Status: int(e.Response.Status), Duration: time.Duration(max(e.Time, 0) * float64(time.Millisecond))}
	raw.Request.Headers = headersOf(e.Request.Headers)
	raw.Response.Headers = headersOf(e.Response.Headers)
	e.addRequest(raw)
	if raw.Response.Get("content-type") == "" && e.Response.Content.MimeType != "" && e.Response.Content.MimeType != "x-unknown" {
		raw.Response.Headers = append(raw.Response.Headers, exchange.Header{Name: "content-type", Value: e.Response.Content.MimeType})
	}
	raw.Response.Size = int64(max(e.Response.Content.Size, 0))
	raw.Response.Body = bodyText(e.Response.Content.Text, e.Response.Content.Encoding)
	switch e.Resource {
	case "script", "stylesheet", "image", "font", "media", "manifest", "texttrack":
		raw.Static = true
	}
	return raw, nil
}

// addRequest fills in what some writers leave out of the headers.
func (e *harEntry) addRequest(raw *exchange.Raw) {
	add := func(name, value string) {
		if value != "" && raw.Request.Get(name) == "" {
			raw.Request.Headers = append(raw.Request.Headers, exchange.Header{Name: name, Value: value})
		}
	}
	var cookies []string
	for _, c := range e.Request.Cookies {
		cookies = append(cookies, c.Name+"="+c.Value)
	}
	add("cookie", strings.Join(cookies, "; "))
	if strings.HasPrefix(raw.Scheme, "ws") || e.Resource == "websocket" || len(e.Messages) > len("null") {
		add("upgrade", "websocket")
	}
	if p := e.Request.Post; p != nil {
		add("content-type", p.MimeType)
		raw.Request.Body = bodyText(p.Text, p.Encoding)
		if len(raw.Request.Body) == 0 && len(p.Params) > 0 {
			p.form(&raw.Request)
		}
	}
	// Chrome leaves uploads out; that there was one, the type says.
	unknown := e.Request.Size == nil || *e.Request.Size != 0
	if len(raw.Request.Body) == 0 && unknown && raw.Request.Get("content-type") != "" && raw.Method != "GET" && raw.Method != "HEAD" {
		raw.Request.Size = 1
	}
	if e.Request.Size != nil {
		raw.Request.Size = max(raw.Request.Size, int64(*e.Request.Size))
	}
}

// form makes a body of the fields of a form.
func (p *harPost) form(m *exchange.RawMessage) {
	if !strings.HasPrefix(p.MimeType, "multipart/") {
		form := url.Values{}
		for _, x := range p.Params {
			form.Add(x.Name, x.Value)
		}
		m.Body = []byte(form.Encode())
		return
	}
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for _, x := range p.Params {
		h := textproto.MIMEHeader{"Content-Disposition": {mime.FormatMediaType("form-data", map[string]string{"name": x.Name})}}
		if x.FileName != "" {
			h.Set("Content-Disposition", mime.FormatMediaType("form-data", map[string]string{"name": x.Name, "filename": x.FileName}))
		}
		if x.ContentType != "" {
			h.Set("Content-Type", x.ContentType)
		}
		part, err := w.CreatePart(h)
		if err != nil {
			return // writing to memory does not fail
		}
		_, _ = io.WriteString(part, x.Value)
	}
	if err := w.Close(); err != nil {
		return
	}
	m.Body = b.Bytes()
	m.Headers = slices.DeleteFunc(m.Headers, func(h exchange.Header) bool { return strings.EqualFold(h.Name, "content-type") })
	m.Headers = append(m.Headers, exchange.Header{Name: "content-type", Value: w.FormDataContentType()})
}

// headersOf leaves out the pseudo-headers of HTTP/2.
func headersOf(list []harHeader) (headers []exchange.Header) {
	for _, h := range list {
		if !strings.HasPrefix(h.Name, ":") {
			headers = append(headers, exchange.Header{Name: h.Name, Value: h.Value})
		}
	}
	return headers
}

// bodyText decodes a body. Some writers say base64 and write text: then it is one.
func bodyText(text, encoding string) []byte {
	if encoding == "base64" {
		if b, err := base64.StdEncoding.DecodeString(strings.TrimSpace(text)); err == nil {
			return b
		}
	}
	return []byte(text)
}

// skipBOM leaves out the mark that some writers begin a file with.
func skipBOM(r io.Reader) io.Reader {
	b := bufio.NewReaderSize(r, 64<<10)
	if first, err := b.Peek(3); err == nil && bytes.Equal(first, []byte("\xef\xbb\xbf")) {
		_, _ = b.Discard(3)
	}
	return b
}

// lineCounter remembers where the lines of the last part of its input begin, so
// that an error can be named by its line.
type lineCounter struct {
	r      io.Reader
	read   int64
	lines  int     // newlines before starts[0]
	starts []int64 // offsets after newlines
}

const maxLineStarts = 1 << 16

func (c *lineCounter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	for i, b := range p[:n] {
		if b == '\n' {
			c.starts = append(c.starts, c.read+int64(i)+1)
		}
	}
	if over := len(c.starts) - maxLineStarts; over > 0 {
		c.lines += over
		c.starts = append(c.starts[:0], c.starts[over:]...)
	}
	c.read += int64(n)
	return n, err
}

// at is the line of an offset, counted from 1.
func (c *lineCounter) at(offset int64) int {
	n := 0
	for n < len(c.starts) && c.starts[n] <= offset {
		n++
	}
	return c.lines + n + 1
}
