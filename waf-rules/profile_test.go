package wafrules

import (
	"strings"
	"testing"
)

func TestProfilesLoad(t *testing.T) {
	for _, name := range Profiles() {
		if _, err := LoadProfile(name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := Catalogue(name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Rule 920539 skips the rule after it by number.
func TestSkippedRuleIsNotLeftOutAlone(t *testing.T) {
	files, err := CRS()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		off  []int
		want string
	}{
		{[]int{920540}, "rule 920540 is left out, but rule 920539 skips it by number"},
		{[]int{920539, 920540}, ""},
		{[]int{920610}, ""},
	} {
		_, err := edits{Off: []edit{{Rules: c.off, Reason: "a test"}}}.apply(files)
		switch {
		case c.want == "" && err != nil:
			t.Errorf("leaving out %v: %v", c.off, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("leaving out %v: %v, want %q", c.off, err, c.want)
		}
	}
}
