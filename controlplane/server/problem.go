package server

import (
	"encoding/json"
	"errors"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
)

// Problem is an error answer: application/problem+json (RFC 9457). Errors lists
// what is wrong where, when there is more than one thing to say.
type Problem = huma.ErrorModel

func writeProblem(w http.ResponseWriter, status int, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(Problem{Title: http.StatusText(status), Status: status, Detail: detail})
}

// Sentinels that the parts behind the API return (wrapped) to choose the
// answer's status. Any other error is 500 and its text stays in the log.
var (
	ErrNotFound = errors.New("not found")
	ErrConflict = errors.New("conflict")
	ErrInvalid  = errors.New("invalid")
	ErrDisabled = errors.New("not available here")
)
