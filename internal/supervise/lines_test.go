package supervise

import (
	"bytes"
	"strings"
	"testing"
)

func TestLinesArePrefixedWhole(t *testing.T) {
	var out bytes.Buffer
	l := &lineWriter{w: &out, prefix: "x | "}
	for _, part := range []string{"one\ntw", "o\n", "\nend"} {
		if n, err := l.Write([]byte(part)); n != len(part) || err != nil {
			t.Fatalf("write %q: %d, %v", part, n, err)
		}
	}
	l.flush()
	if want := "x | one\nx | two\nx | \nx | end\n"; out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
	if l.lastLine() != "end" {
		t.Errorf("last line %q", l.lastLine())
	}
}

// What a Go runtime says of its end is known among all that is printed, and none of
// it is a program's own text.
func TestFatalLine(t *testing.T) {
	for printed, want := range map[string]string{
		"W admin bye\n": "",
		"fatal error: concurrent map writes\n\ngoroutine 17 [running]:\nmain.f(0xc0)\nrsp 0x7ffc\n": "fatal error: concurrent map writes",
		"runtime: goroutine stack exceeds 1000000000-byte limit\nfatal error: stack overflow\n":     "fatal error: stack overflow",
		"panic: runtime error: index out of range [7] with length 3\n\ngoroutine 1 [running]:\n":    "panic: runtime error: index out of range [7] with length 3",
		"panic: no such customer: anna@example.com\n\tpanic: fatal error: no\n":                     "panic",
		"C main a fatal error: of somebody else\n I say panic: now\n\tfatal error: indented\n":      "",
		"fatal error: " + strings.Repeat("x", 2000) + "\r\n":                                        "fatal error: " + strings.Repeat("x", 487),
		"fatal error: one\npanic: two": "panic",
	} {
		l := &lineWriter{w: &bytes.Buffer{}}
		for i := range printed { // however it is cut
			l.Write([]byte(printed[i : i+1]))
		}
		l.flush()
		if got := l.fatalLine(); got != want {
			t.Errorf("%q: %q, want %q", printed, got, want)
		}
	}
}

// FuzzLines: nothing a child prints is lost or reordered, however it is cut,
// and no line held is longer than the bound.
func FuzzLines(f *testing.F) {
	f.Add("a\nb", 1)
	f.Add(strings.Repeat("x", maxLine+3), 7)
	f.Fuzz(func(t *testing.T, text string, step int) {
		if step <= 0 {
			step = 1
		}
		var out bytes.Buffer
		l := &lineWriter{w: &out}
		for rest := text; rest != ""; {
			n := min(step, len(rest))
			if _, err := l.Write([]byte(rest[:n])); err != nil {
				t.Fatal(err)
			}
			if rest = rest[n:]; len(l.part) >= maxLine {
				t.Fatalf("%d bytes held", len(l.part))
			}
		}
		l.flush()
		want := text
		if text != "" && !strings.HasSuffix(text, "\n") {
			want += "\n"
		}
		// A cut line that ends exactly at the bound has no end to add.
		if got := out.String(); got != want && got != text {
			t.Fatalf("%d bytes in, %d out", len(text), len(got))
		}
	})
}
