package demo

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"mime/multipart"
	"net/http"
)

// Bounds of an upload.
const (
	maxUpload = 10 << 20
	maxFiles  = 10
)

// uploaded is what is kept of a file: nothing but its measure.
type uploaded struct {
	Field  string `json:"field"`
	Name   string `json:"name"`
	Type   string `json:"type,omitempty"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

// upload reads multipart/form-data as it comes and stores nothing.
func (a *app) upload(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxUpload)
	parts, err := r.MultipartReader()
	if err != nil {
		refuse(w, http.StatusUnsupportedMediaType, "send multipart/form-data: "+err.Error())
		return
	}
	files := []uploaded{}
	for {
		part, err := parts.NextPart()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil && len(files) == maxFiles {
			err = errors.New("at most 10 parts")
		}
		var f uploaded
		if err == nil {
			f, err = measure(part)
		}
		if err != nil {
			refuseBody(w, err)
			return
		}
		files = append(files, f)
	}
	answer(w, http.StatusCreated, map[string]any{"files": files})
}

func measure(part *multipart.Part) (uploaded, error) {
	h := sha256.New()
	n, err := io.Copy(h, part)
	return uploaded{
		Field: part.FormName(), Name: part.FileName(), Type: part.Header.Get("Content-Type"),
		Size: n, SHA256: hex.EncodeToString(h.Sum(nil)),
	}, err
}
