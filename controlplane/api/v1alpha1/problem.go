package v1alpha1

import (
	"fmt"
	"strings"
)

// Problem is a mistake found while reading a manifest. Message says what is
// wrong and what to do about it.
type Problem struct {
	File    string `json:"file"`
	Line    int    `json:"line"` // from 1; 0 when unknown
	Key     Key    `json:"key"`  // as far as it could be read
	Path    string `json:"path,omitempty"`
	Message string `json:"message"`
}

func (p Problem) Error() string {
	var b strings.Builder
	b.WriteString(p.File)
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d", p.Line)
	}
	b.WriteString(": ")
	if p.Path != "" {
		b.WriteString(p.Path + ": ")
	}
	b.WriteString(p.Message)
	return b.String()
}
