package openapi

import (
	"bytes"
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// The document is a tree of YAML nodes, because they keep the order of keys and
// the kind of scalars ("200" is a text). These make it.

// object makes a mapping of keys and values in turn.
func object(pairs ...any) *yaml.Node {
	n := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
	for i := 0; i+1 < len(pairs); i += 2 {
		add(n, pairs[i].(string), pairs[i+1].(*yaml.Node))
	}
	return n
}

func add(n *yaml.Node, key string, value *yaml.Node) {
	n.Content = append(n.Content, text(key), value)
}

func array() *yaml.Node { return &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq"} }

// text quotes what some reader would take for something else than a text: YAML
// 1.1, which many still read, has more words for true and false, numbers of base
// sixty, and keys with a meaning ("<<", "=").
func text(s string) *yaml.Node {
	n := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: strings.ToValidUTF8(s, "\uFFFD")}
	if !plain(s) {
		n.Style = yaml.DoubleQuotedStyle
	}
	return n
}

func plain(s string) bool {
	switch strings.ToLower(s) {
	case "", "y", "n", "yes", "no", "on", "off", "true", "false", "null":
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case c == '/' || c == '_' || c|0x20 >= 'a' && c|0x20 <= 'z':
		case i > 0 && (c >= '0' && c <= '9' || strings.IndexByte("-. {}+", c) >= 0):
		default:
			return false
		}
	}
	return s[len(s)-1] != ' '
}

func texts(list []string) *yaml.Node {
	n := array()
	for _, s := range list {
		n.Content = append(n.Content, text(s))
	}
	return n
}

func boolean(b bool) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!bool", Value: strconv.FormatBool(b)}
}

func number(f float64) *yaml.Node {
	if f == float64(int64(f)) {
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!int", Value: strconv.FormatInt(int64(f), 10)}
	}
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!float", Value: strconv.FormatFloat(f, 'g', -1, 64)}
}

// sorted are a map's keys in order.
func sorted[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }

// writeJSON writes the same tree as JSON, indented by two.
func writeJSON(b *bytes.Buffer, n *yaml.Node, indent string) {
	deeper := indent + "  "
	switch n.Kind {
	case yaml.MappingNode:
		if len(n.Content) == 0 {
			b.WriteString("{}")
			return
		}
		b.WriteString("{")
		for i := 0; i < len(n.Content); i += 2 {
			if i > 0 {
				b.WriteByte(',')
			}
			b.WriteString("\n" + deeper)
			quote(b, n.Content[i].Value)
			b.WriteString(": ")
			writeJSON(b, n.Content[i+1], deeper)
		}
		b.WriteString("\n" + indent + "}")
	case yaml.SequenceNode:
		if len(n.Content) == 0 {
			b.WriteString("[]")
			return
		}
		b.WriteString("[")
		for i, c := range n.Content {
			if i > 0 {
				b.WriteByte(',')
			}
			b.WriteString("\n" + deeper)
			writeJSON(b, c, deeper)
		}
		b.WriteString("\n" + indent + "]")
	default:
		if n.Tag == "!!str" {
			quote(b, n.Value)
			return
		}
		b.WriteString(n.Value)
	}
}

func quote(b *bytes.Buffer, s string) {
	e := json.NewEncoder(b)
	e.SetEscapeHTML(false)
	_ = e.Encode(s) // a string cannot fail
	b.Truncate(b.Len() - 1)
}
