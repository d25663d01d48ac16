package server

import (
	"bytes"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gabion-io/gabion/controlplane/store"
)

func FuzzDecodeManifests(f *testing.F) {
	for _, s := range []string{"apiVersion: gabion.io/v1alpha1\nkind: WAFPolicy\nmetadata: {name: a}\nspec: {mode: block}\n", "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {a: b}\n", "---\n---\n", "kind: [", "{}", "--- # x\na: 1", "\xff\x00"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		docs, err := decodeManifests("fuzz", body)
		if err == nil && len(docs) == 0 {
			t.Error("neither resources nor an error")
		}
		for _, d := range docs {
			if _, err := redactedJSON(d.object); err != nil {
				t.Errorf("%s decodes and does not render: %v", d.key(), err)
			}
		}
	})
}

func FuzzSplitDocuments(f *testing.F) {
	f.Add([]byte("a: 1\n---\nb: 2\n"))
	f.Add([]byte("---\n# only\n---\n--- # c\nx"))
	f.Fuzz(func(t *testing.T, body []byte) {
		lines := slices.Collect(bytes.Lines(body))
		for _, p := range splitDocuments(body) {
			if p.line < 1 || p.line > len(lines) || !bytes.HasPrefix(p.text, lines[p.line-1]) {
				t.Errorf("part %q does not begin at line %d", p.text, p.line)
			}
		}
	})
}

func FuzzHostName(f *testing.F) {
	for _, s := range []string{"localhost", "127.0.0.1:9090", "[::1]:1", "[::1]", "evil@localhost", "LOCALHOST.", ":80", "", "[::1.]", "[::1.]:80", "[localhost]"} {
		f.Add(s)
	}
	g := &guard{hosts: loopbackNames()}
	f.Fuzz(func(t *testing.T, host string) {
		if !g.hostAllowed(host) {
			return
		}
		lower := strings.ToLower(host)
		for _, name := range []string{"localhost", "127.0.0.1", "[::1]", "::1"} {
			if strings.HasPrefix(lower, name) {
				return
			}
		}
		t.Errorf("host %q is allowed", host)
	})
}

func FuzzBearer(f *testing.F) {
	f.Add("Bearer abc")
	f.Add("bearer  ")
	f.Fuzz(func(t *testing.T, value string) {
		token, ok := bearer(&http.Request{Header: http.Header{"Authorization": {value}}})
		if ok && (token == "" || len(token) > 512) {
			t.Errorf("token %q", token)
		}
	})
}

func FuzzCursor(f *testing.F) {
	f.Add("ZTE")
	f.Add(encodePlace(store.EventPlace{Time: time.Unix(0, 7), Cursor: 3}))
	f.Fuzz(func(t *testing.T, s string) {
		if n, err := decodeCursor(s); err == nil && n < 0 {
			t.Errorf("cursor %d", n)
		}
		if p, err := decodePlace(s); err == nil && (p.Cursor <= 0 || encodePlace(p) == "") {
			t.Errorf("place %+v", p)
		}
	})
}
