package exchange

import (
	"net/url"
	"slices"
	"strings"

	"github.com/gabion-io/gabion/internal/sensitive"
)

// Door turns exchanges into observations: where values stop. It has no state but
// its key and may be used by many goroutines.
type Door struct {
	Key     Key
	Service string // of every observation; "" takes the host
	Limits  Limits // of bodies
	Names   *Names // nil: all are looked up each time
	Facts   bool   // what Facts take is all that is wanted: parameters of the query are passed over
}

// Bounds of one observation; what is beyond is left out.
const (
	maxPathSegments = 32
	maxParams       = 128
	maxParamName    = 128
)

// Observe fills o from r; the slices of o are used again. The observation holds
// no reference to r's bodies, but its texts are parts of r's path and headers.
func (d *Door) Observe(r *Raw, o *Observation) {
	segments, params, auth := o.Segments[:0], o.Params[:0], o.Auth[:0]
	*o = Observation{Time: r.Time, Service: d.Service, Method: method(r.Method), Segments: segments, Params: params, Auth: auth,
		Status: r.Status, Duration: r.Duration, Blocked: r.Blocked, Failed: r.Failed, Static: r.Static, Suspect: r.Suspect,
		BytesIn: size(&r.Request), BytesOut: size(&r.Response)}
	if o.Service == "" {
		o.Service = MaskHost(r.Host)
	}
	path, query, _ := strings.Cut(r.Path, "?")
	path, _, _ = strings.Cut(path, "#")
	query, _, _ = strings.Cut(query, "#")
	d.path(path, o)
	d.query(query, o)
	facts := d.headers(r, o)
	d.identify(r, o, facts)
	d.contents(r, o, facts)
}

func size(m *RawMessage) int64 {
	return max(m.Size, int64(len(m.Body)))
}

// method keeps the registered methods and what looks like one.
func method(s string) string {
	if len(s) > 20 {
		return "OTHER"
	}
	for i := range len(s) {
		if !isLetter(s[i]) && s[i] != '-' {
			return "OTHER"
		}
	}
	return strings.ToUpper(s)
}

// OriginForm takes scheme and authority off the path of a request target in absolute
// form.
func OriginForm(path string) string {
	i := strings.Index(path, "://")
	if i < 0 || i >= 8 {
		return path
	}
	rest := path[i+3:]
	if j := strings.IndexByte(rest, '/'); j >= 0 {
		return rest[j:]
	}
	return "/"
}

// path splits a path into segments. Each segment is decoded alone, so that an
// escaped slash stays inside its segment. "." and ".." mean what they mean to
// those who send and route them (RFC 3986, 5.2.4).
func (d *Door) path(path string, o *Observation) {
	path = strings.TrimPrefix(OriginForm(path), "/")
	if strings.HasSuffix(path, "/") && path != "/" {
		o.Slash = true
		path = strings.TrimSuffix(path, "/")
	}
	for path != "" {
		segment, rest, _ := strings.Cut(path, "/")
		path = rest
		switch segment {
		case ".":
			continue
		case "..":
			o.Segments = o.Segments[:max(0, len(o.Segments)-1)]
			continue
		}
		if len(o.Segments) == maxPathSegments {
			o.Segments = append(o.Segments, Segment{Value: Value{Kind: KindURI, Hash: d.Key.Hash(rest)}})
			return
		}
		if semi := strings.IndexByte(segment, ';'); semi >= 0 {
			segment = d.matrix(segment, semi, o)
		}
		o.Segments = append(o.Segments, d.segment(Unescape(segment)))
	}
}

// matrix takes ";name=value" off a segment. When nothing stands before it, the
// value is the segment's: OpenAPI's matrix style.
func (d *Door) matrix(segment string, semi int, o *Observation) string {
	base, rest := segment[:semi], segment[semi+1:]
	for rest != "" && len(o.Params) < maxParams {
		var pair string
		pair, rest, _ = strings.Cut(rest, ";")
		name, value, _ := strings.Cut(pair, "=")
		if name == "" {
			continue
		}
		f := d.Names.of("matrix", Unescape(name))
		p := ParamSeen{In: "matrix", Name: f.shown, Position: len(o.Segments)}
		value = Unescape(value)
		whole := value
		if i := strings.IndexByte(value, ','); i > 0 {
			p.Listed, p.More = "form", d.more(value[i+1:], ",")
			value = value[:i]
		}
		p.Value = d.Value(value)
		if base == "" && rest == "" {
			return whole
		}
		p.withoutNames(f)
		o.Params = append(o.Params, p)
	}
	return base
}

// segment finds the parts of a decoded segment.
func (d *Door) segment(s string) Segment {
	head, base, suffix := "", s, ""
	if n := len(s); n > 2 && s[n-1] == ')' {
		if open := strings.IndexByte(s, '('); open > 0 && isKeyed(s[:open], s[open+1:n-1]) {
			head, base, suffix = s[:open+1], strings.Trim(s[open+1:n-1], "'"), ")"
		}
	} else if i := strings.LastIndexAny(s, ".:"); i > 0 {
		if s[i] == '.' && isExtension(s[i+1:]) || s[i] == ':' && isVerb(s[i+1:]) && strings.IndexByte(s[:i], ':') < 0 {
			base, suffix = s[:i], s[i:]
		}
	}
	g := Segment{Head: head, Suffix: suffix}
	if i := strings.IndexByte(base, ','); head == "" && i > 0 && i < len(base)-1 {
		g.Listed, g.More = true, d.more(base[i+1:], ",")
		base = base[:i]
	}
	g.Value = d.Value(base)
	if g.Sensitive = carries(g.Kind, base, sensitive.Field{}); g.Sensitive != sensitive.None && g.Kind.Fixed() {
		g.Kind, g.Text = KindToken, "" // it is somebody's, and so no word of the API
	}
	return g
}

// isKeyed: an entity set and its key as OData writes them, "Users(5)",
// "Users('anna')" or "Lines(order=7,line=2)". Other parentheses are part of a name.
func isKeyed(set, key string) bool {
	if KindOf(set) != KindWord || !isLetter(set[len(set)-1]) || len(key) == 0 {
		return false
	}
	switch KindOf(key) {
	case KindSmall, KindNumber, KindUUID:
		return true
	}
	if name, _, several := strings.Cut(key, "="); several {
		return KindOf(name) == KindWord
	}
	return len(key) > 2 && strings.IndexByte(key, '\'') < len(key)-1 && key[len(key)-1] == '\'' // also guid'…'
}

// isExtension: the formats that APIs offer by extension. A dot in a name that is
// none ("octocat.github.io", "v1.2.3") belongs to the name.
func isExtension(s string) bool {
	switch s {
	case "json", "xml", "csv", "tsv", "yaml", "yml", "html", "htm", "txt", "pdf", "rss", "atom", "ics", "jsonp", "geojson", "ndjson",
		"js", "css", "map", "png", "jpg", "jpeg", "gif", "svg", "webp", "ico", "woff", "woff2", "ttf", "mp3", "mp4", "m3u8", "ts", "wasm",
		"php", "asp", "aspx", "jsp", "do", "action", "cgi", "asmx", "svc", "ashx", "zip", "gz", "tar", "diff", "patch", "md", "xlsx", "docx":
		return true
	}
	return false
}

// isVerb: a custom method after a colon, "batchGet".
func isVerb(s string) bool {
	if len(s) < 3 || len(s) > 40 || s[0] < 'a' || s[0] > 'z' {
		return false
	}
	for i := range len(s) {
		if !isLetter(s[i]) {
			return false
		}
	}
	return true
}

// Value classifies and hashes one decoded value.
func (d *Door) Value(s string) Value {
	v := Value{Kind: KindOf(s), Hash: d.Key.Hash(s), Length: len(s)}
	switch {
	case v.Kind.Fixed():
		if len(s) <= maxFixed {
			v.Text = s
		} else {
			v.Kind = KindToken
		}
	case v.Kind == KindPrefixed:
		v.Prefix = Prefix(s)
	}
	if len(s) > 1 && s[0] == '0' && (v.Kind == KindSmall || v.Kind == KindNumber) {
		v.Prefix = leadingZero
	}
	return v
}

// leadingZero is the prefix of digits that begin with one: a code, no number.
const leadingZero = "0"

// maxMore is how many values of a list are looked at beside the first.
const maxMore = 31

// more are the values of what is left of a list; those of an empty place are none.
func (d *Door) more(rest, sep string) (list []Value) {
	for part := range strings.SplitSeq(rest, sep) {
		if len(list) == maxMore {
			break
		}
		if part != "" {
			list = append(list, d.Value(part))
		}
	}
	return list
}

// Unescape decodes percent escapes; what is malformed stays as it is.
func Unescape(s string) string {
	if strings.IndexByte(s, '%') < 0 {
		return s
	}
	if u, err := url.PathUnescape(s); err == nil {
		return u
	}
	return s
}

// UnescapeQuery decodes what stands in a query or a form; what is malformed stays as
// it is.
func UnescapeQuery(s string) string {
	if strings.IndexByte(s, '%') < 0 && strings.IndexByte(s, '+') < 0 {
		return s
	}
	if u, err := url.QueryUnescape(s); err == nil {
		return u
	}
	return s
}

// query reads parameters. A name that comes twice is one parameter that repeats.
func (d *Door) query(query string, o *Observation) {
	for query != "" && len(o.Params) < maxParams {
		var pair string
		pair, query, _ = strings.Cut(query, "&")
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		switch name = UnescapeQuery(name); {
		case isKeyName(name):
			d.queryKey(paramName(name), UnescapeQuery(value), o)
		case !d.Facts:
			d.param(d.Names.of("query", name), UnescapeQuery(value), o)
		}
	}
}

// queryKey notes a credential in the query; one that comes twice is one.
func (d *Door) queryKey(name, value string, o *Observation) {
	if !slices.ContainsFunc(o.Auth, func(a AuthSeen) bool { return a.Name == name }) {
		d.key(AuthSeen{Kind: "apiKey", In: "query", Name: name}, value, o)
	}
}

// param adds one parameter, or marks the one that is there as repeated.
func (d *Door) param(f *fieldName, value string, o *Observation) {
	if f.shown == "" {
		return
	}
	deep, indexed := f.form == deepName, f.form == indexedName
	for i := range o.Params {
		if p := &o.Params[i]; p.Name == f.shown && p.In == f.in {
			p.Repeated = true
			switch {
			case deep || len(p.More) >= maxMore:
			case p.Listed == "form" && strings.Contains(value, ","):
				p.More = append(p.More, d.more(value, ",")...)
			default:
				p.More = append(p.More, d.Value(value))
			}
			p.withoutNames(f)
			return
		}
	}
	p, whole := ParamSeen{In: f.in, Name: f.shown, Deep: deep, Repeated: indexed}, value
	if f.in == "query" && !strings.ContainsAny(value, " {\"") {
		for _, sep := range []struct{ at, style string }{{",", "form"}, {"|", "pipeDelimited"}} {
			if i := strings.Index(value, sep.at); i > 0 && i < len(value)-1 {
				p.Listed, p.More = sep.style, d.more(value[i+1:], sep.at)
				value = value[:i]
				break
			}
		}
	}
	p.Value = d.Value(value)
	kind := p.Kind
	if p.Listed != "" {
		kind = KindList
	}
	p.Sensitive = carries(kind, whole, f.field)
	p.withoutNames(f)
	o.Params = append(o.Params, p)
}

// nameForm is how a parameter's name is written.
type nameForm uint8

const (
	plainForm   nameForm = iota
	indexedName          // "a[0]": an element of the list a
	deepName             // "a[b][c]", or "a[4f9c…]": something in the object a
)

// bracketed masks a name as far as it is a value, and takes off what stands in its
// brackets, unless that is a word: "filter[state]" is a name of its own, of which
// an API has a few ("page[size]", "created[gte]").
func bracketed(name string) (string, nameForm) {
	open := strings.IndexByte(name, '[')
	if open <= 0 || strings.HasSuffix(name, "[]") || !strings.HasSuffix(name, "]") {
		return paramName(name), plainForm
	}
	base, key := paramName(name[:open]), name[open+1:len(name)-1]
	switch k := KindOf(key); {
	case strings.Trim(key, "0123456789") == "":
		return base, indexedName
	case base == "" || base[0] == '{' || len(name) > maxParamName || k != KindWord && k != KindMixed && k != KindVersion:
		return base, deepName
	}
	return base + name[open:], plainForm
}

// paramName masks a name that is a value.
func paramName(s string) string {
	if len(s) > maxParamName {
		return MaskToken
	}
	for i := range len(s) {
		if c := s[i]; !isLetter(c) && !isDigit(c) && !strings.ContainsRune("-_.[]$:@~!*", rune(c)) {
			return MaskValue
		}
	}
	inner := strings.TrimSuffix(s, "[]")
	switch k := KindOf(inner); k {
	case KindWord, KindMixed, KindVersion, KindBool, KindEmpty:
		return s
	case KindSmall, KindNumber:
		return MaskNumber
	case KindUUID:
		return MaskUUID
	case KindEmail:
		return MaskEmail
	}
	if len(inner) <= maxName && strings.Trim(inner, "0123456789") == inner { // long words of camelCase
		return s
	}
	return MaskToken
}
