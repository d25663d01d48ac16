package proposal

import (
	"fmt"
	"strings"

	"github.com/gabion-io/gabion/filters/chain"
	"github.com/gabion-io/gabion/internal/recording"
)

// exampleOf names an exchange without telling what was in it.
func exampleOf(x *recording.Exchange, before, after chain.Verdict) Example {
	strict := before
	if severity(after.Decision) > severity(before.Decision) {
		strict = after
	}
	return Example{
		ID: x.ID, Time: x.Time, Route: routeOf(x), Method: x.Request.Method,
		Host: bareHost(x.Request.Authority), Path: maskPath(x.Request.Path),
		Rules: rulesOf(strict), Before: before.Score, After: after.Score,
	}
}

// rulesOf lists what caused a verdict: "942100 ARGS:q".
func rulesOf(v chain.Verdict) []string {
	if v.Event == nil {
		return nil
	}
	var out []string
	for _, m := range v.Event.Matches {
		out = append(out, fmt.Sprintf("%d %s", m.Rule, m.Variable))
	}
	return out
}

func routeOf(x *recording.Exchange) string {
	if x.Route == "" {
		return x.Key
	}
	return x.Route
}

// maskPath keeps of a path what the door of telemetry keeps.
func maskPath(target string) string {
	path, _, _ := strings.Cut(target, "?")
	return path
}

// failed tells a verdict the engine did not reach from one it did.
func failed(reason string) bool { return strings.HasPrefix(reason, "inspection failed") }
