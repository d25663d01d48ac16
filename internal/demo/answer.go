package demo

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
)

// maxBody bounds a JSON or form body.
const maxBody = 1 << 20

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the client is gone: nobody to tell
}

// refuse answers with problem+json (RFC 9457).
func refuse(w http.ResponseWriter, status int, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"title": http.StatusText(status), "status": status, "detail": detail})
}

// decode reads one JSON value, strictly, and answers the request if it cannot.
func decode(w http.ResponseWriter, r *http.Request, into any) bool {
	if kind := mediaType(r); kind != "application/json" {
		refuse(w, http.StatusUnsupportedMediaType, fmt.Sprintf("send application/json, not %q", kind))
		return false
	}
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	d.DisallowUnknownFields()
	err := d.Decode(into)
	if err == nil {
		if _, end := d.Token(); !errors.Is(end, io.EOF) {
			err = errors.New("there is something after the first value")
		}
	}
	return err == nil || refuseBody(w, err)
}

// refuseBody answers a body that cannot be read; it is always false.
func refuseBody(w http.ResponseWriter, err error) bool {
	status := http.StatusBadRequest
	if large := (*http.MaxBytesError)(nil); errors.As(err, &large) {
		status = http.StatusRequestEntityTooLarge
	}
	refuse(w, status, err.Error())
	return false
}

func mediaType(r *http.Request) string {
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	return kind
}

// page reads ?offset and ?limit (at most 100) and cuts a list of n.
func page(w http.ResponseWriter, r *http.Request, n int) (from, to int, ok bool) {
	from, to = 0, 20
	for name, into := range map[string]*int{"offset": &from, "limit": &to} {
		text := r.URL.Query().Get(name)
		if text == "" {
			continue
		}
		v, err := strconv.Atoi(text)
		if err != nil || v < 0 || v > 1_000_000 {
			refuse(w, http.StatusBadRequest, fmt.Sprintf("%s is not a count: %q", name, text))
			return 0, 0, false
		}
		*into = v
	}
	from = min(from, n)
	return from, min(from+min(to, 100), n), true
}
