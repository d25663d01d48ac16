package openapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"go.yaml.in/yaml/v3"
)

// A document is read as a tree of map[string]any, []any, string, float64, bool
// and nil. YAML has more (keys that are numbers, dates, aliases): they become
// what JSON would have in their place.

// Bounds of a tree; aliases make small texts large.
const (
	maxTreeNodes = 5_000_000
	maxTreeDepth = 200
)

func treeOf(document []byte) (map[string]any, error) {
	text := bytes.TrimPrefix(bytes.TrimSpace(document), []byte("\xef\xbb\xbf"))
	var v any
	if len(text) > 0 && text[0] == '{' && json.Valid(text) {
		if err := json.Unmarshal(text, &v); err != nil {
			return nil, fmt.Errorf("parse JSON: %w", err)
		}
	} else {
		var n yaml.Node
		if err := yaml.Unmarshal(text, &n); err != nil {
			return nil, fmt.Errorf("parse YAML: %w", err)
		}
		left := maxTreeNodes
		var err error
		if v, err = treeAt(&n, 0, &left); err != nil {
			return nil, err
		}
	}
	m, ok := v.(map[string]any)
	if !ok {
		return nil, errors.New("it is no object: is this a specification?")
	}
	return m, nil
}

func treeAt(n *yaml.Node, depth int, left *int) (any, error) {
	if *left--; *left < 0 || depth > maxTreeDepth {
		return nil, errors.New("parse YAML: it is nested too deeply, or too large with its aliases")
	}
	switch n.Kind {
	case yaml.DocumentNode:
		if len(n.Content) == 0 {
			return nil, nil
		}
		return treeAt(n.Content[0], depth, left)
	case yaml.AliasNode:
		return treeAt(n.Alias, depth+1, left)
	case yaml.SequenceNode:
		list := make([]any, 0, len(n.Content))
		for _, c := range n.Content {
			v, err := treeAt(c, depth+1, left)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		return list, nil
	case yaml.MappingNode:
		m := map[string]any{}
		for i := 0; i+1 < len(n.Content); i += 2 {
			v, err := treeAt(n.Content[i+1], depth+1, left)
			if err != nil {
				return nil, err
			}
			if n.Content[i].Tag == "!!merge" {
				merge(m, v)
				continue
			}
			m[n.Content[i].Value] = v
		}
		return m, nil
	case yaml.ScalarNode:
		return scalar(n), nil
	}
	return nil, nil
}

// merge is YAML's "<<": what is there stays.
func merge(m map[string]any, v any) {
	from, _ := v.(map[string]any)
	for k, v := range from {
		if _, there := m[k]; !there {
			m[k] = v
		}
	}
}

func scalar(n *yaml.Node) any {
	switch n.ShortTag() {
	case "!!null":
		return nil
	case "!!bool":
		return n.Value == "true" || n.Value == "True" || n.Value == "TRUE"
	case "!!int", "!!float":
		var f float64
		if n.Decode(&f) == nil {
			return f
		}
	}
	return n.Value
}

// What follows reads members, and is empty for what is not there or is something
// else.

func objectIn(m map[string]any, key string) map[string]any {
	o, _ := m[key].(map[string]any)
	return o
}

func listIn(m map[string]any, key string) []any {
	l, _ := m[key].([]any)
	return l
}

// textIn takes numbers for the text they are written as: version: 2.
func textIn(m map[string]any, key string) string {
	switch v := m[key].(type) {
	case string:
		return v
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	}
	return ""
}

func boolIn(m map[string]any, key string) bool {
	b, _ := m[key].(bool)
	return b
}

func numberIn(m map[string]any, key string) *float64 {
	if f, ok := m[key].(float64); ok {
		return &f
	}
	return nil
}

// sizeIn is a limit that is a count; 0 is none.
func sizeIn(m map[string]any, key string) int {
	if f := numberIn(m, key); f != nil && *f > 0 && *f < 1<<31 {
		return int(*f)
	}
	return 0
}

func textsIn(m map[string]any, key string) (list []string) {
	for _, v := range listIn(m, key) {
		if s, ok := v.(string); ok {
			list = append(list, s)
		}
	}
	return list
}
