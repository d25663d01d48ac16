package v1alpha1

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Bounds of one document: aliases can make few bytes into many nodes.
const (
	maxDepth = 64
	maxNodes = 200_000
)

type treeKind int

const (
	scalar treeKind = iota
	mapping
	sequence
)

// tree is a parsed document that remembers lines. Aliases are expanded.
type tree struct {
	kind   treeKind
	line   int
	names  []named // of a mapping, in order
	items  []*tree // of a sequence
	scalar any     // nil, bool, json.Number or string
}

type named struct {
	name  string
	line  int
	value *tree
}

type reporter func(line int, path, message string)

// parseTree reads one document; nil after it reported why not.
func parseTree(doc documentText, report reporter) *tree {
	var root yaml.Node
	dec := yaml.NewDecoder(bytes.NewReader(doc.data))
	if err := dec.Decode(&root); err != nil {
		if !errors.Is(err, io.EOF) {
			line, message := yamlError(err, doc.line)
			report(line, "", message)
		}
		return nil
	}
	if len(root.Content) != 1 {
		return nil
	}
	var rest yaml.Node
	if err := dec.Decode(&rest); !errors.Is(err, io.EOF) {
		report(doc.line, "", "holds more than one document: separate documents by a line of ---")
		return nil
	}
	g := grower{offset: doc.line - 1, report: report}
	t := g.grow(root.Content[0], "", 0)
	if g.failed {
		return nil
	}
	return t
}

// yamlError takes the parser's "yaml: line 3: …" apart.
func yamlError(err error, first int) (int, string) {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	m := regexp.MustCompile(`^line (\d+): `).FindStringSubmatch(text)
	if m == nil {
		return first, "cannot be read as YAML: " + text
	}
	n, _ := strconv.Atoi(m[1])
	return first - 1 + n, "cannot be read as YAML: " + strings.TrimPrefix(text, m[0])
}

type grower struct {
	offset int
	nodes  int
	report reporter
	failed bool
}

func (g *grower) fail(n *yaml.Node, path, message string) *tree {
	g.report(n.Line+g.offset, path, message)
	g.failed = true
	return nil
}

func (g *grower) grow(n *yaml.Node, path string, depth int) *tree {
	g.nodes++
	if g.failed && g.nodes > maxNodes {
		return nil
	}
	if g.nodes > maxNodes || depth > maxDepth {
		return g.fail(n, path, fmt.Sprintf("is too large or too deep: at most %d values, %d levels", maxNodes, maxDepth))
	}
	switch n.Kind {
	case yaml.AliasNode:
		return g.grow(n.Alias, path, depth+1)
	case yaml.MappingNode:
		return g.mapping(n, path, depth)
	case yaml.SequenceNode:
		t := &tree{kind: sequence, line: n.Line + g.offset}
		for i, item := range n.Content {
			t.items = append(t.items, g.grow(item, fmt.Sprintf("%s[%d]", path, i), depth+1))
		}
		return t
	case yaml.ScalarNode:
		return g.scalar(n, path)
	}
	return g.fail(n, path, "cannot be read as YAML")
}

func (g *grower) mapping(n *yaml.Node, path string, depth int) *tree {
	t := &tree{kind: mapping, line: n.Line + g.offset}
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		name := n.Content[i]
		if name.Kind != yaml.ScalarNode {
			g.fail(name, path, "a field's name must be plain text")
			continue
		}
		if name.ShortTag() == "!!merge" {
			g.fail(name, path, "merging with << is not supported: write the fields out")
			continue
		}
		below := join(path, name.Value)
		if first, again := seen[name.Value]; again {
			g.fail(name, below, fmt.Sprintf("is given twice: the first is on line %d; remove one", first))
			continue
		}
		seen[name.Value] = name.Line + g.offset
		t.names = append(t.names, named{name.Value, name.Line + g.offset, g.grow(n.Content[i+1], below, depth+1)})
	}
	return t
}

func (g *grower) scalar(n *yaml.Node, path string) *tree {
	t := &tree{line: n.Line + g.offset}
	switch n.ShortTag() {
	case "!!null":
	case "!!bool":
		var b bool
		if err := n.Decode(&b); err != nil {
			return g.fail(n, path, fmt.Sprintf("%q is neither true nor false", n.Value))
		}
		t.scalar = b
	case "!!int", "!!float":
		number, ok := jsonNumber(n)
		if !ok {
			return g.fail(n, path, fmt.Sprintf("%q is no number that can be used", n.Value))
		}
		t.scalar = number
	default: // !!str, !!timestamp, !!binary: their text
		t.scalar = n.Value
	}
	return t
}

// jsonNumber turns YAML's notations (0x1F, 1_000, .5) into JSON's.
func jsonNumber(n *yaml.Node) (json.Number, bool) {
	if json.Valid([]byte(n.Value)) {
		return json.Number(n.Value), true
	}
	var v any
	if err := n.Decode(&v); err != nil {
		return "", false
	}
	switch v := v.(type) {
	case float64:
		if math.IsInf(v, 0) || math.IsNaN(v) {
			return "", false
		}
		return json.Number(strconv.FormatFloat(v, 'g', -1, 64)), true
	case int, int64, uint64:
		return json.Number(fmt.Sprint(v)), true
	}
	return "", false
}

var plainName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_-]*$`)

// join appends a field's name to a path.
func join(path, name string) string {
	switch {
	case !plainName.MatchString(name):
		return path + "[" + strconv.Quote(name) + "]"
	case path == "":
		return name
	}
	return path + "." + name
}

// field returns the value of a mapping's field, or nil.
func (t *tree) field(name string) *tree {
	for _, f := range t.names {
		if f.name == name {
			return f.value
		}
	}
	return nil
}

// text returns a field that is a string, or "".
func (t *tree) text(name string) string {
	if f := t.field(name); f != nil {
		s, _ := f.scalar.(string)
		return s
	}
	return ""
}

// lineAt finds the line of a path, or of the deepest part of it that exists.
func (t *tree) lineAt(path string) int {
	line := t.line
	t.walk("", func(at string, n int) {
		rest, ok := strings.CutPrefix(path, at)
		if ok && (rest == "" || rest[0] == '.' || rest[0] == '[') && n > line {
			line = n
		}
	})
	return line
}

func (t *tree) walk(path string, visit func(path string, line int)) {
	for _, f := range t.names {
		below := join(path, f.name)
		visit(below, f.line)
		f.value.walk(below, visit)
	}
	for i, item := range t.items {
		below := fmt.Sprintf("%s[%d]", path, i)
		visit(below, item.line)
		item.walk(below, visit)
	}
}

// json renders the tree for encoding/json.
func (t *tree) json() []byte {
	var b bytes.Buffer
	t.write(&b)
	return b.Bytes()
}

func (t *tree) write(b *bytes.Buffer) {
	switch t.kind {
	case mapping:
		b.WriteByte('{')
		for i, f := range t.names {
			if i > 0 {
				b.WriteByte(',')
			}
			writeJSON(b, f.name)
			b.WriteByte(':')
			f.value.write(b)
		}
		b.WriteByte('}')
	case sequence:
		b.WriteByte('[')
		for i, item := range t.items {
			if i > 0 {
				b.WriteByte(',')
			}
			item.write(b)
		}
		b.WriteByte(']')
	default:
		writeJSON(b, t.scalar)
	}
}

func writeJSON(b *bytes.Buffer, v any) {
	text, err := json.Marshal(v)
	if err != nil {
		text = []byte("null") // a json.Number was checked when it was read
	}
	b.Write(text)
}
