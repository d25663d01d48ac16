package exchange

import (
	"encoding/json"
	"strconv"
	"unicode/utf8"
)

// append writes what json.Marshal does. Every request pays for it, so all but what
// comes with bodies that are looked into is written without reflection.
func (f *Facts) append(b []byte) ([]byte, error) {
	w := factsWriter{b: append(b, '{')}
	if len(f.Params) > 0 {
		w.key("params")
		w.list(len(f.Params), func(i int) { w.param(&f.Params[i]) })
	}
	if len(f.Auth) > 0 {
		w.key("auth")
		w.list(len(f.Auth), func(i int) { w.auth(&f.Auth[i]) })
	}
	if f.Caller != (CallerSeen{}) {
		w.key("caller")
		w.b = append(w.b, '{')
		w.text("k", f.Caller.Kind)
		w.number("h", f.Caller.Hash)
		w.text("n", f.Caller.Name)
		w.b = append(w.b, '}')
	}
	w.content("request", &f.Request)
	w.content("response", &f.Response)
	w.text("protocol", f.Protocol)
	w.text("streaming", f.Streaming)
	if len(f.Calls) > 0 {
		w.value("calls", f.Calls)
	}
	return append(w.b, '}'), w.err
}

// factsWriter appends members; those that are empty are left out.
type factsWriter struct {
	b   []byte
	err error
}

func (w *factsWriter) key(name string) {
	if w.b[len(w.b)-1] != '{' {
		w.b = append(w.b, ',')
	}
	w.b = append(w.b, '"')
	w.b = append(w.b, name...)
	w.b = append(w.b, '"', ':')
}

func (w *factsWriter) list(n int, one func(int)) {
	w.b = append(w.b, '[')
	for i := range n {
		if i > 0 {
			w.b = append(w.b, ',')
		}
		one(i)
	}
	w.b = append(w.b, ']')
}

func (w *factsWriter) text(name, s string) {
	if s == "" {
		return
	}
	w.key(name)
	w.string(s)
}

// string leaves what needs escapes, or may, to the json package.
func (w *factsWriter) string(s string) {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c >= utf8.RuneSelf || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			w.marshal(s)
			return
		}
	}
	w.b = append(w.b, '"')
	w.b = append(w.b, s...)
	w.b = append(w.b, '"')
}

func (w *factsWriter) number(name string, n uint64) {
	if n == 0 {
		return
	}
	w.key(name)
	w.b = strconv.AppendUint(w.b, n, 10)
}

func (w *factsWriter) yes(name string, v bool) {
	if v {
		w.key(name)
		w.b = append(w.b, "true"...)
	}
}

func (w *factsWriter) value(name string, v any) {
	w.key(name)
	w.marshal(v)
}

func (w *factsWriter) marshal(v any) {
	text, err := json.Marshal(v)
	if err != nil && w.err == nil {
		w.err = err
	}
	w.b = append(w.b, text...)
}

func (w *factsWriter) param(p *ParamSeen) {
	w.b = append(w.b, '{')
	w.key("in")
	w.string(p.In)
	w.key("n")
	w.string(p.Name)
	w.seen(&p.Value)
	w.yes("r", p.Repeated)
	w.text("li", p.Listed)
	w.yes("d", p.Deep)
	if p.Position != 0 {
		w.value("po", p.Position)
	}
	if len(p.More) > 0 {
		w.value("m", p.More)
	}
	w.b = append(w.b, '}')
}

// seen writes the members of v into the object that is open.
func (w *factsWriter) seen(v *Value) {
	w.key("k")
	w.string(v.Kind.String())
	w.key("h")
	w.b = strconv.AppendUint(w.b, v.Hash, 10)
	w.text("t", v.Text)
	w.text("p", v.Prefix)
	if v.Length != 0 {
		w.key("l")
		w.b = strconv.AppendInt(w.b, int64(v.Length), 10)
	}
	if v.Sensitive != 0 {
		w.key("x")
		w.string(v.Sensitive.String())
	}
}

func (w *factsWriter) auth(a *AuthSeen) {
	w.b = append(w.b, '{')
	w.key("k")
	w.string(a.Kind)
	w.text("s", a.Scheme)
	w.text("f", a.Format)
	w.text("in", a.In)
	w.text("n", a.Name)
	w.text("i", a.Issuer)
	w.text("a", a.Audience)
	w.text("g", a.Alg)
	if len(a.Weak) > 0 {
		w.value("w", a.Weak)
	}
	w.b = append(w.b, '}')
}

func (w *factsWriter) content(name string, c *Content) {
	if *c == (Content{}) {
		return
	}
	w.key(name)
	w.b = append(w.b, '{')
	w.text("m", c.MediaType)
	if c.Shape != nil {
		w.value("s", c.Shape)
	}
	w.yes("p", c.Present)
	w.b = append(w.b, '}')
}
