package wafrules

import (
	"strings"
	"testing"
)

// TestPhase4NeedsABody is what lets the filter leave phase 4 out when response
// bodies are not inspected and nothing was scored before: every rule that scores
// there has a link that looks at the body and nothing else.
func TestPhase4NeedsABody(t *testing.T) {
	rules, err := Catalogue(ProfileCRS)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, r := range rules {
		if r.Phase != 4 || r.Score == 0 {
			continue
		}
		n++
		needs := false
		for _, link := range append([]Rule{r}, r.Chain...) {
			needs = needs || strings.Join(link.Variables, "|") == "RESPONSE_BODY" && !strings.HasPrefix(link.Operator, "!")
		}
		if !needs {
			t.Errorf("rule %d looks at %v with %s", r.ID, r.Variables, r.Operator)
		}
	}
	if n < 30 {
		t.Errorf("only %d rules", n)
	}
}
