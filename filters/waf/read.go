package waf

import (
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/corazawaf/coraza/v3/collection"
	"github.com/corazawaf/coraza/v3/experimental/plugins"
	"github.com/corazawaf/coraza/v3/experimental/plugins/plugintypes"
	"github.com/corazawaf/coraza/v3/types"
	"github.com/corazawaf/coraza/v3/types/variables"
)

// read is the action at the head of phase 2 of profiles that read values: JSON
// inside a parameter or cookie is put in its place leaf by leaf, and what a
// value says when decoded is judged too. It comes before the skip action, which
// wants its variables complete.
//
// What is added stands in ARGS_PATH, of which no request fills a part here, so
// that ARGS holds it under the name of the parameter it came from: whoever
// excludes ARGS:q from a rule excludes its decodings too. How a value was got is
// kept in TX, for the evidence.
type read struct{ agents recent }

const (
	readName   = "gabionread"
	readRuleID = 200_070
)

var registerRead = sync.OnceFunc(func() {
	plugins.RegisterAction(readName, func() plugintypes.Action { return &read{agents: newRecent()} })
	plugins.RegisterOperator(sqliName, newSQLi)
})

func readDirectives() string { return "SecAction \"id:200070,phase:2,pass,nolog," + readName + "\"\n" }

func (*read) Init(plugintypes.RuleMetadata, string) error { return nil }

func (*read) Type() plugintypes.ActionType { return plugintypes.ActionTypeNondisruptive }

func (a *read) Evaluate(_ plugintypes.RuleMetadata, tx plugintypes.TransactionState) {
	v := tx.Variables()
	r := reading{v: v}
	r.arguments(v.ArgsGet())
	r.arguments(v.ArgsPost())
	r.cookies(v.RequestCookies())
	r.headers(v.RequestHeaders(), &a.agents)
	path, _, _ := strings.Cut(v.RequestURIRaw().Get(), "?")
	r.path(path)
}

// maxNested is how deep encodings are undone within each other.
const maxNested = 3

// maxRead bounds what reading may add to one request, in bytes: what a value is made
// of bears its name, part for part, and a client chooses how long that is. Beyond it
// values are judged as they are, and the request as one of too many arguments: else
// junk in one value would hide what is in the next.
const (
	maxRead  = 8 << 20
	perValue = 64 // bytes of bookkeeping
	maxParts = maxRead / perValue
)

// reading adds to one request what its values say.
type reading struct {
	v     plugintypes.TransactionVariables
	bytes int
}

// room counts a value that is to be added; false: no more may be.
func (r *reading) room(name, value string) bool {
	if r.bytes += len(name) + len(value) + perValue; r.bytes <= maxRead {
		return true
	}
	set(r.v.ArgumentsLimitReached(), "1")
	return false
}

// add puts a value beside those of the request. The name is a string of its own:
// the engine remembers transformed values by where their name stands in memory,
// and would take one value for another of the same name.
//
// False: there was no room for it.
func (r *reading) add(name, how, value string) bool {
	if value == "" {
		return true
	}
	if !r.room(name, value) {
		return false
	}
	r.v.ArgsPath().Add(strings.Clone(name), value)
	r.note(name, how, value)
	return true
}

// note remembers how a value was got.
func (r *reading) note(name, how, value string) {
	if how == "" {
		return
	}
	r.v.TX().Set(notePrefix+name+"\x00"+value, []string{how})
}

const notePrefix = "gabion.read:"

// howRead says how the value under an argument's or cookie's name was got, ""
// when the request has it as it is.
func howRead(v plugintypes.TransactionVariables, d types.MatchData) string {
	switch d.Variable() {
	case variables.Args, variables.ArgsGet, variables.ArgsPost, variables.ArgsPath, variables.RequestCookies, variables.FilesTmpContent:
	default:
		return ""
	}
	if v == nil {
		return ""
	}
	if found := v.TX().Get(notePrefix + d.Key() + "\x00" + d.Value()); len(found) > 0 {
		return found[0]
	}
	return ""
}

// arguments reads all values of a collection.
func (r *reading) arguments(c collection.Map) {
	var replace map[string][]string
	var texts map[string]bool // that stand where names belong, with whether all of them could be added
	for _, m := range c.FindAll() {
		name, value := m.Key(), m.Value()
		if len(name) > maxName && strings.ContainsAny(name, ":/ ") { // a beacon, a page's address
			added := r.text("name", "name", name) && r.text("name", "", value)
			if texts == nil {
				texts = map[string]bool{}
			}
			key := strings.ToLower(name) // as the collection has it
			before, again := texts[key]
			texts[key] = added && (before || !again)
			continue
		}
		r.name(name)
		if len(value) < 2 || !encoded(value) {
			continue
		}
		leaves, ok := r.structured(name, value, maxNested)
		if !ok {
			r.decode(name, value, maxNested)
			continue
		}
		if replace == nil {
			replace = map[string][]string{}
		}
		if _, seen := replace[name]; !seen && len(c.Get(name)) > 1 { // keep the others of that name
			for _, other := range c.Get(name) {
				if other != value {
					replace[name] = append(replace[name], other)
				}
			}
		}
		replace[name] = append(replace[name], leaves...)
	}
	for name, added := range texts {
		if added {
			c.Remove(name)
		}
	}
	for name := range replace {
		c.Remove(name)
	}
	for name, values := range replace {
		for _, v := range values {
			c.Add(strings.Clone(name), v)
		}
	}
}

// name reads the name of a parameter, or of a field of JSON, as a value where it
// has bytes that names do not have: rules that ask how a value begins know
// nothing of what stands before the name of a field.
func (r *reading) name(name string) {
	name = strings.TrimPrefix(name, "json.")
	if len(name) < 4 || !strings.ContainsAny(name, "'\"<>(){};|`\n\r /\\%") && !strings.Contains(name, "..") {
		return
	}
	r.text("name", "name", name)
}

// maxName is the longest name of a parameter that is taken for one even if it
// looks like a text.
const maxName = 64

// text adds a value of which no variable holds anything yet: what it is made of,
// or itself, and what it says when decoded. False: there was no room for it.
func (r *reading) text(name, how, value string) bool {
	if leaves, ok := r.structured(name, value, maxNested); ok {
		for _, l := range leaves {
			r.v.ArgsPath().Add(strings.Clone(name), l)
		}
		return true
	}
	added := r.add(name, how, value)
	r.decode(name, value, maxNested)
	return added
}

// encoded rules out, at one look, the values of which nothing can be read: short
// ones, numbers, words with spaces.
func encoded(value string) bool {
	switch value[0] {
	case '{', '[', '"', '\'', '%', ' ', '\t', '\n', '\r':
		return true
	}
	return len(value) >= minBase64 || strings.ContainsAny(value, `\&`)
}

// structured gives the values that a text is made of, which are judged in its
// place: the quotes, commas and ampersands between them are no attack and hide
// none. Such texts are JSON, the query of an address or a form, and cookies.
func (r *reading) structured(name, value string, depth int) (values []string, ok bool) {
	if depth == 0 || len(value) < 2 {
		return nil, false
	}
	if noisy(value) {
		values = append(runs(value), spaced(value)...)
		return values, !slices.ContainsFunc(values, func(v string) bool { return !r.room(name, v) })
	}
	text := value
	if text[0] == '%' || strings.HasPrefix(text, "{%") || strings.HasPrefix(text, "[%") {
		text = fromPercent(text)
	}
	text = strings.TrimSpace(text)
	if len(text) < 2 {
		return nil, false
	}
	switch c := text[0]; {
	case c == '{' || c == '[':
		return r.json(name, text, depth)
	case c == '\'' && text[len(text)-1] == '\'' && len(text) > 3 && (text[1] == '{' || text[1] == '['):
		if values, ok := r.json(name, text[1:len(text)-1], depth); ok {
			return append(values, value), true // the quotes are SQL's, too
		}
	case c == '"' && text[len(text)-1] == '"' && strings.Contains(text, `\"`):
		leaves, ok := jsonLeaves("["+text+"]", "", 1, 1)
		if !ok {
			return nil, false
		}
		return r.structured(name, leaves[0].value, depth-1)
	}
	if parts, ok := pairs(text); ok {
		values = []string{}
		for _, p := range parts {
			if !r.room(name, p) {
				return nil, false
			}
			values = r.leaf(name, "part", p, depth, values)
		}
		return values, true
	}
	return nil, false
}

func (r *reading) json(name, text string, depth int) (values []string, ok bool) {
	leaves, ok := jsonLeaves(text, "", 32, maxParts)
	if !ok {
		return nil, false
	}
	values = []string{}
	for _, l := range leaves {
		if !r.room(name, l.value) {
			return nil, false
		}
		switch {
		case l.value == "", l.key && plainName.MatchString(l.value) && !strings.ContainsAny(l.value, "$_@."):
		case l.key:
			r.note(name, "JSON name", l.value)
			values = append(values, l.value)
		default:
			values = r.leaf(name, "JSON", l.value, depth, values)
		}
	}
	return values, true
}

// leaf appends a part of a structured text, or what that is made of.
func (r *reading) leaf(name, how, value string, depth int, values []string) []string {
	if len(value) < 2 {
		return append(values, value)
	}
	if inner, ok := r.structured(name, value, depth-1); ok {
		return append(values, inner...)
	}
	r.note(name, how, value)
	r.decode(name, value, depth-1)
	return append(values, value)
}

// pairs splits "a=1&b=2", "https://host/path?a=1&b=2" and "a=1; b=2". Every
// part must look like one: else an ampersand or semicolon may be a command's.
func pairs(text string) (parts []string, ok bool) {
	separator := "&"
	if at := strings.IndexByte(text, '?'); at >= 0 && isAddress(text[:at]) {
		if at+1 == len(text) {
			return nil, false
		}
		parts = append(parts, text[:at])
		text = text[at+1:]
	} else if strings.Contains(text, "; ") {
		separator = "; "
	}
	if parts == nil && !strings.Contains(text, separator) {
		return nil, false
	}
	for part := range strings.SplitSeq(text, separator) {
		name, value, _ := strings.Cut(part, "=")
		if len(name) == len(part) && (parts == nil || part == "") && part != "" || !pairName(name) || strings.ContainsAny(value, "\"'`<>(){}|;$\\ \n\r") {
			return nil, false
		}
		if separator == "&" {
			value = fromPercent(strings.ReplaceAll(value, "+", " "))
		}
		if name == part {
			value = name
		}
		if value != "" {
			parts = append(parts, value)
		}
	}
	return parts, true
}

func pairName(s string) bool {
	for i := range len(s) {
		if !isWordByte(s[i]) && strings.IndexByte("_.-[]%@:~!", s[i]) < 0 {
			return false
		}
	}
	return len(s) <= 128
}

// isAddress says that s is an absolute http address, or an absolute path, of
// plain characters.
func isAddress(s string) bool {
	rest, ok := strings.CutPrefix(s, "https://")
	if !ok {
		rest, ok = strings.CutPrefix(s, "http://")
	}
	if !ok && !strings.HasPrefix(s, "/") || rest == "" {
		return false
	}
	for i := range len(rest) {
		if c := rest[i]; !isWordByte(c) && c < 0x80 && strings.IndexByte("_.-/:%~@!,+#", c) < 0 {
			return false
		}
	}
	return !strings.Contains(rest, "..")
}

// decode adds what a value says when decoded, and what that says in turn.
func (r *reading) decode(name, value string, depth int) {
	if depth == 0 || len(value) < 6 {
		return
	}
	if header, payload, ok := cutJWT(value); ok {
		for _, part := range []string{header, payload} {
			r.inside(name, "JWT", part, depth)
		}
		return
	}
	for _, d := range readings(value) {
		r.inside(name, d.how, d.text, depth)
	}
	if strings.Contains(value, "%") {
		if text := fromPercent(value); text != value {
			for _, d := range readings(text) {
				r.inside(name, d.how, d.text, depth)
			}
		}
	}
}

// inside adds a decoded text: its leaves if it is JSON.
func (r *reading) inside(name, how, text string, depth int) {
	if t := strings.TrimSpace(text); len(t) > 1 && (t[0] == '{' || t[0] == '[') {
		if leaves, ok := jsonLeaves(t, "", 32, maxParts); ok {
			for _, l := range leaves {
				if !l.key || !plainName.MatchString(l.value) {
					r.add(name, how, l.value)
				}
				if !l.key {
					r.decode(name, l.value, depth-1)
				}
			}
			return
		}
	}
	r.add(name, how, text)
	r.decode(name, text, depth-1)
}

// cutJWT gives the header and claims of a token that consists of three parts.
func cutJWT(s string) (header, claims string, ok bool) {
	if !strings.HasPrefix(s, "eyJ") {
		return "", "", false
	}
	parts := strings.Split(s, ".")
	if len(parts) != 3 {
		return "", "", false
	}
	header, ok1 := fromBase64(parts[0])
	claims, ok2 := fromBase64(parts[1])
	return header, claims, ok1 && ok2
}

// fromPercent undoes one layer of percent encoding; what is none stays.
func fromPercent(s string) string {
	if !strings.Contains(s, "%") {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			if hi, lo := hexDigit(s[i+1]), hexDigit(s[i+2]); hi >= 0 && lo >= 0 {
				b = append(b, byte(hi<<4|lo))
				i += 2
				continue
			}
		}
		b = append(b, s[i])
	}
	return string(b)
}

// attackBytes are those without which a text can hardly be more than a text.
const attackBytes = "'\"<>(){}$;|`\\&\n\r="

// headers reads the Referer's query, and headers that are not part of HTTP's
// own grammar: applications put values into them as into parameters. agents is what
// is known of User-Agents.
func (r *reading) headers(c collection.Map, agents *recent) {
	for _, m := range c.FindAll() {
		name, value := strings.ToLower(m.Key()), m.Value()
		switch {
		case name == "referer":
			r.referer(value)
		case name == "user-agent":
			if !agents.ask(value, productList) {
				r.text(name, "header", value)
			}
		case len(value) < 4 || ownGrammar(name):
		case strings.Contains(value, "%") || telling(value):
			r.text(name, "header", fromPercent(value))
		case len(value) >= minBase64:
			r.decode(name, value, maxNested)
		}
	}
}

// telling says that a value has more to it than names, numbers and times have.
// The others come anew with every request, and would be judged anew.
func telling(s string) bool {
	if strings.ContainsAny(s, attackBytes+" ?*![") || s[0] == '/' || strings.Contains(s, "..") || strings.Contains(s, "://") || serialised(s) {
		return true
	}
	colon := strings.IndexByte(s, ':') // a scheme, or a drive
	return colon > 0 && strings.IndexFunc(s[:colon], func(r rune) bool { return r|0x20 < 'a' || r|0x20 > 'z' }) < 0
}

// serialised says that a value begins as objects of Java and .NET do when they
// are written as base64 or as digits: no byte of those gives them away.
func serialised(s string) bool {
	return strings.HasPrefix(s, "rO0AB") || strings.HasPrefix(s, "aced0005") || strings.HasPrefix(s, "AAEAAAD")
}

// ownGrammar names headers whose values have quotes, brackets and semicolons by
// their own grammar, and those that are judged elsewhere.
func ownGrammar(name string) bool {
	switch name {
	case "cookie", "host", "authorization", "proxy-authorization", "content-type", "content-disposition", "content-length",
		"cache-control", "connection", "keep-alive", "transfer-encoding", "te", "upgrade", "origin", "via", "forwarded", "link", "prefer",
		"etag", "if-match", "if-none-match", "if-modified-since", "if-unmodified-since", "if-range", "range", "expect", "pragma", "priority", "date",
		"traceparent", "tracestate", "baggage", "dpop", "x-client-data", "x-request-id", "save-data", "dnt", "digest", "content-digest", "signature", "signature-input":
		return true
	}
	return strings.HasPrefix(name, "accept") || strings.HasPrefix(name, "sec-") || strings.HasPrefix(name, "access-control-")
}

// productList says that a User-Agent is written as the grammar wants it: a
// product with its version, further products, and comments in brackets. A list
// of words is no product, and may be a command.
func productList(s string) bool {
	product, _, _ := strings.Cut(s, " ")
	_, version, ok := strings.Cut(product, "/")
	return ok && version != "" && (version[0] >= '0' && version[0] <= '9' || version[0] == 'v') && agentGrammar.MatchString(s)
}

var agentGrammar = regexp.MustCompile(`^(?:[\w.+:@!-]+(?:/[\w.+:@!,~()-]*)?|\((?:[\w\s.+:;,/@!?~%&=#-]|\([\w\s.+:;,/-]*\)|\[[\w\s.;,/:-]*\])*\)|\[[\w\s.+:;,/@-]*\])(?:[ ,]+(?:[\w.+:@!-]+(?:/[\w.+:@!,~()-]*)?|\((?:[\w\s.+:;,/@!?~%&=#-]|\([\w\s.+:;,/-]*\)|\[[\w\s.;,/:-]*\])*\)|\[[\w\s.+:;,/@-]*\]))*\s*$`)

// cookies reads cookies as parameters: most rules look at both, some at
// parameters only.
func (r *reading) cookies(c collection.Map) {
	r.arguments(c)
	for _, m := range c.FindAll() {
		value := m.Value()
		if strings.Contains(value, "%") {
			value = fromPercent(value)
		}
		if len(value) < 3 || !telling(value) {
			continue
		}
		how := "cookie"
		if got := howRead(r.v, m); got != "" {
			how += ", " + got
		}
		r.text(m.Key(), how, value)
	}
}

// referer reads the query of the page a request came from as parameters: pages
// use it again, and an attack on a page is in the next request's Referer.
func (r *reading) referer(value string) {
	_, query, ok := strings.Cut(value, "?")
	if !ok {
		return
	}
	query, _, _ = strings.Cut(query, "#")
	for pair := range strings.SplitSeq(query, "&") {
		name, raw, _ := strings.Cut(pair, "=")
		if raw == "" {
			name, raw = "", name
		}
		text := fromPercent(strings.ReplaceAll(raw, "+", " "))
		if name = fromPercent(name); name == "" || len(name) > maxName {
			name = "referer"
		}
		if len(text) > 1 {
			r.text(name, "Referer", text)
		}
	}
}

// path reads segments of the path that are more than names, each decoded by
// itself: an encoded slash is part of a segment. Where a segment cannot be told
// from several the whole path is a value, too.
func (r *reading) path(path string) {
	if !strings.ContainsAny(path, attackBytes+"%, ") && !strings.Contains(path, "..") && !strings.Contains(path, "/rO0") && !strings.Contains(path, "/aced") {
		return
	}
	for s := range strings.SplitSeq(path, "/") {
		if s = fromPercent(s); len(s) > 2 && (strings.ContainsAny(s, attackBytes+", /:?*") || serialised(s)) {
			r.text("path", "path", s)
		}
	}
	path = fromPercent(path)
	if strings.Contains(path, "..") || strings.Contains(path, "//") || strings.ContainsAny(path, "'\"<>(){};|`") {
		r.add("path", "path", strings.TrimPrefix(path, "/"))
	}
}
