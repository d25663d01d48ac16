// Package yamledit changes a YAML document and keeps what its author wrote around
// the values: comments, the order of keys, the style of texts. Blank lines are
// not kept. It knows no resource; anyone may import it.
package yamledit

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"
)

// errShape: there is nothing to merge into.
var errShape = errors.New("not one YAML mapping")

// Merge gives before the content of after. What is equal stays as it was written,
// with its comments; comments of after win where both have one.
func Merge(before, after []byte) ([]byte, error) {
	was, err := document(before)
	if err != nil {
		return nil, fmt.Errorf("read the text to edit: %w", err)
	}
	is, err := document(after)
	if err != nil {
		return nil, fmt.Errorf("read the new text: %w", err)
	}
	comments(was, is)
	was.Content[0] = merge(was.Content[0], is.Content[0])
	var out bytes.Buffer
	e := yaml.NewEncoder(&out)
	e.SetIndent(2)
	if err := e.Encode(was); err != nil {
		return nil, fmt.Errorf("write YAML: %w", err)
	}
	if err := e.Close(); err != nil {
		return nil, fmt.Errorf("write YAML: %w", err)
	}
	if !says(out.Bytes(), after) {
		return nil, errLost
	}
	return out.Bytes(), nil
}

// errLost: a comment in an odd place broke the text, or a key is there twice.
var errLost = errors.New("the edited text would not say what the new one does")

// says compares what two texts say.
func says(text, as []byte) bool {
	a, errA := document(text)
	b, errB := document(as)
	return errA == nil && errB == nil && equal(a.Content[0], b.Content[0])
}

// document reads exactly one, a mapping. Aliases are refused, as an edit of one
// place would change the others; so are written tags, and keys that are no texts.
func document(text []byte) (*yaml.Node, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return nil, err
	}
	if len(doc.Content) != 1 || doc.Content[0].Kind != yaml.MappingNode || odd(&doc) {
		return nil, errShape
	}
	return &doc, nil
}

func odd(n *yaml.Node) bool {
	if n.Kind == yaml.AliasNode || n.Anchor != "" || n.Style&yaml.TaggedStyle != 0 {
		return true
	}
	for i, c := range n.Content {
		if n.Kind == yaml.MappingNode && i%2 == 0 && (c.Kind != yaml.ScalarNode || c.ShortTag() != "!!str") || odd(c) {
			return true
		}
	}
	return false
}

// merge gives was the content of is.
func merge(was, is *yaml.Node) *yaml.Node {
	if was.Kind != is.Kind {
		comments(is, was)
		return is
	}
	comments(was, is)
	switch was.Kind {
	case yaml.MappingNode:
		mergeMapping(was, is)
	case yaml.SequenceNode:
		mergeSequence(was, is)
	default:
		if was.Value != is.Value || was.ShortTag() != is.ShortTag() {
			was.Value, was.Tag, was.Style = is.Value, is.Tag, is.Style
		}
	}
	return was
}

// mergeMapping keeps the keys in the order they had; new ones come last.
func mergeMapping(was, is *yaml.Node) {
	var out []*yaml.Node
	seen := map[string]bool{}
	for i := 0; i+1 < len(was.Content); i += 2 {
		key := was.Content[i]
		newKey, value := find(is, key.Value)
		if value == nil {
			continue
		}
		seen[key.Value] = true
		comments(key, newKey)
		if old := was.Content[i+1]; old.Kind == yaml.ScalarNode && value.Kind != yaml.ScalarNode && old.LineComment != "" {
			key.HeadComment = strings.TrimPrefix(key.HeadComment+"\n"+old.LineComment, "\n") // it has no line any more
			old.LineComment = ""
		}
		out = append(out, key, merge(was.Content[i+1], value))
	}
	for i := 0; i+1 < len(is.Content); i += 2 {
		if !seen[is.Content[i].Value] {
			out = append(out, is.Content[i], is.Content[i+1])
		}
	}
	was.Content = out
	if was.Style&yaml.FlowStyle != 0 && hasBlock(out) {
		was.Style &^= yaml.FlowStyle // a block cannot stand in {}
	}
}

func hasBlock(nodes []*yaml.Node) bool {
	for _, n := range nodes {
		if n.HeadComment != "" || n.Kind == yaml.ScalarNode && n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0 || hasBlock(n.Content) {
			return true
		}
	}
	return false
}

// mergeSequence keeps items that are equal, wherever they stand now, and edits
// one that has the name of an old one.
func mergeSequence(was, is *yaml.Node) {
	used := map[*yaml.Node]bool{}
	take := func(like func(*yaml.Node) bool) *yaml.Node {
		for _, n := range was.Content {
			if !used[n] && like(n) {
				used[n] = true
				return n
			}
		}
		return nil
	}
	out := make([]*yaml.Node, len(is.Content))
	for i, item := range is.Content { // equal ones first: a name may be there twice
		out[i] = take(func(n *yaml.Node) bool { return equal(n, item) })
	}
	for i, item := range is.Content {
		if out[i] == nil {
			if name := nameOf(item); name != "" {
				out[i] = take(func(n *yaml.Node) bool { return nameOf(n) == name })
			}
		}
		if out[i] == nil {
			out[i] = item
		} else {
			out[i] = merge(out[i], item)
		}
	}
	was.Content = out
	if was.Style&yaml.FlowStyle != 0 && hasBlock(out) {
		was.Style &^= yaml.FlowStyle
	}
}

func nameOf(n *yaml.Node) string {
	if n.Kind != yaml.MappingNode {
		return ""
	}
	if _, v := find(n, "name"); v != nil {
		return v.Value
	}
	return ""
}

func find(mapping *yaml.Node, name string) (key, value *yaml.Node) {
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		if mapping.Content[i].Value == name {
			return mapping.Content[i], mapping.Content[i+1]
		}
	}
	return nil, nil
}

// equal compares what nodes say.
func equal(a, b *yaml.Node) bool {
	if a.Kind != b.Kind || len(a.Content) != len(b.Content) || a.Kind == yaml.ScalarNode && (a.Value != b.Value || a.ShortTag() != b.ShortTag()) {
		return false
	}
	for i := range a.Content {
		if a.Kind == yaml.MappingNode && i%2 == 0 {
			if _, v := find(b, a.Content[i].Value); v == nil || !equal(a.Content[i+1], v) {
				return false
			}
			continue
		}
		if a.Kind != yaml.MappingNode && !equal(a.Content[i], b.Content[i]) {
			return false
		}
	}
	return true
}

// comments takes over the comments that from has.
func comments(to, from *yaml.Node) {
	for _, c := range []struct {
		to   *string
		from string
	}{{&to.HeadComment, from.HeadComment}, {&to.LineComment, from.LineComment}, {&to.FootComment, from.FootComment}} {
		if c.from != "" {
			*c.to = c.from
		}
	}
}
