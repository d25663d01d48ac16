package spelling

import (
	"strings"
	"testing"
)

func TestDistance(t *testing.T) {
	long := strings.Repeat("a", tooLong+1)
	for _, c := range []struct {
		a, b string
		want int
	}{
		{"", "", 0}, {"", "abc", 3}, {"abc", "", 3}, {"mode", "mode", 0},
		{"mdoe", "mode", 2}, {"mod", "mode", 1}, {"model", "mode", 1}, {"made", "mode", 1},
		{long, long, tooLong}, {"a", long, tooLong},
	} {
		if got := Distance(c.a, c.b); got != c.want {
			t.Errorf("Distance(%q, %q) = %d, want %d", c.a, c.b, got, c.want)
		}
	}
}
