package waf

import (
	"encoding/xml"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// bodyKind is what a request body is, whatever its header calls it.
type bodyKind int

const (
	bodyEngine bodyKind = iota // the engine's own parser for its declared type: form, multipart, declared JSON
	bodyJSON
	bodyLines // JSON, one a line
	bodyXML
	bodyForm
	bodyText
	bodyBinary
)

// formShape is a body that can only be meant as a form.
var formShape = regexp.MustCompile(`^[\w.~%+\[\]$-]{1,128}=[^&=\s{}<>"]*(?:&[\w.~%+\[\]$-]{1,128}=[^&=\s{}<>"]*)*$`)

// kindOf decides by the declared type where it has a parser, and by content
// where it says little. Nothing is read as a form by default: text with an
// ampersand in it would become parameters that nobody sent.
func kindOf(declared string, body string) bodyKind {
	media, _, _ := strings.Cut(strings.ToLower(declared), ";")
	media, _, _ = strings.Cut(media, ",")
	media = strings.TrimSpace(media)
	switch {
	case media == "multipart/form-data":
		return bodyEngine
	case media == "application/x-www-form-urlencoded":
		if looksJSON(body) && validJSON(body) {
			return bodyJSON
		}
		return bodyEngine
	case strings.HasSuffix(media, "/xml") || strings.HasSuffix(media, "+xml"):
		return bodyXML
	}
	switch {
	case looksJSON(body) && validJSON(body):
		if strings.HasSuffix(media, "/json") || strings.HasSuffix(media, "+json") {
			return bodyEngine
		}
		return bodyJSON
	case looksJSON(body) && jsonLines(body, nil):
		return bodyLines
	case strings.HasSuffix(media, "/json") || strings.HasSuffix(media, "+json"):
		return bodyEngine // which says that it is malformed
	case isBinary(body):
		return bodyBinary
	case looksXML(body):
		return bodyXML
	case len(body) < 16<<10 && formShape.MatchString(strings.TrimSpace(body)):
		return bodyForm
	}
	return bodyText
}

var xmlStart = regexp.MustCompile(`^\s*(?:<\?xml\b|<!DOCTYPE\s|<([A-Za-z][\w.:-]*)[\s/>])`)

// looksXML says that a text is an XML document, and none of HTML: that is left a
// text, so that its tags are judged.
func looksXML(body string) bool {
	m := xmlStart.FindStringSubmatch(body)
	if m == nil || !strings.HasSuffix(strings.TrimSpace(body), ">") {
		return false
	}
	switch root := strings.ToLower(m[1]); root {
	case "":
		return !strings.Contains(strings.ToLower(body[:min(len(body), 64)]), "html")
	case "html", "head", "body", "script", "svg", "img", "iframe", "object", "embed", "form", "input", "a", "b", "i", "p", "div", "span", "style", "link", "meta",
		"base", "table", "video", "audio", "source", "details", "marquee", "math", "math:math", "isindex", "x", "button", "select", "textarea", "template", "noscript", "frameset", "applet":
		return false
	}
	return strings.Contains(body, "</"+m[1]) || strings.HasSuffix(strings.TrimSpace(body), "/>")
}

func looksJSON(body string) bool {
	t := strings.TrimLeft(body, " \t\r\n\ufeff")
	return t != "" && (t[0] == '{' || t[0] == '[')
}

func validJSON(body string) bool {
	return validLeaves(strings.TrimPrefix(body, "\ufeff"), "", 128, 1<<20)
}

// jsonLines says that every line is JSON, and gives each to f.
func jsonLines(body string, f func(line int, leaves []jsonLeaf)) bool {
	n := 0
	for line := range strings.SplitSeq(body, "\n") {
		if strings.TrimSpace(line) == "" {
			continue
		}
		leaves, ok := jsonLeaves(line, "json."+strconv.Itoa(n), 64, 1<<20)
		if !ok {
			return false
		}
		if f != nil {
			f(n, leaves)
		}
		n++
	}
	return n > 0
}

// isBinary says that a body is not text: control characters that no text has, or
// bytes that are no UTF-8.
func isBinary(body string) bool {
	head := body[:min(len(body), 4096)]
	odd := 0
	for i := 0; i < len(head); {
		c := head[i]
		if c < 0x80 {
			if c == 0 {
				return true
			}
			if c < ' ' && c != '\t' && c != '\n' && c != '\r' || c == 0x7f {
				odd++
			}
			i++
			continue
		}
		r, n := utf8.DecodeRuneInString(head[i:])
		if r == utf8.RuneError && n == 1 {
			odd++
		}
		i += n
	}
	return odd > 0 && odd*32 >= len(head)
}

// readBody shows the engine a body by what it is. shown says that it needs no
// further parser.
func (t *Transaction) readBody(body string) (shown bool) {
	v := t.variables()
	if v == nil {
		return false
	}
	declared := ""
	if h := v.RequestHeaders().Get("content-type"); len(h) > 0 {
		declared = h[0]
	}
	limit := t.engine.config.Settings.MaxArguments
	kind := kindOf(declared, body)
	if kind == bodyEngine {
		if strings.HasPrefix(strings.ToLower(strings.TrimSpace(declared)), "multipart/") {
			t.readParts(declared, body)
		}
		return false
	}
	set(v.RequestBodyProcessor(), "")
	switch kind {
	case bodyJSON:
		set(v.RequestBodyProcessor(), "JSON")
		leaves, ok := jsonLeaves(strings.TrimPrefix(body, "\ufeff"), "json", t.engine.config.Settings.JSONDepth, 1<<20)
		t.addLeaves(leaves, limit)
		if !ok {
			t.unreadable("JSON is nested too deep")
		}
	case bodyLines:
		set(v.RequestBodyProcessor(), "JSON")
		jsonLines(body, func(_ int, leaves []jsonLeaf) { t.addLeaves(leaves, limit) })
	case bodyXML:
		set(v.RequestBodyProcessor(), "XML")
		t.readXML(body)
	case bodyForm:
		set(v.RequestBodyProcessor(), "URLENCODED")
		set(v.RequestBody(), body)
		for pair := range strings.SplitSeq(strings.TrimSpace(body), "&") {
			name, value, _ := strings.Cut(pair, "=")
			t.addArgument(fromPercent(strings.ReplaceAll(name, "+", " ")), fromPercent(strings.ReplaceAll(value, "+", " ")))
		}
	case bodyText:
		set(v.RequestBody(), body)
		t.addArgument("body", body)
	}
	return true
}

// unreadable notes what the engine notes when its own parsers give up.
func (t *Transaction) unreadable(why string) {
	v := t.variables()
	set(v.RequestBodyError(), "1")
	set(v.RequestBodyErrorMsg(), why)
	set(v.RequestBodyProcessorError(), "1")
	set(v.RequestBodyProcessorErrorMsg(), why)
}

// set writes a variable that rules only read.
func set(variable any, value string) {
	if s, ok := variable.(interface{ Set(string) }); ok {
		s.Set(value)
	}
}

// argumentAdder is what the engine's transaction offers for bodies it did not
// parse. It counts against the limit of arguments.
type argumentAdder interface {
	AddPostRequestArgument(key, value string)
}

// addArgument gives each value a name of its own in memory, see reading.add.
func (t *Transaction) addArgument(name, value string) {
	if a, ok := t.tx.(argumentAdder); ok {
		a.AddPostRequestArgument(strings.Clone(name), value)
	}
}

func (t *Transaction) addLeaves(leaves []jsonLeaf, limit int) {
	for i, l := range leaves {
		if l.key {
			continue
		}
		if i > 2*limit {
			break // the engine has noted that there were too many
		}
		t.addArgument(l.path, l.value)
	}
}

// readXML shows the text of elements, the values of attributes and the document
// type with its entities: rules look at XML:/*.
func (t *Transaction) readXML(body string) {
	v := t.variables()
	d := xml.NewDecoder(strings.NewReader(body))
	d.Strict = false
	d.AutoClose = xml.HTMLAutoClose
	d.Entity = xml.HTMLEntity
	d.CharsetReader = func(_ string, r io.Reader) (io.Reader, error) { return r, nil }
	var texts, attributes []string
	for {
		token, err := d.RawToken()
		if err != nil && err != io.EOF {
			if len(texts)+len(attributes) == 0 {
				t.unreadable(fmt.Sprintf("XML: %v", err))
			} else {
				// What follows is not XML: it is judged as text.
				texts = append(texts, body[min(int(d.InputOffset()), len(body)):])
			}
			break
		}
		switch tok := token.(type) {
		case xml.StartElement:
			for _, a := range tok.Attr {
				attributes = append(attributes, a.Value)
			}
		case xml.CharData:
			if s := strings.TrimSpace(string(tok)); s != "" {
				texts = append(texts, s)
			}
		case xml.Directive:
			texts = append(texts, "<!"+string(tok)+">")
		}
		if token == nil || err == io.EOF {
			break
		}
	}
	v.RequestXML().Set("//@*", attributes)
	v.RequestXML().Set("/*", append(texts, attributes...))
}

// maxUpload bounds what of an uploaded file is looked at, in bytes.
const maxUpload = 32 << 10

// readParts adds what the engine's parser for multipart bodies leaves out: the
// names of files as values, every spelling of them, and the content of files
// that begin or go on like code.
func (t *Transaction) readParts(declared, body string) {
	_, params, err := mime.ParseMediaType(declared)
	if err != nil || params["boundary"] == "" {
		return
	}
	r := reading{v: t.variables()}
	parts := multipart.NewReader(strings.NewReader(body), params["boundary"])
	content := make([]byte, min(maxUpload, len(body)))
	for range 1000 {
		p, err := parts.NextRawPart()
		if err != nil {
			return
		}
		disposition := p.Header.Get("Content-Disposition")
		names := fileNames(disposition)
		if len(names) == 0 {
			continue
		}
		field := p.FormName()
		for _, n := range names {
			r.add(field, "file name", n)
			r.decode(field, n, 1)
		}
		n, _ := io.ReadFull(p, content) // of a part that breaks off, what is there
		if text := string(content[:n]); scripted(text) {
			r.v.FilesTmpContent().Add(strings.Clone(field), text)
		}
	}
}

// scripted says that a file has what the rules about uploaded scripts begin
// with: matching them on every picture would cost ten times what the rest does.
func scripted(text string) bool {
	if strings.HasPrefix(text, "#!") {
		return true
	}
	for at := 0; ; {
		i := strings.IndexByte(text[at:], '<')
		if i < 0 {
			break
		}
		at += i + 1
		if opensScript(text[at:min(len(text), at+maxOpening)]) {
			return true
		}
	}
	for at := 0; ; {
		i := strings.IndexByte(text[at:], '(')
		if i < 0 {
			return false
		}
		if endsInCall(text[max(0, at+i-20) : at+i]) {
			return true
		}
		at += i + 1
	}
}

// endsInCall looks at what stands before a bracket.
func endsInCall(s string) bool {
	s = strings.TrimRight(s, " \t\r\n")
	for _, call := range []string{"eval", "assert", "system", "passthru", "shell_exec"} {
		if len(s) >= len(call) && strings.EqualFold(s[len(s)-len(call):], call) {
			return true
		}
	}
	return false
}

// maxOpening is how far behind a less-than sign what makes a script of it stands.
const maxOpening = 430

// opensScript looks at what follows a less-than sign.
func opensScript(s string) bool {
	if s == "" || strings.IndexByte("?%sSjJ!", s[0]) < 0 {
		return false // most of what is in a picture
	}
	switch s[0] {
	case '?':
		return opensPHP(s[1:])
	case '%':
		return opensPage(s)
	}
	return startsWithAny(s, "script", "svg", "jsp:", "!--#")
}

// opensPHP looks at what follows a question mark.
func opensPHP(s string) bool {
	if startsWithAny(s, "php", "=") {
		return true
	}
	return startsWithAny(strings.TrimLeft(s, " \t\r\n\f\v"), "eval", "system", "assert", "echo", "@")
}

// opensPage looks at what follows a less-than sign and is JSP or ASP if it is
// more than noise: text that goes on to something worth calling.
func opensPage(s string) bool {
	if len(s) <= 3 || strings.IndexByte("@=! \t\r\n('\"$_/-", s[1]) < 0 && (s[1]|0x20 < 'a' || s[1]|0x20 > 'z') || !isText([]byte(s[2:4]), false) {
		return false
	}
	s = strings.ToLower(s)
	return slices.ContainsFunc(pageCalls, func(call string) bool { return strings.Contains(s, call) })
}

var pageCalls = strings.Fields("runtime processbuilder eval request exec createobject server. import")

// startsWithAny compares without regard to case; the starts are in lower case.
func startsWithAny(s string, starts ...string) bool {
	return slices.ContainsFunc(starts, func(start string) bool {
		return len(s) >= len(start) && strings.EqualFold(s[:len(start)], start)
	})
}

var fileName = regexp.MustCompile(`(?i)filename(\*\d*\*?)?\s*=\s*("(?:[^"\\]|\\.)*"|[^;]*)`)

// fileNames gives every file name that a Content-Disposition may be read to say.
func fileNames(disposition string) (out []string) {
	for _, m := range fileName.FindAllStringSubmatch(disposition, 8) {
		name := strings.Trim(strings.TrimSpace(m[2]), `"`)
		if m[1] != "" {
			if parts := strings.SplitN(name, "'", 3); len(parts) == 3 {
				name = parts[2]
			}
			name = fromPercent(name)
		}
		if name != "" {
			out = append(out, name)
		}
	}
	return out
}
