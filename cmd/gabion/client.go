package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/gabion-io/gabion/controlplane/server"
)

// defaultServer is where `gabion up` listens unless told otherwise.
const defaultServer = "http://127.0.0.1:9090"

// client speaks to one control plane with one token.
type client struct {
	base      *url.URL
	token     string
	tokenFrom string // the file the token came from, for error messages
	http      *http.Client
}

// dial finds the control plane and the token; it does not connect yet.
func (a *app) dial() (*client, error) {
	base, err := a.serverURL()
	if err != nil {
		return nil, err
	}
	token, from, err := a.token()
	if err != nil {
		return nil, err
	}
	if base.Scheme == "http" && !isLoopback(base.Hostname()) {
		fmt.Fprintf(a.err, "gabion: warning: the token travels unencrypted to %s; use https\n", base.Host)
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	if base.Scheme == "https" {
		if transport.TLSClientConfig, err = a.trust(); err != nil {
			return nil, err
		}
	}
	transport.ResponseHeaderTimeout = 30 * time.Minute // some operations take their time; Ctrl-C ends the wait
	return &client{base: base, token: token, tokenFrom: from, http: &http.Client{
		Transport: transport,
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return errors.New("the server redirected; give its final address to --server")
		},
	}}, nil
}

func (a *app) serverURL() (*url.URL, error) {
	raw := a.server
	if raw == "" {
		raw = a.env("GABION_SERVER")
	}
	if raw == "" {
		b, err := os.ReadFile(filepath.Join(stateDir(a.state, a.env), "server.url"))
		switch {
		case err == nil:
			raw = strings.TrimSpace(string(b))
		case errors.Is(err, fs.ErrNotExist):
			raw = defaultServer
		default:
			return nil, fmt.Errorf("find the control plane: %w", err)
		}
	}
	if !strings.Contains(raw, "://") {
		raw = "http://" + raw
	}
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return nil, usageError{fmt.Errorf("server %q is not a URL like http://127.0.0.1:9090", raw)}
	}
	return u, nil
}

func (a *app) token() (token, from string, err error) {
	from = a.tokenFile
	if from == "" {
		from = a.env("GABION_TOKEN_FILE")
	}
	if from == "" {
		from = filepath.Join(stateDir(a.state, a.env), "admin.token")
	}
	b, err := os.ReadFile(from)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", from, withHint(fmt.Errorf("no token: %s does not exist", from),
			"is 'gabion up' running? It writes a token into its state directory.\nName that directory with --state DIR or $GABION_STATE, or the token's file with --token-file FILE.")
	case err != nil:
		return "", from, withHint(fmt.Errorf("read the token: %w", err),
			"name a file you may read with --token-file FILE or $GABION_TOKEN_FILE")
	}
	token = strings.TrimSpace(string(b))
	if token == "" || strings.ContainsAny(token, " \r\n\t") {
		return "", from, withHint(fmt.Errorf("%s does not hold a token", from), "it should hold the token that 'gabion token create' printed, on one line")
	}
	return token, from, nil
}

// trust is whose word counts for who the control plane is.
func (a *app) trust() (*tls.Config, error) {
	from, must := a.caFile, true
	if from == "" {
		from = a.env("GABION_CA_FILE")
	}
	if from == "" {
		from, must = layout{stateDir(a.state, a.env)}.authority(), false
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	text, err := os.ReadFile(from)
	switch {
	case errors.Is(err, fs.ErrNotExist) && !must:
	case err != nil:
		return nil, fmt.Errorf("read the authorities: %w", err)
	case !roots.AppendCertsFromPEM(text):
		return nil, withHint(fmt.Errorf("%s holds no certificate", from), "it should be PEM, as in the control plane's state directory in keys/ca.pem")
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots}, nil
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || (ip != nil && ip.IsLoopback())
}

// request is one call of the API. Body is sent as it is (YAML) when it is
// []byte or octets, as JSON otherwise.
type request struct {
	method string
	path   string // "/api/v1/status"
	query  url.Values
	body   any
}

// call sends a request and decodes the answer into into (nil: ignored).
func (c *client) call(ctx context.Context, r request, into any) error {
	resp, err := c.send(ctx, r, "application/json")
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if into == nil {
		return nil
	}
	if err := json.NewDecoder(resp.Body).Decode(into); err != nil {
		return withHint(fmt.Errorf("read the answer of %s: %w", c.base, err), "is that a gabion control plane of this version?")
	}
	return nil
}

func (c *client) send(ctx context.Context, r request, accept string) (*http.Response, error) {
	body, contentType, err := encodeBody(r.body)
	if err != nil {
		return nil, err
	}
	u := c.base.JoinPath(r.path)
	u.RawQuery = r.query.Encode()
	req, err := http.NewRequestWithContext(ctx, r.method, u.String(), body)
	if err != nil {
		return nil, err
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	req.Header.Set("Accept", accept)
	req.Header.Set("Authorization", "Bearer "+c.token)
	req.Header.Set("User-Agent", "gabion/"+version())
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.unreachable(err)
	}
	if resp.StatusCode >= 400 {
		defer resp.Body.Close()
		return nil, c.refused(resp)
	}
	return resp, nil
}

func encodeBody(body any) (io.Reader, string, error) {
	switch b := body.(type) {
	case nil:
		return nil, "", nil
	case []byte:
		return bytes.NewReader(b), "application/yaml", nil
	case octets:
		return bytes.NewReader(b), "application/octet-stream", nil
	default:
		raw, err := json.Marshal(b)
		return bytes.NewReader(raw), "application/json", err
	}
}

// unreachable says what to do when there is no answer at all.
func (c *client) unreachable(err error) error {
	if errors.Is(err, context.Canceled) {
		return err
	}
	var uerr *url.Error
	if errors.As(err, &uerr) {
		err = uerr.Err
	}
	err = fmt.Errorf("reach the control plane at %s: %w", c.base, err)
	var dns *net.DNSError
	var unknown x509.UnknownAuthorityError
	var named x509.HostnameError
	switch {
	case errors.As(err, &unknown):
		return withHint(err, "name its authority with --ca-file FILE or $GABION_CA_FILE: the control plane has it in its state directory, in keys/ca.pem")
	case errors.As(err, &named):
		return withHint(err, "'gabion serve' certifies the names given with --admin-host; or use one of those it has")
	case errors.Is(err, syscall.ECONNREFUSED):
		return withHint(err, "is 'gabion up' running? Another address is given with --server URL or $GABION_SERVER.")
	case errors.As(err, &dns):
		return withHint(err, "check the name given with --server or $GABION_SERVER")
	}
	return err
}

// remoteError is an answer that is an error.
type remoteError struct {
	status  int
	problem server.Problem
}

func (e *remoteError) Error() string {
	text := e.problem.Detail
	if text == "" {
		text = http.StatusText(e.status)
	}
	for _, d := range e.problem.Errors {
		text += "\n  - "
		if d.Location != "" {
			text += d.Location + ": "
		}
		text += d.Message
	}
	return text
}

func (c *client) refused(resp *http.Response) error {
	e := &remoteError{status: resp.StatusCode}
	raw, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if json.Unmarshal(raw, &e.problem) != nil {
		e.problem = server.Problem{Detail: fmt.Sprintf("%s answered %s", c.base, resp.Status)}
	}
	switch resp.StatusCode {
	case http.StatusUnauthorized:
		return withHint(e, "the token came from %s\nanother one is given with --token-file FILE or $GABION_TOKEN_FILE", c.tokenFrom)
	case http.StatusForbidden:
		return withHint(e, "the token came from %s; 'gabion token create --role …' makes one that may do more", c.tokenFrom)
	}
	return e
}

// follow reads a server-sent event stream until it ends, ctx ends or each
// returns an error.
func (c *client) follow(ctx context.Context, r request, each func(id, name string, data []byte) error) error {
	resp, err := c.send(ctx, r, "text/event-stream")
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 8<<20)
	var id, name string
	var data []byte
	for lines.Scan() {
		field, value, _ := strings.Cut(lines.Text(), ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case field == "id":
			id = value
		case field == "event":
			name = value
		case field == "data":
			data = append(data, value...)
		case field == "" && value == "" && data != nil: // blank line: the event is whole
			if err := each(id, name, data); err != nil {
				return err
			}
			name, data = "", nil
		}
	}
	return lines.Err()
}
