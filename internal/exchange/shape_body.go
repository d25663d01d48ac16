package exchange

import (
	"bytes"
	"encoding/xml"
	"io"
	"mime"
	"mime/multipart"
	"strings"
)

// Shape of a body by its content type; nil when it is none that can be looked
// into, or is malformed.
func (d *Door) Shape(contentType string, body []byte) *Shape {
	l := d.Limits.orDefault()
	m := mediaType(contentType)
	var s *Shape
	var err error
	switch {
	case m == "application/json" || strings.HasSuffix(m, "+json") || m == "text/json" || m == "" && startsJSON(body):
		s, err = shapeJSON(body, l, d.Names)
	case m == "application/x-ndjson" || m == "application/jsonl" || m == "application/json-seq":
		s = shapeLines(body, l, d.Names)
	case m == "text/plain" || m == "text/csv" || m == "text/tab-separated-values":
		s = shapeText(body, l)
	case m == "application/x-www-form-urlencoded":
		s = shapeForm(body, l)
	case m == "multipart/form-data":
		s, err = shapeMultipart(contentType, body, l, d.Names)
	case m == "application/xml" || m == "text/xml" || strings.HasSuffix(m, "+xml") && m != "image/svg+xml" && m != "application/xhtml+xml":
		s, err = shapeXML(body, l)
	}
	if err != nil {
		return nil
	}
	return s
}

func startsJSON(b []byte) bool {
	b = bytes.TrimLeft(b, " \t\r\n")
	return len(b) > 0 && (b[0] == '{' || b[0] == '[')
}

// shapeLines is JSON, one text a line: an array in all but name.
func shapeLines(body []byte, l Limits, known *Names) *Shape {
	s := &Shape{Count: 1, Items: &Shape{}}
	s.Types[Array] = 1
	for line := range bytes.Lines(body) {
		line = bytes.Trim(line, "\x1e\r\n \t")
		if item, err := shapeJSON(line, l, known); err == nil {
			s.Items.Merge(item)
			s.Most++
		}
		if s.Most >= 100 {
			s.Cut = true
			break
		}
	}
	return s
}

// shapeText is a text of which only is known what sensitive data stands in it.
func shapeText(body []byte, l Limits) *Shape {
	s := &Shape{Count: 1}
	s.Types[String] = 1
	s.noteText("", string(body[:min(len(body), l.Bytes)]))
	return s
}

func shapeForm(body []byte, l Limits) *Shape {
	s := &Shape{Count: 1}
	s.Types[Object] = 1
	text := string(body[:min(len(body), l.Bytes)])
	for text != "" && len(s.Members) < maxMembers {
		var pair string
		pair, text, _ = strings.Cut(text, "&")
		name, value, _ := strings.Cut(pair, "=")
		if name = paramName(UnescapeQuery(name)); name != "" {
			s.put(name, func(m *Shape) {
				text := UnescapeQuery(value)
				m.scalarText(text, isTag(name))
				m.noteText(name, text)
			})
		}
	}
	s.finish()
	return s
}

// put notes a value under a name; a name that comes again makes an array.
func (s *Shape) put(name string, note func(*Shape)) {
	m := s.member(name)
	switch {
	case m.Types[Array] > 0:
		note(m.Items)
		m.Most++
	case m.Count > 0:
		items := *m
		*m = Shape{Count: 1, Items: &items, Most: 2}
		m.Types[Array] = 1
		note(m.Items)
	default:
		note(m)
	}
}

func shapeMultipart(contentType string, body []byte, l Limits, known *Names) (*Shape, error) {
	_, params, err := mime.ParseMediaType(contentType)
	if err != nil {
		return nil, err
	}
	s := &Shape{Count: 1}
	s.Types[Object] = 1
	r := multipart.NewReader(bytes.NewReader(body), params["boundary"])
	for len(s.Members) < maxMembers {
		p, err := r.NextRawPart()
		if err == io.EOF {
			break
		}
		if err != nil {
			s.Cut = true
			break
		}
		name := paramName(p.FormName())
		if name == "" {
			continue
		}
		file := p.FileName() != ""
		b, _ := io.ReadAll(io.LimitReader(p, int64(l.Bytes)))
		kind := mediaType(p.Header.Get("Content-Type"))
		s.put(name, func(m *Shape) {
			switch {
			case file || kind != "" && !strings.HasPrefix(kind, "text/") && kind != "application/json":
				m.Count++
				m.Types[String]++
				m.addKind(KindBinary, 1)
			case kind == "application/json":
				if j, err := shapeJSON(b, l, known); err == nil {
					m.Merge(j)
				}
			default:
				m.scalarText(string(b), isTag(name))
				m.noteText(name, string(b))
			}
		})
	}
	s.finish()
	return s, nil
}

// shapeXML makes an object of each element: attributes with an @, child elements
// by their local name, text as "#text" beside them.
func shapeXML(body []byte, l Limits) (*Shape, error) {
	d := xml.NewDecoder(io.LimitReader(bytes.NewReader(body), int64(l.Bytes)))
	d.Strict = false
	d.CharsetReader = func(_ string, r io.Reader) (io.Reader, error) { return r, nil }
	nodes := 0
	for {
		t, err := d.Token()
		if err != nil {
			return nil, err
		}
		if e, ok := t.(xml.StartElement); ok {
			s := &Shape{Count: 1}
			s.Types[Object] = 1
			inner := s.member(elementName(e.Name.Local))
			err := shapeElement(d, e, inner, 1, &nodes, l)
			if err != nil && len(body) <= l.Bytes {
				return nil, err
			}
			s.Cut = err != nil
			return s, nil
		}
	}
}

func elementName(s string) string {
	if isMemberName(s) {
		return s
	}
	return MaskValue
}

func shapeElement(d *xml.Decoder, e xml.StartElement, s *Shape, depth int, nodes *int, l Limits) error {
	var text strings.Builder
	one := &Shape{}
	for _, a := range e.Attr {
		if a.Name.Space == "xmlns" || a.Name.Local == "xmlns" {
			continue
		}
		one.put("@"+elementName(a.Name.Local), func(m *Shape) {
			m.scalarText(a.Value, isTag(a.Name.Local))
			m.noteText(a.Name.Local, a.Value)
		})
	}
	for {
		t, err := d.Token()
		if err != nil {
			return err
		}
		switch t := t.(type) {
		case xml.CharData:
			if text.Len() < 256 {
				text.Write(t)
			}
		case xml.StartElement:
			*nodes++
			if depth >= l.Depth || *nodes > l.Nodes || len(one.Members) >= maxMembers {
				one.Cut = true
				if err := d.Skip(); err != nil {
					return err
				}
				continue
			}
			var inner error
			one.put(elementName(t.Name.Local), func(m *Shape) { inner = shapeElement(d, t, m, depth+1, nodes, l) })
			if inner != nil {
				return inner
			}
		case xml.EndElement:
			v := strings.TrimSpace(text.String())
			if len(one.Members) == 0 {
				s.scalarText(v, isTag(e.Name.Local))
				s.noteText(e.Name.Local, v)
				return nil
			}
			if v != "" {
				one.put("#text", func(m *Shape) { m.scalarText(v, false) })
			}
			one.Count, one.Types[Object] = 1, 1
			one.finish()
			s.Merge(one)
			return nil
		}
	}
}
