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
