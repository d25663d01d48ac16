package apiguard

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/gabion-io/gabion/api-discovery"
	"github.com/gabion-io/gabion/internal/exchange"
)

var (
	errNoPath   = errors.New("no operation has the path")
	errNoMethod = errors.New("no operation of the path has the method")
)

// maxSegments bounds the segments of a path that is looked at, as the inventory does.
const maxSegments = 32

// node is what may follow some beginning of a path.
type node struct {
	words map[string]*node
	holes []hole // the most said first: "{id}.json" before "{id}"
	rest  leaf   // of operations that take the rest of the path from here on
	ends  [2]leaf
}

// hole is a segment with a value in it.
type hole struct {
	head, tail string
	next       *node
}

// leaf is the operations of one path, by method.
type leaf map[string]*operation

// found is an operation with the values of its holes.
type found struct {
	op     *operation
	values []string
}

// add files an operation under its template.
func (n *node) add(t apidiscovery.PathTemplate, method string, op *operation) error {
	segments, slash := split(t.String())
	for i, s := range segments {
		open := strings.IndexByte(s, '{')
		if open < 0 {
			n = n.word(exchange.Unescape(s))
			continue
		}
		if strings.HasSuffix(s, "*}") {
			if open > 0 || i < len(segments)-1 {
				return fmt.Errorf("%s: a hole that takes the rest stands alone, and last", t)
			}
			n.rest.put(method, op)
			return nil
		}
		end := strings.IndexByte(s, '}')
		if strings.IndexByte(s[end:], '{') >= 0 {
			return fmt.Errorf("%s: two holes in one segment cannot be told apart", t)
		}
		n = n.hole(exchange.Unescape(s[:open]), exchange.Unescape(s[end+1:]))
	}
	n.ends[slash].put(method, op)
	return nil
}

// put: of two operations with one method and template the later holds.
func (l *leaf) put(method string, op *operation) {
	if *l == nil {
		*l = leaf{}
	}
	(*l)[method] = op
}

func (n *node) word(s string) *node {
	if n.words == nil {
		n.words = map[string]*node{}
	}
	if n.words[s] == nil {
		n.words[s] = &node{}
	}
	return n.words[s]
}

func (n *node) hole(head, tail string) *node {
	for _, h := range n.holes {
		if h.head == head && h.tail == tail {
			return h.next
		}
	}
	next := &node{}
	n.holes = append(n.holes, hole{head, tail, next})
	slices.SortStableFunc(n.holes, func(a, b hole) int { return len(b.head) + len(b.tail) - len(a.head) - len(a.tail) })
	return next
}

// find looks for the operation of a request, as the inventory tells paths apart:
// words before holes, and what ends in a slash apart, where there is such a one.
func (n *node) find(path, method string) (found, error) {
	segments, slash := split(path)
	s := search{method: method, slash: slash, err: errNoPath}
	if len(segments) <= maxSegments {
		s.walk(n, segments, nil)
	}
	return s.out, s.err
}

// search is one look for an operation.
type search struct {
	method string
	slash  int
	out    found
	err    error
	steps  int
}

// maxSteps bounds going back, for templates made to make it long.
const maxSteps = 10_000

// walk is true when the search is over.
func (s *search) walk(n *node, rest, values []string) bool {
	if s.steps++; s.steps > maxSteps {
		return true
	}
	if len(rest) == 0 {
		return s.take(n.ends[s.slash], values) || s.take(n.ends[1-s.slash], values) || s.take(n.rest, append(values, ""))
	}
	text := plainSegment(rest[0])
	if next := n.words[text]; next != nil && s.walk(next, rest[1:], values) {
		return true
	}
	for _, h := range n.holes {
		inner, ok := between(text, h.head, h.tail)
		if ok && s.walk(h.next, rest[1:], append(slices.Clip(values), inner)) {
			return true
		}
	}
	return s.take(n.rest, append(slices.Clip(values), strings.Join(rest, "/")))
}

func (s *search) take(l leaf, values []string) bool {
	if len(l) == 0 {
		return false
	}
	op := l[s.method]
	if op == nil && s.method == "HEAD" {
		op = l["GET"]
	}
	if op == nil {
		s.err = errNoMethod
		return false
	}
	s.out, s.err = found{op, values}, nil
	return true
}

func between(text, head, tail string) (string, bool) {
	if len(text) <= len(head)+len(tail) || !strings.HasPrefix(text, head) || !strings.HasSuffix(text, tail) {
		return "", false
	}
	return text[len(head) : len(text)-len(tail)], true
}

// split takes a path apart; slash is 1 when it ends in one.
func split(path string) (segments []string, slash int) {
	path = strings.TrimPrefix(exchange.OriginForm(path), "/")
	if strings.HasSuffix(path, "/") {
		path, slash = strings.TrimSuffix(path, "/"), 1
	}
	if path == "" {
		return nil, slash
	}
	return strings.Split(path, "/"), slash
}

// plainSegment is a segment of a request without its matrix parameters, decoded
// by itself, so that an escaped slash stays inside.
func plainSegment(s string) string {
	if i := strings.IndexByte(s, ';'); i > 0 {
		s = s[:i]
	}
	return exchange.Unescape(s)
}
