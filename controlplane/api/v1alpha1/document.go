package v1alpha1

import (
	"bytes"
	"encoding/json"
)

// documentText is one document of a file and the line it begins on.
type documentText struct {
	data []byte
	line int
}

// splitDocuments cuts a file at its "---" lines, so that a syntax error in one
// document does not hide the others. Documents of nothing but comments and
// space are left out.
func splitDocuments(data []byte) []documentText {
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	if json.Valid(data) {
		// Tabs may indent JSON but not YAML; outside of strings they are space,
		// and inside they cannot stand raw.
		data = bytes.ReplaceAll(data, []byte("\t"), []byte(" "))
	}
	var docs []documentText
	current := documentText{line: 1}
	flush := func() {
		if hasContent(current.data) {
			docs = append(docs, current)
		}
	}
	line := 0
	for rest := data; len(rest) > 0; {
		line++
		var text []byte
		text, rest = cutLine(rest)
		if tail, ok := documentMark(text); ok {
			flush()
			current = documentText{line: line, data: append([]byte(nil), tail...)}
			continue
		}
		current.data = append(current.data, text...)
	}
	flush()
	return docs
}

func cutLine(data []byte) (line, rest []byte) {
	if i := bytes.IndexByte(data, '\n'); i >= 0 {
		return data[:i+1], data[i+1:]
	}
	return data, nil
}

// documentMark recognises "---" and returns what follows it on the line.
func documentMark(line []byte) ([]byte, bool) {
	tail, ok := bytes.CutPrefix(line, []byte("---"))
	if !ok || (len(tail) > 0 && !bytes.ContainsRune([]byte(" \t\r\n"), rune(tail[0]))) {
		return nil, false
	}
	return tail, true
}

func hasContent(data []byte) bool {
	for len(data) > 0 {
		var line []byte
		line, data = cutLine(data)
		line = bytes.TrimSpace(line)
		if len(line) > 0 && line[0] != '#' && string(line) != "..." {
			return true
		}
	}
	return false
}
