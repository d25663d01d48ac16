package wafrules

import (
	"testing"

	coreruleset "github.com/corazawaf/coraza-coreruleset/v4"
)

func TestCRSIsThePinnedOne(t *testing.T) {
	sum, err := checksum(coreruleset.FS)
	if err != nil {
		t.Fatal(err)
	}
	if sum != crsSum {
		t.Errorf("checksum is %s", sum)
	}
	if _, err := CRS(); err != nil {
		t.Error(err)
	}
}

func TestCatalogueKnowsEveryRule(t *testing.T) {
	rules, err := Catalogue(ProfileCRS)
	if err != nil {
		t.Fatal(err)
	}
	byID := map[int]Rule{}
	for _, r := range rules {
		if _, twice := byID[r.ID]; twice || r.ID == 0 {
			t.Errorf("id %d twice or missing in %s:%d", r.ID, r.File, r.Line)
		}
		byID[r.ID] = r
	}
	r := byID[942100]
	if r.Score != 5 || r.Paranoia != 1 || r.Phase != 2 || r.Severity != "critical" || r.Operator != "@detectSQLi" || len(r.Variables) < 5 {
		t.Errorf("942100 is %+v", r)
	}
	if c := byID[920120]; len(c.Chain) == 0 && c.Operator == "" {
		t.Errorf("920120 is %+v", c)
	}
	t.Logf("%d rules", len(rules))
}
