package wafrules

import (
	"fmt"
	"slices"
	"strconv"
)

// skips refuses to leave out what an action skip:N counts on: with one of the N
// rules gone, the next rule behind them would be skipped in its place.
func (e edits) skips(text string) error {
	directives, _ := parseSecLang(text)
	left, by := 0, 0
	chained := false
	for _, d := range directives {
		if d.name != "secrule" && d.name != "secaction" {
			continue
		}
		r, err := d.rule()
		if err != nil {
			return err
		}
		first := !chained
		_, chained = r.get("chain")
		if !first {
			continue
		}
		id := 0
		if a, ok := r.get("id"); ok {
			id, _ = strconv.Atoi(a.value)
		}
		if left > 0 && e.leavesOut(id) && !e.leavesOut(by) {
			return fmt.Errorf("rule %d is left out, but rule %d skips it by number", id, by)
		}
		left = max(left-1, 0)
		if a, ok := r.get("skip"); ok {
			n, err := strconv.Atoi(a.value)
			if err != nil {
				return fmt.Errorf("rule %d: read skip: %w", id, err)
			}
			left, by = n, id
		}
	}
	return nil
}

func (e edits) leavesOut(rule int) bool {
	return slices.ContainsFunc(e.Off, func(c edit) bool { return slices.Contains(c.Rules, rule) })
}
