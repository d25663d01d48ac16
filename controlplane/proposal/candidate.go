package proposal

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"

	"github.com/rogpeppe/go-internal/diff"
	"go.yaml.in/yaml/v3"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gabion-io/gabion/controlplane/api/v1alpha1"
	"github.com/gabion-io/gabion/internal/yamledit"
	wafrules "github.com/gabion-io/gabion/waf-rules"
)

// withExclusions adds exclusions to a WAFPolicy's manifest. The author's text
// stays as it is, comments and all, where the exclusions can be added as lines;
// else it is rendered anew.
func withExclusions(manifest []byte, add []wafrules.Exclusion) ([]byte, error) {
	policy, err := decodePolicy(manifest)
	if err != nil {
		return nil, err
	}
	want := *policy
	want.Spec.Exclusions = append(append([]v1alpha1.Exclusion{}, policy.Spec.Exclusions...), resourceExclusions(missing(policy, add))...)
	canonical, err := v1alpha1.Encode(&want)
	if err != nil {
		return nil, fmt.Errorf("render candidate: %w", err)
	}
	if edited, ok := insertExclusions(manifest, missing(policy, add)); ok && says(edited, canonical) {
		return edited, nil
	}
	if edited, err := yamledit.Merge(manifest, canonical); err == nil && says(edited, canonical) {
		return edited, nil
	}
	return canonical, nil
}

// says: the text is the policy of that canonical form.
func says(text, canonical []byte) bool {
	got, err := decodePolicy(text)
	if err != nil {
		return false
	}
	same, err := v1alpha1.Encode(got)
	return err == nil && bytes.Equal(same, canonical)
}

// missing leaves out what the policy excludes already, to the letter.
func missing(policy *v1alpha1.WAFPolicy, add []wafrules.Exclusion) []wafrules.Exclusion {
	has := map[string]bool{}
	for _, x := range policy.Spec.Exclusions {
		has[identity(settingsExclusion(x))] = true
	}
	var out []wafrules.Exclusion
	for _, x := range add {
		if !has[identity(x)] {
			out = append(out, x)
		}
	}
	return out
}

// identity is what an exclusion does, without why.
func identity(x wafrules.Exclusion) string {
	x.Reason = ""
	b, err := json.Marshal(x) // cannot fail: plain data
	if err != nil {
		panic(err)
	}
	return string(b)
}

func decodePolicy(manifest []byte) (*v1alpha1.WAFPolicy, error) {
	objects, problems := v1alpha1.Decode("candidate", manifest)
	if len(problems) > 0 {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, problems[0])
	}
	if len(objects) != 1 {
		return nil, fmt.Errorf("%w: it holds %d resources, not one", ErrInvalid, len(objects))
	}
	policy, ok := objects[0].(*v1alpha1.WAFPolicy)
	if !ok {
		return nil, fmt.Errorf("%w: it is a %s, not a WAFPolicy", ErrInvalid, objects[0].GroupVersionKind().Kind)
	}
	return policy, nil
}

// newPolicy is a policy of its own for a route whose governing policy nobody
// wrote down: it says nothing but the exclusions.
func newPolicy(namespace, name string, targets []v1alpha1.TargetRef, add []wafrules.Exclusion) ([]byte, error) {
	p := &v1alpha1.WAFPolicy{
		TypeMeta:   metav1.TypeMeta{APIVersion: v1alpha1.APIVersion, Kind: v1alpha1.KindWAFPolicy},
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec: v1alpha1.WAFPolicySpec{
			Attachment: v1alpha1.Attachment{TargetRefs: targets},
			Exclusions: resourceExclusions(add),
		},
	}
	text, err := v1alpha1.Encode(p)
	if err != nil {
		return nil, fmt.Errorf("render candidate: %w", err)
	}
	return text, nil
}

func resourceExclusions(xs []wafrules.Exclusion) []v1alpha1.Exclusion {
	text := func(s string) *string {
		if s == "" {
			return nil
		}
		return &s
	}
	out := make([]v1alpha1.Exclusion, 0, len(xs))
	for _, x := range xs {
		r := v1alpha1.Exclusion{Tag: text(x.Tag), Target: text(x.Target), Host: text(x.Host), Path: text(x.Path), Method: text(x.Method), Reason: text(x.Reason)}
		if x.Rule != 0 {
			r.Rule = &x.Rule
		}
		if x.Expires != nil {
			r.Expires = &metav1.Time{Time: *x.Expires}
		}
		out = append(out, r)
	}
	return out
}

func settingsExclusion(x v1alpha1.Exclusion) wafrules.Exclusion {
	text := func(s *string) string {
		if s == nil {
			return ""
		}
		return *s
	}
	out := wafrules.Exclusion{Tag: text(x.Tag), Target: text(x.Target), Host: text(x.Host), Path: text(x.Path), Method: text(x.Method), Reason: text(x.Reason)}
	if x.Rule != nil {
		out.Rule = *x.Rule
	}
	if x.Expires != nil {
		out.Expires = &x.Expires.Time
	}
	return out
}

// oddBreak ends a line for YAML and none for us: its line numbers are not ours.
var oddBreak = regexp.MustCompile("\\r(?:[^\\n]|$)|[\u0085\u2028\u2029]")

// insertExclusions adds lines to block-style YAML; ok is false where the text
// has no place for them. The caller checks what came of it.
func insertExclusions(manifest []byte, add []wafrules.Exclusion) ([]byte, bool) {
	if len(add) == 0 {
		return manifest, true
	}
	var doc yaml.Node
	if oddBreak.Match(manifest) || yaml.Unmarshal(manifest, &doc) != nil || len(doc.Content) != 1 {
		return nil, false
	}
	specKey, spec := child(doc.Content[0], "spec")
	if spec == nil || spec.Kind != yaml.MappingNode || spec.Style&yaml.FlowStyle != 0 || len(spec.Content) == 0 {
		return nil, false
	}
	lines := strings.Split(string(manifest), "\n")
	indent := spec.Content[0].Column - 1
	if _, list := child(spec, "exclusions"); list != nil {
		if list.Kind != yaml.SequenceNode || list.Style&yaml.FlowStyle != 0 || len(list.Content) == 0 {
			return nil, false
		}
		dash := list.Column - 1
		end := blockEnd(lines, list.Line-1, func(line string, depth int) bool {
			return depth > dash || depth == dash && strings.HasPrefix(line[depth:], "-")
		})
		return splice(lines, end, renderExclusions(add, dash)), true
	}
	end := blockEnd(lines, specKey.Line, func(_ string, depth int) bool { return depth >= indent })
	header := strings.Repeat(" ", indent) + "exclusions:"
	return splice(lines, end, append([]string{header}, renderExclusions(add, indent)...)), true
}

func child(mapping *yaml.Node, name string) (key, value *yaml.Node) {
	if mapping.Kind != yaml.MappingNode {
		return nil, nil
	}
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		if mapping.Content[i].Value == name {
			return mapping.Content[i], mapping.Content[i+1]
		}
	}
	return nil, nil
}

// blockEnd finds the line after the last one that belongs to the block; blank
// lines and comments at its end are left to what follows.
func blockEnd(lines []string, from int, inside func(line string, depth int) bool) int {
	end := from
	for i := from; i < len(lines); i++ {
		text := strings.TrimSpace(lines[i])
		if text == "" || strings.HasPrefix(text, "#") {
			continue
		}
		depth := len(lines[i]) - len(strings.TrimLeft(lines[i], " "))
		if !inside(lines[i], depth) {
			break
		}
		end = i + 1
	}
	return end
}

func splice(lines []string, at int, add []string) []byte {
	out := append(append(append([]string{}, lines[:at]...), add...), lines[at:]...)
	text := strings.Join(out, "\n")
	if !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	return []byte(text)
}

// renderExclusions writes the exclusions as list items. Values are JSON strings
// where they could be taken for something else, which YAML reads as they are.
func renderExclusions(xs []wafrules.Exclusion, indent int) []string {
	pad := strings.Repeat(" ", indent)
	var out []string
	for _, x := range xs {
		lead := "- "
		field := func(name, value string) {
			if value == "" {
				return
			}
			out = append(out, pad+lead+name+": "+value)
			lead = "  "
		}
		if x.Rule != 0 {
			field("rule", fmt.Sprint(x.Rule))
		}
		field("tag", scalar(x.Tag))
		field("target", scalar(x.Target))
		field("method", scalar(x.Method))
		field("host", scalar(x.Host))
		field("path", scalar(x.Path))
		field("reason", scalar(x.Reason))
		if x.Expires != nil {
			field("expires", scalar(x.Expires.UTC().Format("2006-01-02T15:04:05Z")))
		}
	}
	return out
}

func scalar(s string) string {
	if s == "" {
		return ""
	}
	b, err := yaml.Marshal(s)
	text := strings.TrimSuffix(string(b), "\n")
	if err != nil || strings.ContainsAny(text, "\n") {
		quoted, _ := json.Marshal(s)
		return string(quoted)
	}
	return text
}

// patch is the unified diff from one text of a resource to another, as patch(1)
// takes it; equal texts give "".
func patch(oldName string, before []byte, newName string, after []byte) string {
	_, text, _ := bytes.Cut(diff.Diff(oldName, before, newName, after), []byte("\n")) // the first line is no part of the format
	return string(text)
}
