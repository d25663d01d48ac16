package server

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/gabion-io/gabion/controlplane/api/v1alpha1"
	"github.com/gabion-io/gabion/controlplane/reconcile"
	"github.com/gabion-io/gabion/controlplane/source"
	"github.com/gabion-io/gabion/controlplane/store"
)

// Redacted stands where a secret value was.
const Redacted = "<redacted>"

// document is one manifest of a candidate: the text as its author wrote it, and
// what it says.
type document struct {
	object    v1alpha1.Object
	text      []byte // as written
	canonical []byte // as stored and compared
}

func (d document) key() v1alpha1.Key { return v1alpha1.KeyOf(d.object) }

// decodeManifests reads a multi-document candidate strictly. Any mistake refuses
// all of it, with file name, line and path for each.
func decodeManifests(name string, body []byte) ([]document, error) {
	if name == "" {
		name = "manifest"
	}
	var docs []document
	var problems []v1alpha1.Problem
	seen := map[v1alpha1.Key]bool{}
	for _, part := range splitDocuments(body) {
		objects, wrong := v1alpha1.Decode(name, part.text)
		for _, p := range wrong {
			if p.Line > 0 {
				p.Line += part.line - 1
			}
			problems = append(problems, p)
		}
		for _, o := range objects {
			canonical, err := v1alpha1.Encode(o)
			if err != nil {
				return nil, fmt.Errorf("render %s: %w", v1alpha1.KeyOf(o), err)
			}
			d := document{object: o, text: part.text, canonical: canonical}
			if holdsRedacted(o) {
				problems = append(problems, v1alpha1.Problem{File: name, Line: part.line, Key: d.key(), Message: "a value is " + Redacted + ": this was printed for people; write the real values"})
			}
			if len(objects) > 1 { // a List: its items have no text of their own
				d.text = canonical
			}
			if seen[d.key()] {
				problems = append(problems, v1alpha1.Problem{File: name, Line: part.line, Key: d.key(), Message: d.key().String() + " is in the candidate twice"})
			}
			seen[d.key()] = true
			docs = append(docs, d)
		}
	}
	if len(problems) > 0 {
		return nil, manifestError(problems)
	}
	if len(docs) == 0 {
		return nil, huma.Error422UnprocessableEntity("there is no resource in what was sent")
	}
	return docs, nil
}

func manifestError(problems []v1alpha1.Problem) error {
	details := make([]error, len(problems))
	for i, p := range problems {
		where := p.File
		if p.Line > 0 {
			where = fmt.Sprintf("%s:%d", p.File, p.Line)
		}
		message := p.Message
		if p.Path != "" {
			message = p.Path + ": " + message
		}
		details[i] = &huma.ErrorDetail{Location: where, Message: message}
	}
	return huma.Error422UnprocessableEntity("nothing was changed: the manifests have mistakes", details...)
}

type part struct {
	text []byte
	line int // its first line, from 1
}

// splitDocuments cuts a YAML stream at its separators. Empty documents are left
// out. JSON has no separators and is one part.
func splitDocuments(body []byte) []part {
	var parts []part
	var current part
	flush := func(next int) {
		if !blank(current.text) {
			parts = append(parts, current)
		}
		current = part{line: next}
	}
	current.line = 1
	for n, line := range slices.Collect(bytes.Lines(body)) {
		if isSeparator(line) {
			flush(n + 2)
			continue
		}
		current.text = append(current.text, line...)
	}
	flush(0)
	return parts
}

// isSeparator: "---" alone on its line, but for white space or a comment.
func isSeparator(line []byte) bool {
	rest, ok := bytes.CutPrefix(line, []byte("---"))
	rest = bytes.TrimSpace(rest)
	return ok && (len(rest) == 0 || rest[0] == '#')
}

// blank: nothing but white space and comments.
func blank(text []byte) bool {
	for line := range bytes.Lines(text) {
		if l := bytes.TrimSpace(line); len(l) > 0 && l[0] != '#' {
			return false
		}
	}
	return true
}

// preview derives what the set would become with the documents written.
func (a *api) preview(set source.Set, docs []document) (*reconcile.State, error) {
	objects := make([]v1alpha1.Object, len(docs))
	for i, d := range docs {
		objects[i] = d.object
	}
	candidate, err := set.Written(a.Now(), objects...)
	if err != nil {
		return nil, err
	}
	return a.Live.Preview(candidate)
}

// redactedJSON is an object for showing: as JSON, without the values of a Secret.
func redactedJSON(o v1alpha1.Object) (json.RawMessage, error) {
	text, err := redactedYAML(o)
	if err != nil {
		return nil, err
	}
	return yaml.YAMLToJSON(text)
}

// redactedYAML is the canonical text for showing, without the values of a
// Secret. Two different values stay two equal texts: a diff of Secrets says that
// something changed elsewhere (Applied.Action), never what.
func redactedYAML(o v1alpha1.Object) ([]byte, error) {
	text, err := v1alpha1.Encode(o)
	if err != nil {
		return nil, fmt.Errorf("render %s: %w", v1alpha1.KeyOf(o), err)
	}
	return redactSecret(v1alpha1.KeyOf(o).Kind, text)
}

func redactSecret(kind string, text []byte) ([]byte, error) {
	if kind != v1alpha1.KindSecret {
		return text, nil
	}
	var tree map[string]any
	if err := yaml.Unmarshal(text, &tree); err != nil {
		return nil, fmt.Errorf("read a Secret: %w", err)
	}
	for _, field := range []string{"data", "stringData"} {
		values, _ := tree[field].(map[string]any)
		for k := range values {
			values[k] = Redacted
		}
	}
	return yaml.Marshal(tree)
}

// holdsRedacted finds a Secret as the API shows it on its way back in: writing it
// would lose the values.
func holdsRedacted(o v1alpha1.Object) bool {
	s, ok := o.(*corev1.Secret)
	if !ok {
		return false
	}
	for _, v := range s.StringData {
		if v == Redacted {
			return true
		}
	}
	for _, v := range s.Data {
		if string(v) == Redacted {
			return true
		}
	}
	return false
}

func storeKey(k v1alpha1.Key) store.Key {
	return store.Key{Kind: k.Kind, Namespace: k.Namespace, Name: k.Name}
}

// findKind accepts a kind's name in any case, its plural and its short forms.
func findKind(word string) (v1alpha1.KindInfo, bool) {
	for _, k := range v1alpha1.Kinds() {
		if strings.EqualFold(word, k.Kind) || strings.EqualFold(word, k.Plural) || slices.Contains(k.Short, strings.ToLower(word)) {
			return k, true
		}
	}
	return v1alpha1.KindInfo{}, false
}
