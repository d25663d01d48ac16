package v1alpha1

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Document is a resource with where and how it was written.
type Document struct {
	Object Object
	Line   int    // where the document begins, from 1
	Text   []byte // of the whole document it stood in
}

// Decode reads every document of a YAML or JSON file. Good resources are
// returned whatever the others hold; each mistake is a Problem. It never panics.
// A resource without a namespace lives in DefaultNamespace. A List is unfolded.
func Decode(file string, data []byte) ([]Object, []Problem) {
	docs, problems := DecodeDocuments(file, data)
	objects := make([]Object, len(docs))
	for i, d := range docs {
		objects[i] = d.Object
	}
	return objects, problems
}

// DecodeDocuments is Decode that keeps each resource's text and place.
func DecodeDocuments(file string, data []byte) (docs []Document, problems []Problem) {
	for _, text := range splitDocuments(data) {
		d := decoder{file: file, text: text}
		d.run()
		docs = append(docs, d.docs...)
		problems = append(problems, d.problems...)
	}
	return docs, problems
}

// decoder reads one document.
type decoder struct {
	file     string
	text     documentText
	key      Key // of the resource being read, as far as known
	docs     []Document
	problems []Problem
}

func (d *decoder) run() {
	defer func() {
		// The YAML parser is not ours; what makes it panic is a broken file.
		if r := recover(); r != nil {
			d.report(d.text.line, "", fmt.Sprintf("cannot be read as YAML: %v", r))
		}
	}()
	root := parseTree(d.text, d.report)
	if root == nil {
		return
	}
	if root.kind != mapping {
		d.report(root.line, "", "is no resource: a document must be a mapping with apiVersion, kind and metadata")
		return
	}
	if root.text("kind") == "List" && root.text("apiVersion") == "v1" {
		d.list(root)
		return
	}
	d.resource(root)
}

// maxProblems bounds what is told of one document.
const maxProblems = 100

func (d *decoder) report(line int, path, message string) {
	if len(d.problems) == maxProblems {
		return
	}
	d.problems = append(d.problems, Problem{File: d.file, Line: line, Key: d.key, Path: path, Message: message})
}

func (d *decoder) list(root *tree) {
	items := root.field("items")
	if items == nil || items.kind != sequence {
		d.report(root.line, "items", "a List needs items")
		return
	}
	for _, item := range items.items {
		if item.kind != mapping {
			d.report(item.line, "items", "is no resource: it must be a mapping with apiVersion, kind and metadata")
			continue
		}
		d.resource(item)
	}
}

func (d *decoder) resource(root *tree) {
	before := len(d.problems)
	d.key = Key{Kind: root.text("kind")}
	if meta := root.field("metadata"); meta != nil {
		d.key.Namespace, d.key.Name = meta.text("namespace"), meta.text("name")
	}
	info, ok := d.kind(root)
	if !ok {
		return
	}
	if d.key.Namespace == "" && !info.Cluster {
		d.key.Namespace = DefaultNamespace
	}
	object := info.make()
	checkType(root, reflect.TypeOf(object).Elem(), "", d.report)
	if len(d.problems) > before {
		return
	}
	if err := json.Unmarshal(root.json(), object); err != nil {
		d.report(root.line, "", fmt.Sprintf("cannot be read: %v", err))
		return
	}
	d.settle(object, info)
	found := validate(object, info)
	for _, f := range found[:min(len(found), maxProblems)] {
		d.report(root.lineAt(f.path), f.path, f.message)
	}
	if len(d.problems) > before {
		return
	}
	d.docs = append(d.docs, Document{Object: object, Line: root.line, Text: bytes.TrimLeft(d.text.data, "\r\n")})
}

// kind finds the accepted kind that a document says it is.
func (d *decoder) kind(root *tree) (KindInfo, bool) {
	kind, version := root.text("kind"), root.text("apiVersion")
	if kind == "" || version == "" {
		d.report(root.line, "", "needs apiVersion and kind, such as apiVersion: "+APIVersion+" and kind: WAFPolicy")
		return KindInfo{}, false
	}
	for _, info := range Kinds() {
		if info.Kind != kind {
			continue
		}
		if slices.Contains(info.APIVersions, version) {
			return info, true
		}
		d.report(root.lineAt("apiVersion"), "apiVersion",
			fmt.Sprintf("%s is not known in %s: write %s", kind, version, strings.Join(info.APIVersions, " or ")))
		return KindInfo{}, false
	}
	d.report(root.lineAt("kind"), "kind", fmt.Sprintf("kind %s of %s is not known%s", kind, version, suggest(kind, kindNames())))
	return KindInfo{}, false
}

func kindNames() []string {
	var names []string
	for _, info := range Kinds() {
		names = append(names, info.Kind)
	}
	return names
}

// settle gives a resource the one form it has inside: the version we write, its
// namespace, a Secret's text as data.
func (d *decoder) settle(o Object, info KindInfo) {
	if gv, err := schema.ParseGroupVersion(info.APIVersions[0]); err == nil {
		if s, ok := o.(interface {
			SetGroupVersionKind(schema.GroupVersionKind)
		}); ok {
			s.SetGroupVersionKind(gv.WithKind(info.Kind))
		}
	}
	if o.GetNamespace() == "" && !info.Cluster {
		o.SetNamespace(DefaultNamespace)
	}
	if secret, ok := o.(*corev1.Secret); ok {
		for name, text := range secret.StringData {
			if secret.Data == nil {
				secret.Data = map[string][]byte{}
			}
			secret.Data[name] = []byte(text)
		}
		secret.StringData = nil
	}
}
