package supervise

import (
	"bytes"
	"cmp"
	"io"
	"strings"
	"sync"
)

// maxLine bounds what is held of a line that does not end.
const maxLine = 64 << 10

// sharedWriter lets children write whole lines to one place.
type sharedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (s *sharedWriter) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.w.Write(b)
}

// lineWriter passes a child's output on line by line, each with the prefix, and
// remembers the last one and the last that says why a Go runtime ended. It never
// fails: a sink that is gone must not kill the child with SIGPIPE.
type lineWriter struct {
	w      io.Writer
	prefix string

	mu    sync.Mutex
	part  []byte // of a line that has not ended
	last  string
	fatal string // the last of goFatal
}

func (l *lineWriter) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.part = append(l.part, b...)
	for {
		end := bytes.IndexByte(l.part, '\n')
		if end < 0 && len(l.part) >= maxLine {
			end = maxLine - 1
		}
		if end < 0 {
			return len(b), nil
		}
		l.pass(l.part[:end+1])
		l.part = l.part[end+1:]
	}
}

// flush passes on a last line that had no end.
func (l *lineWriter) flush() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.part) > 0 {
		l.pass(append(l.part, '\n'))
		l.part = nil
	}
}

func (l *lineWriter) pass(line []byte) {
	start := string(line[:min(len(line), 500)])
	if text := strings.TrimSpace(start); text != "" {
		l.last = text
	}
	l.fatal = cmp.Or(goFatal(start), l.fatal)
	out := line
	if l.prefix != "" {
		out = append([]byte(l.prefix), line...)
		if line[len(line)-1] != '\n' { // cut: the rest gets a line of its own
			out = append(out, '\n')
		}
	}
	_, _ = l.w.Write(out)
}

func (l *lineWriter) lastLine() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.last
}

func (l *lineWriter) fatalLine() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.fatal
}

// goFatal is the line with which a Go runtime says why it ends its process; empty
// for every other line. All of it is the runtime's own text: the value of another
// panic than the runtime's may hold anything, what a client sent too, and is left
// out.
func goFatal(line string) string {
	line = strings.TrimRight(line, "\r\n")
	switch {
	case strings.HasPrefix(line, "fatal error: "), strings.HasPrefix(line, "panic: runtime error: "):
		return line
	case strings.HasPrefix(line, "panic: "):
		return "panic"
	}
	return ""
}
