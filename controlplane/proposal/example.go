package proposal

import (
	"fmt"
	"regexp"
	"strings"

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
		Host: bareHost(x.Request.Authority), Path: maskPath(x.Request.Path),
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
	return out
}

func routeOf(x *recording.Exchange) string {
	if x.Route == "" {
		return x.Key
	}
	return x.Route
}

// maskPath keeps of a path what is surely no value: segments that are words.
func maskPath(target string) string {
	path, _, _ := strings.Cut(target, "?")
	segments := strings.Split(path, "/")
	for i, s := range segments {
		if s != "" && !word.MatchString(s) {
			segments[i] = "{}"
		}
	}
	return strings.Join(segments, "/")
}

// word: letters in few parts, with at most a version or a file's ending.
var word = regexp.MustCompile(`^\.?[A-Za-z]{1,24}([-_.][A-Za-z]{1,24}){0,3}[0-9]{0,2}$`)
