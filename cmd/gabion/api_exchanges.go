package main

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"time"

	"github.com/gabion-io/gabion/internal/exchange"
)

// maxExchangeLine bounds one line of a file of exchanges, in bytes.
const maxExchangeLine = 64 << 20

// readExchanges offers each line of r; name is for errors.
func readExchanges(r io.Reader, name string, offer func(toLearn) error) error {
	lines := bufio.NewReaderSize(r, 1<<20)
	for n := 1; ; n++ {
		line, err := readLine(lines)
		if err != nil && err != io.EOF {
			return fmt.Errorf("read %s, line %d: %w", name, n, err)
		}
		if n == 1 {
			line = bytes.TrimPrefix(line, []byte("\xef\xbb\xbf"))
		}
		if text := bytes.TrimSpace(line); len(text) > 0 {
			decode := func() (*exchange.Raw, error) {
				raw, err := decodeExchange(text)
				if err != nil {
					return nil, withHint(fmt.Errorf("read %s, line %d: %w", name, n, err), "each line is one exchange: 'gabion api learn --help' shows its form")
				}
				return raw, nil
			}
			if err := offer(decode); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return nil
		}
	}
}

// readLine answers a line in memory of its own.
func readLine(r *bufio.Reader) (line []byte, err error) {
	for {
		part, err := r.ReadSlice('\n')
		line = append(line, part...)
		if len(line) > maxExchangeLine {
			return nil, fmt.Errorf("longer than %s", bytesText(maxExchangeLine))
		}
		if err != bufio.ErrBufferFull {
			return line, err
		}
	}
}

// exchangeLine is one line.
type exchangeLine struct {
	Time     lineTime    `json:"time"`
	Client   string      `json:"client"`
	Method   string      `json:"method"`
	Scheme   string      `json:"scheme"`
	Host     string      `json:"host"`
	Path     string      `json:"path"`
	Request  lineMessage `json:"request"`
	Status   int         `json:"status"`
	Response lineMessage `json:"response"`
	Duration float64     `json:"duration_ms"`
	Blocked  bool        `json:"blocked"`
}

type lineMessage struct {
	Headers lineHeaders     `json:"headers"`
	Body    json.RawMessage `json:"body"`
	Base64  string          `json:"body_base64"`
}

// lineTime is RFC 3339, or seconds since 1970.
type lineTime struct{ time.Time }

func (t *lineTime) UnmarshalJSON(b []byte) error {
	var seconds float64
	if json.Unmarshal(b, &seconds) == nil {
		if seconds > 1e11 { // milliseconds
			seconds /= 1000
		}
		if math.Abs(seconds) < 1e11 {
			t.Time = time.Unix(0, int64(seconds*1e9))
		}
		return nil
	}
	var text string
	if err := json.Unmarshal(b, &text); err != nil {
		return errors.New(`"time" is neither a text nor a number`)
	}
	if text == "" {
		return nil
	}
	parsed, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		parsed, err = time.Parse("2006-01-02T15:04:05", strings.Replace(text, " ", "T", 1)[:min(19, len(text))])
	}
	if err != nil {
		return fmt.Errorf(`"time" %q is not as in "2026-03-01T12:00:00Z"`, cut(text, 40))
	}
	t.Time = parsed
	return nil
}

// lineHeaders are an object of texts or lists of texts, or a list of names and
// values.
type lineHeaders []exchange.Header

func (h *lineHeaders) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '[' {
		var list []struct{ Name, Value string }
		var pairs [][2]string
		if json.Unmarshal(b, &list) == nil {
			for _, x := range list {
				*h = append(*h, exchange.Header{Name: x.Name, Value: x.Value})
			}
			return nil
		}
		if json.Unmarshal(b, &pairs) == nil {
			for _, x := range pairs {
				*h = append(*h, exchange.Header{Name: x[0], Value: x[1]})
			}
			return nil
		}
		return errors.New(`"headers" is a list of something else than {"name","value"}`)
	}
	var object map[string]any
	if err := json.Unmarshal(b, &object); err != nil {
		return errors.New(`"headers" is no object`)
	}
	for name, v := range object {
		switch v := v.(type) {
		case string:
			*h = append(*h, exchange.Header{Name: name, Value: v})
		case []any:
			for _, x := range v {
				*h = append(*h, exchange.Header{Name: name, Value: fmt.Sprint(x)})
			}
		case nil:
		default:
			*h = append(*h, exchange.Header{Name: name, Value: fmt.Sprint(v)})
		}
	}
	return nil
}

func decodeExchange(text []byte) (*exchange.Raw, error) {
	var l exchangeLine
	if err := json.Unmarshal(text, &l); err != nil {
		return nil, jsonError(err)
	}
	if l.Method == "" {
		return nil, errors.New(`"method" is missing`)
	}
	if l.Path == "" {
		return nil, errors.New(`"path" is missing`)
	}
	if l.Path[0] != '/' && l.Path != "*" && !strings.Contains(l.Path, "://") {
		return nil, fmt.Errorf(`"path" %q does not begin with a slash`, cut(l.Path, 60))
	}
	if l.Status < 0 || l.Status > 999 {
		return nil, fmt.Errorf(`"status" %d is no HTTP status`, l.Status)
	}
	raw := &exchange.Raw{Time: l.Time.Time, Client: l.Client, Method: l.Method, Scheme: l.Scheme, Host: l.Host, Path: l.Path, Status: l.Status,
		Duration: time.Duration(l.Duration * float64(time.Millisecond)), Blocked: l.Blocked, Failed: l.Status == 0}
	var err error
	if raw.Request, err = l.Request.message(); err != nil {
		return nil, fmt.Errorf("request: %w", err)
	}
	if raw.Response, err = l.Response.message(); err != nil {
		return nil, fmt.Errorf("response: %w", err)
	}
	return raw, nil
}

func (m *lineMessage) message() (exchange.RawMessage, error) {
	raw := exchange.RawMessage{Headers: m.Headers}
	switch {
	case m.Base64 != "":
		b, err := base64.StdEncoding.DecodeString(m.Base64)
		if err != nil {
			return raw, fmt.Errorf(`"body_base64": %w`, err)
		}
		raw.Body = b
	case len(m.Body) > 0 && m.Body[0] == '"':
		var text string
		if err := json.Unmarshal(m.Body, &text); err != nil {
			return raw, fmt.Errorf(`"body": %w`, err)
		}
		raw.Body = []byte(text)
	case len(m.Body) > 0 && string(m.Body) != "null": // JSON that was not made a text
		raw.Body = m.Body
	}
	return raw, nil
}

// jsonError says what is wrong with a text in few words.
func jsonError(err error) error {
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		return fmt.Errorf("column %d: %w", syntax.Offset, err)
	case errors.As(err, &kind):
		return fmt.Errorf("column %d: %q is a %s", kind.Offset, kind.Field, kind.Value)
	}
	return err
}
