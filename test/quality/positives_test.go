package main

import (
	"strings"
	"testing"

	wafrules "github.com/gabion-io/gabion/waf-rules"
)

// TestPositivesLost: of the rule set's positive tests at paranoia level 1, the
// default profile loses only those listed with a reason.
func TestPositivesLost(t *testing.T) {
	if testing.Short() {
		t.Skip("judges some two thousand requests twice: run without -short")
	}
	ids, of, err := lost(wafrules.ProfileBalanced)
	if err != nil {
		t.Fatal(err)
	}
	if of < 1500 {
		t.Fatalf("only %d tests were compared", of)
	}
	reasons, err := lostReasons()
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range ids {
		rule, _, _ := strings.Cut(id, "-")
		if reasons[id] == "" && reasons[rule] == "" {
			t.Errorf("%s passes, and lost.txt gives no reason", id)
		}
	}
}
