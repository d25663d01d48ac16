package server

import (
	"bytes"
	"fmt"
	"regexp"
	"strconv"

	"github.com/rogpeppe/go-internal/diff"
)

// unified is a unified diff that patch(1) takes. Line numbers begin at first, for
// texts that are a part of a file. Equal texts give "".
func unified(oldName string, before []byte, newName string, after []byte, first int) string {
	_, text, found := bytes.Cut(diff.Diff(oldName, before, newName, after), []byte("\n")) // its first line is no part of the format
	if !found {
		return ""
	}
	if first <= 1 {
		return string(text)
	}
	hunk := regexp.MustCompile(`(?m)^@@ -(\d+)(,\d+)? \+(\d+)(,\d+)? @@`)
	return string(hunk.ReplaceAllFunc(text, func(line []byte) []byte {
		m := hunk.FindSubmatch(line)
		return fmt.Appendf(nil, "@@ -%d%s +%d%s @@", moved(m[1], first), m[2], moved(m[3], first), m[4])
	}))
}

func moved(number []byte, first int) int {
	n, _ := strconv.Atoi(string(number)) // digits, by the expression
	return n + first - 1
}

// textLine is the line of a file where a document's text begins, when its first
// key is in line: comments before it belong to the text.
func textLine(text []byte, line int) int {
	for l := range bytes.Lines(text) {
		if t := bytes.TrimSpace(l); len(t) > 0 && t[0] != '#' {
			break
		}
		line--
	}
	return max(line, 1)
}
