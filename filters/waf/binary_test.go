package waf

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRuns(t *testing.T) {
	for _, c := range []struct {
		value string
		noisy bool
		runs  []string
	}{
		{"a plain text\r\n\twith lines", false, nil},
		{"文字, naïve, \u2028 and more", false, nil},
		{"file.png\x00.jpg", false, nil},
		{"\x01\x02\x03\x04' or 1=1--", true, []string{"' or 1=1--"}},
		{"\x01\x02\u0080\ufffd\xff' union select 1\x00\x00ab\x01abcdefgh", true, []string{"' union select 1", "abcdefgh"}},
		{"\xff\xfe\xfd\xfc", true, nil},
	} {
		if got := noisy(c.value); got != c.noisy {
			t.Errorf("noisy(%q) = %v", c.value, got)
		}
		if c.noisy {
			if d := cmp.Diff(c.runs, runs(c.value)); d != "" {
				t.Errorf("runs(%q): %s", c.value, d)
			}
		}
	}
}

// Where a database sees a space, a statement is seen.
func TestSpaced(t *testing.T) {
	for value, want := range map[string][]string{
		"1'\xa0union\xa0select\xa01":             {"1' union select 1"},
		"\xff1'\x01\x02or\x03'1'\x04=\x04'1\xfe": {"1' or '1' = '1"},
		"one\x01two\x02three\x03four":            nil,
		"\u00e0 select":                          {"\u00e0 select"}, // its second byte is A0
		"sel\xffect":                             nil,
	} {
		if d := cmp.Diff(want, spaced(value)); d != "" {
			t.Errorf("spaced(%q): %s", value, d)
		}
	}
}

// Whatever is put around a text, it is found whole.
func FuzzRuns(f *testing.F) {
	f.Add("\x00\x01\xff", "select 1")
	f.Fuzz(func(t *testing.T, noise, text string) {
		for _, r := range text {
			if control(r) || r > 0x7f {
				t.Skip()
			}
		}
		if len(text) < minRun {
			t.Skip()
		}
		found := false
		for _, r := range runs(noise + "\x00" + text + "\x00" + noise) {
			found = found || r == text
			if strings.ContainsFunc(r, control) {
				t.Fatalf("a run has control characters: %q", r)
			}
		}
		if !found {
			t.Fatalf("%q is not among the runs", text)
		}
	})
}
