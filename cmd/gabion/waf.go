package main

import "github.com/spf13/cobra"

func newWAF(a *app) *cobra.Command {
	return group("waf", "Look at what the WAF found, and fix it",
		`Security events, the exclusions made from them, rehearsals on recorded traffic,
the rules themselves, and the engine without a proxy.`,
		newEvents(a), newEvent(a), newExclude(a), newPropose(a, "propose"), newRehearse(a), newRules(a), newCheck(a))
}
