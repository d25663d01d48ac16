package crs

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"strings"
)

// Backend answers as the suite expects its upstream to: 200 to everything, and
// under /reflect whatever the request's JSON asks for.
func Backend() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost && (r.URL.Path == "/reflect" || strings.HasPrefix(r.URL.Path, "/reflect/")) {
			reflect(w, r)
			return
		}
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("content-type", "text/plain")
		_, _ = io.WriteString(w, "ok\n")
	})
}

// wish is the answer a request asks for.
type wish struct {
	Status      int               `json:"status"`
	Headers     map[string]string `json:"headers"`
	Body        string            `json:"body"`
	EncodedBody string            `json:"encodedBody"`
}

func reflect(w http.ResponseWriter, r *http.Request) {
	var ask wish
	if err := json.NewDecoder(r.Body).Decode(&ask); err != nil {
		http.Error(w, "request body is not the JSON of an answer", http.StatusBadRequest)
		return
	}
	body := []byte(ask.Body)
	if len(body) == 0 && ask.EncodedBody != "" {
		decoded, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(ask.EncodedBody), ""))
		if err != nil {
			http.Error(w, "encodedBody is not base64", http.StatusBadRequest)
			return
		}
		body = decoded
	}
	for name, value := range ask.Headers {
		w.Header().Set(name, value)
	}
	if ask.Status == 0 {
		ask.Status = http.StatusOK
	}
	if ask.Status < 200 || ask.Status > 599 {
		http.Error(w, "status is out of range", http.StatusBadRequest)
		return
	}
	w.WriteHeader(ask.Status)
	_, _ = w.Write(body)
}
