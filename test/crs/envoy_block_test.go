package crs

import (
	"fmt"
	"io"
	"testing"

	"github.com/gabion-io/gabion/filters"
	wafrules "github.com/gabion-io/gabion/waf-rules"
	"github.com/gabion-io/gabion/waf-rules/regression"
)

// tally is how a blocking policy answered a case that is an attack.
type tally struct {
	attack, first              bool // first: a rule of paranoia level 1 is expected
	denied, malformed, refused bool
}

// firstLevel gives the rules of paranoia level 1.
func firstLevel(t *testing.T) map[int]bool {
	t.Helper()
	rules, err := wafrules.Catalogue(wafrules.ProfileCRS)
	if err != nil {
		t.Fatal(err)
	}
	first := map[int]bool{}
	for _, r := range rules {
		first[r.ID] = r.Paranoia == 1
	}
	return first
}

// attack sends a case that expects a rule about requests to match.
func attack(c *regression.Case, d *Through, first map[int]bool) tally {
	k := tally{attack: c.Attack()}
	if !k.attack {
		return k
	}
	for _, s := range c.Stages {
		for _, id := range s.Expect.IDs {
			k.first = k.first || first[id] && id < 949110
		}
		o, err := d.Do(&s.Request)
		if err != nil {
			continue
		}
		k.refused = k.refused || o.Event == nil
		if o.Event != nil && o.Event.Decision == filters.Denied {
			k.denied = k.denied || o.Status == 403
			k.malformed = k.malformed || o.Status == 400
		}
	}
	return k
}

// report prints how many attacks a blocking policy of paranoia level 1 denied:
// of those written for a rule of that level, and of all.
func report(w io.Writer, all []tally) {
	print := func(name string, of func(tally) bool) {
		var attacks, denied, malformed, refused int
		for _, k := range all {
			if !k.attack || !of(k) {
				continue
			}
			attacks++
			switch {
			case k.denied:
				denied++
			case k.malformed:
				malformed++
			case k.refused:
				refused++
			}
		}
		fmt.Fprintf(w, "paranoia 1, block: of %d %s, %d denied with 403, %d as malformed with 400, %d refused by Envoy\n",
			attacks, name, denied, malformed, refused)
	}
	print("attacks for rules of paranoia level 1", func(k tally) bool { return k.first })
	print("attacks for rules of all levels", func(tally) bool { return true })
}
