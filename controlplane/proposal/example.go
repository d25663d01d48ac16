package proposal

import (
	"fmt"

	"github.com/gabion-io/gabion/internal/exchange"
	"github.com/gabion-io/gabion/internal/recording"
)

// exampleOf names an exchange without telling what was in it.
func exampleOf(x *recording.Exchange, before, after verdict) Example {
	strict := before
	if severity(after.decision) > severity(before.decision) {
		strict = after
	}
	return Example{
		ID: x.ID, Time: x.Time, Route: routeOf(x), Method: x.Request.Method,
		Host: bareHost(exchange.MaskHost(x.Request.Authority)), Path: exchange.MaskPath(x.Request.Path),
		Rules: rulesOf(strict), Before: before.score, After: after.score,
	}
}

// rulesOf lists what caused a verdict: "942100 ARGS:q".
func rulesOf(v verdict) []string {
	if v.event == nil {
		return nil
	}
	var out []string
	for _, m := range v.event.Matches {
		out = append(out, fmt.Sprintf("%d %s", m.Rule, m.Variable))
	}
	if v.event.API != nil {
		for _, x := range v.event.API.Violations {
			out = append(out, x.String())
		}
	}
	return out
}

func routeOf(x *recording.Exchange) string {
	if x.Route == "" {
		return x.Key
	}
	return x.Route
}
