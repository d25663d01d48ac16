package foreign

import (
	"regexp"
	"strings"

	"github.com/gabion-io/gabion/segmentation"
)

const (
	oneSegment  = `[^/?]+`
	anySegments = `(/[^?]*)?`
	query       = `(\?.*)?` // what is matched is the whole request target
)

// templateRegexp is a path template as an expression that matches a request's
// target from end to end.
func templateRegexp(t segmentation.PathTemplate) string {
	if t == "" {
		return ""
	}
	var b strings.Builder
	for _, s := range strings.Split(string(t), "/")[1:] {
		switch {
		case s == "**":
			b.WriteString(anySegments)
			continue
		case strings.HasPrefix(s, "{"):
			s = oneSegment
		default:
			s = regexp.QuoteMeta(s)
		}
		b.WriteString("/" + s)
	}
	return b.String() + query
}

// regexpTemplate is the template that an expression was made of; false: it is none
// that templateRegexp makes, or a plain path.
func regexpTemplate(expr string) (segmentation.PathTemplate, bool) {
	if expr == "" {
		return "", true
	}
	rest, _ := strings.CutSuffix(expr, query)
	deep := strings.HasSuffix(rest, anySegments)
	rest = strings.TrimSuffix(rest, anySegments)
	var out strings.Builder
	for rest != "" {
		var part string
		rest = strings.TrimPrefix(rest, "/")
		if after, one := strings.CutPrefix(rest, oneSegment); one {
			part, rest = "{any}", after
		} else {
			end := strings.IndexByte(rest, '/')
			if end < 0 {
				end = len(rest)
			}
			part, rest = rest[:end], rest[end:]
			plain := strings.ReplaceAll(part, `\`, "")
			if regexp.QuoteMeta(plain) != part {
				return "", false
			}
			part = plain
		}
		out.WriteString("/" + part)
	}
	if deep {
		out.WriteString("/**")
	}
	t := segmentation.PathTemplate(out.String())
	// Written again it must be the same, but for the query: nothing was misread.
	return t, t.Check() == "" && strings.TrimSuffix(templateRegexp(t), query) == strings.TrimSuffix(expr, query)
}
