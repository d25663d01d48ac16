package compile

import "testing"

func TestCovers(t *testing.T) {
	for _, c := range []struct {
		pattern, host string
		want          bool
	}{
		{"*", "a.b", true},
		{"*", "*.b", true},
		{"a.b", "a.b", true},
		{"a.b", "c.b", false},
		{"*.b", "a.b", true},
		{"*.b", "c.a.b", true},
		{"*.b", "b", false},
		{"*.b", "ab", false},
		{"*.b", "*.b", true},
		{"*.b", "*.a.b", true},
		{"*.a.b", "*.b", false},
		{"a.b", "*.b", false},
		{"*.b", "*", false},
	} {
		if got := covers(c.pattern, c.host); got != c.want {
			t.Errorf("covers(%q, %q) = %v", c.pattern, c.host, got)
		}
	}
	for _, c := range [][3]string{{"*", "a.b", "a.b"}, {"*.b", "*", "*.b"}, {"*.b", "*.a.b", "*.a.b"}, {"*.b", "a.c", ""}, {"a.b", "a.b", "a.b"}} {
		if got := intersect(c[0], c[1]); got != c[2] {
			t.Errorf("intersect(%q, %q) = %q, want %q", c[0], c[1], got, c[2])
		}
	}
}
