package proposal

import (
	"cmp"
	"net"
	"net/netip"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"github.com/gabion-io/gabion/filters"
	wafrules "github.com/gabion-io/gabion/waf-rules"
)

// maxScopes is how many places one suspect is excluded from one by one. More
// than that is a pattern, and is written as one.
const maxScopes = 4

// scope is where an exclusion acts.
type scope struct{ method, host, path string }

func (s scope) compare(o scope) int {
	return cmp.Or(cmp.Compare(s.path, o.path), cmp.Compare(s.method, o.method), cmp.Compare(s.host, o.host))
}

// scopeOf is the narrowest scope that holds the event: its method, its host and
// its path. A path segment that was masked at the door is not known, nor would
// it come again: from there on the path is a prefix.
func scopeOf(e filters.Event) scope {
	at := scope{method: e.Method, host: bareHost(e.Host), path: pathPattern(e.Path)}
	if at.method == "OTHER" { // ingest's word for a method nobody registered
		at.method = ""
	}
	if masked(at.host) {
		at.host = ""
	}
	if !strings.HasPrefix(e.Path, "/") { // CONNECT names a host, OPTIONS may say *
		at.path = ""
	}
	return at
}

// bareHost is the host without its port, as exclusions name it.
func bareHost(host string) string {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	if a, err := netip.ParseAddr(host); err == nil && a.Is6() {
		return "[" + a.String() + "]"
	}
	return strings.ToLower(host)
}

func pathPattern(raw string) string {
	segments := strings.Split(decodedPath(raw), "/")
	for i, s := range segments {
		if masked(s) || strings.Contains(s, "*") || strings.IndexFunc(s, unicode.IsControl) >= 0 {
			return strings.Join(segments[:i], "/") + "/*"
		}
	}
	return strings.Join(segments, "/")
}

// decodedPath is a path as exclusions see it: percent-decoded, dots resolved.
func decodedPath(raw string) string {
	decoded, err := url.PathUnescape(raw)
	if err != nil {
		decoded = raw
	}
	clean := path.Clean("/" + strings.TrimPrefix(decoded, "/"))
	if strings.HasSuffix(decoded, "/") && clean != "/" {
		clean += "/"
	}
	return clean
}

// masked tells a placeholder that ingest left where a value was.
func masked(segment string) bool {
	return strings.ContainsAny(segment, "{}…")
}

// exclusions writes what was chosen as exclusions: the narrowest that hold all
// events, sorted.
func exclusions(events []filters.Event, chosen choice) []wafrules.Exclusion {
	chosen = mergeIndices(chosen)
	places := map[suspect][]scope{}
	for i, e := range events {
		for _, s := range chosen[i] {
			if at := scopeOf(e); !slices.Contains(places[s], at) {
				places[s] = append(places[s], at)
			}
		}
	}
	var out []wafrules.Exclusion
	for s, scopes := range places {
		for _, at := range generalise(scopes) {
			out = append(out, wafrules.Exclusion{Rule: s.rule, Target: s.target, Method: at.method, Host: at.host, Path: at.path})
		}
	}
	slices.SortFunc(out, compareExclusions)
	return out
}

func compareExclusions(a, b wafrules.Exclusion) int {
	return cmp.Or(cmp.Compare(a.Rule, b.Rule), cmp.Compare(a.Tag, b.Tag), cmp.Compare(a.Target, b.Target),
		cmp.Compare(a.Path, b.Path), cmp.Compare(a.Method, b.Method), cmp.Compare(a.Host, b.Host))
}

// generalise drops what varies most, one dimension at a time, until few enough
// scopes are left to be read.
func generalise(scopes []scope) []scope {
	scopes = slices.Clone(scopes)
	for len(scopes) > maxScopes {
		hosts, paths, methods := distinct(scopes)
		switch {
		case hosts >= paths && hosts >= methods && hosts > 1:
			common := commonHost(scopes)
			for i := range scopes {
				scopes[i].host = common
			}
		case paths > 1 && paths >= methods:
			common := commonPath(scopes)
			for i := range scopes {
				scopes[i].path = common
			}
		default:
			for i := range scopes {
				scopes[i].method = ""
			}
		}
		slices.SortFunc(scopes, scope.compare)
		scopes = slices.Compact(scopes)
	}
	slices.SortFunc(scopes, scope.compare)
	return scopes
}

func distinct(scopes []scope) (hosts, paths, methods int) {
	h, p, m := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, s := range scopes {
		h[s.host], p[s.path], m[s.method] = true, true, true
	}
	return len(h), len(p), len(m)
}

// commonHost is "*.example.com" when every host is a name under it with at
// least two labels in common, else any host.
func commonHost(scopes []scope) string {
	var common []string
	for i, s := range scopes {
		if net.ParseIP(strings.Trim(s.host, "[]")) != nil {
			return ""
		}
		labels := strings.Split(s.host, ".")
		slices.Reverse(labels)
		labels = labels[:len(labels)-1] // at least one label is what varies
		if i == 0 {
			common = labels
			continue
		}
		n := 0
		for n < len(common) && n < len(labels) && common[n] == labels[n] {
			n++
		}
		common = common[:n]
	}
	if len(common) < 2 {
		return ""
	}
	common = slices.Clone(common)
	slices.Reverse(common)
	return "*." + strings.Join(common, ".")
}

// commonPath is the longest prefix of whole segments, with "*"; "" when there
// is none but "/".
func commonPath(scopes []scope) string {
	common := strings.Split(strings.TrimSuffix(scopes[0].path, "*"), "/")
	for _, s := range scopes[1:] {
		segments := strings.Split(strings.TrimSuffix(s.path, "*"), "/")
		n := 0
		for n < len(common) && n < len(segments) && common[n] == segments[n] {
			n++
		}
		common = common[:n]
	}
	prefix := strings.TrimSuffix(strings.Join(common, "/"), "/")
	if prefix == "" {
		return ""
	}
	for _, s := range scopes {
		if s.path == prefix { // "/a" beside "/a/b": "/a/*" would not hold it
			return prefix + "*"
		}
	}
	return prefix + "/*"
}

var arrayIndex = regexp.MustCompile(`\.[0-9]+(\.|$)`)

// mergeIndices makes one suspect of those that differ only in the place within
// a JSON array: which element misfires is chance.
func mergeIndices(chosen choice) choice {
	forms := map[suspect][]suspect{}
	for _, list := range chosen {
		for _, s := range list {
			key := suspect{s.rule, withoutIndices(s.target)}
			if key.target != s.target && !slices.Contains(forms[key], s) {
				forms[key] = append(forms[key], s)
			}
		}
	}
	out := make(choice, len(chosen))
	for i, list := range chosen {
		for _, s := range list {
			if key := (suspect{s.rule, withoutIndices(s.target)}); len(forms[key]) > 1 {
				s.target = indexPattern(s.target)
			}
			if !slices.Contains(out[i], s) {
				out[i] = append(out[i], s)
			}
		}
	}
	return out
}

func withoutIndices(target string) string {
	// Twice, because neighbouring indices share the dot between them.
	return arrayIndex.ReplaceAllString(arrayIndex.ReplaceAllString(target, ".#$1"), ".#$1")
}

// indexPattern writes a target with any number in place of array indices:
// ARGS:/^json\.items\.[0-9]+\.name$/.
func indexPattern(target string) string {
	name, key := cutTarget(withoutIndices(target))
	parts := strings.Split(key, ".#")
	for i := range parts {
		parts[i] = escapeKey(strings.ToLower(parts[i]))
	}
	return name + ":/^" + strings.Join(parts, `\.[0-9]+`) + "$/"
}

// escapeKey is regexp.QuoteMeta without quotes left over, which SecLang has no
// escape for.
func escapeKey(s string) string {
	return strings.NewReplacer(`"`, `\x22`, `'`, `\x27`, `/`, `\x2f`, `,`, `\x2c`, `;`, `\x3b`).Replace(regexp.QuoteMeta(s))
}

// cutTarget splits "ARGS:q" in "ARGS" and "q".
func cutTarget(target string) (name, key string) {
	name, key, _ = strings.Cut(target, ":")
	return name, key
}

// covers says whether an exclusion takes a match of an event away. Paths of
// stored events are masked; an exact path covers none with a placeholder.
func covers(x wafrules.Exclusion, e filters.Event, m filters.Match) bool {
	switch {
	case x.Rule != 0 && x.Rule != m.Rule,
		x.Tag != "" && !slices.Contains(m.Tags, x.Tag),
		x.Method != "" && x.Method != e.Method,
		x.Host != "" && !hostMatches(x.Host, bareHost(e.Host)),
		!pathMatches(x.Path, decodedPath(e.Path)):
		return false
	}
	return targetMatches(x.Target, m.Variable)
}

func hostMatches(pattern, host string) bool {
	if domain, ok := strings.CutPrefix(strings.ToLower(pattern), "*"); ok {
		return strings.HasSuffix(host, domain) && len(host) > len(domain)
	}
	return strings.EqualFold(pattern, host)
}

func pathMatches(pattern, path string) bool {
	if pattern == "" {
		return true
	}
	if prefix, ok := strings.CutSuffix(pattern, "*"); ok {
		return strings.HasPrefix(path, prefix)
	}
	return pattern == path
}

func targetMatches(pattern, variable string) bool {
	if pattern == "" {
		return true
	}
	name, key := cutTarget(pattern)
	has, of := cutTarget(variable)
	if name != has && !(name == "ARGS" && (has == "ARGS_GET" || has == "ARGS_POST")) {
		return false
	}
	switch {
	case key == "":
		return true
	case len(key) > 2 && key[0] == '/' && key[len(key)-1] == '/':
		re, err := regexp.Compile(key[1 : len(key)-1])
		return err == nil && re.MatchString(strings.ToLower(of))
	}
	return strings.EqualFold(key, of)
}

// score is what the event's findings come to under the exclusions.
func score(e filters.Event, t thresholds, xs []wafrules.Exclusion) sum {
	return remaining(e, t, func(m filters.Match) bool {
		return slices.ContainsFunc(xs, func(x wafrules.Exclusion) bool { return covers(x, e, m) })
	})
}
