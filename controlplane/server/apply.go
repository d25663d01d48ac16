package server

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"github.com/danielgtaylor/huma/v2"

	"github.com/gabion-io/gabion/controlplane/api/v1alpha1"
	"github.com/gabion-io/gabion/controlplane/reconcile"
	"github.com/gabion-io/gabion/controlplane/source"
	"github.com/gabion-io/gabion/controlplane/store"
	"github.com/gabion-io/gabion/internal/yamledit"
)

type applyInput struct {
	DryRun   bool   `query:"dryRun" doc:"say what would be done and do nothing"`
	Force    bool   `query:"force" doc:"write although the result would have new problems"`
	Revision int64  `query:"revision" minimum:"-1" default:"-1" doc:"with one resource: write only if this is its current revision (0: it must not exist)"`
	Name     string `query:"name" maxLength:"1024" doc:"what to call the manifests in messages, a file name"`
	RawBody  []byte `contentType:"application/yaml" doc:"one or more manifests, YAML or JSON"`
}

func (a *api) apply(ctx context.Context, in *applyInput) (*bodyOf[ApplyResult], error) {
	docs, err := decodeManifests(in.Name, in.RawBody)
	if err != nil {
		return nil, err
	}
	if in.Revision >= 0 && len(docs) != 1 {
		return nil, huma.Error422UnprocessableEntity("an expected revision can be given with one resource only")
	}
	return a.write(ctx, docs, writeOptions{dryRun: in.DryRun, force: in.Force, expect: in.Revision, action: "apply"})
}

// writeOptions say how documents are written.
type writeOptions struct {
	dryRun bool
	force  bool
	expect int64 // revision of the only document; -1: any
	action string
}

// write is the one way resources change through the API: all or nothing, never
// behind the back of a file, never into a state with new problems unless forced.
func (a *api) write(ctx context.Context, docs []document, o writeOptions) (*bodyOf[ApplyResult], error) {
	var result ApplyResult
	err := a.judged(ctx, func(state *reconcile.State, mark store.Mark) (err error) {
		result, err = a.writeInto(ctx, state, mark, docs, o)
		return err
	})
	if err != nil {
		return nil, err
	}
	if result.Written {
		result.Version, result.Rollout = a.settle(ctx)
	}
	return &bodyOf[ApplyResult]{result}, nil
}

// writeInto writes what is judged by a state, while that is what there is.
func (a *api) writeInto(ctx context.Context, state *reconcile.State, mark store.Mark, docs []document, o writeOptions) (result ApplyResult, err error) {
	var changed []document
	owned := false
	for _, d := range docs {
		item, err := planned(state.Set, d)
		if err != nil {
			return result, err
		}
		owned = owned || item.Action == FileOwned
		if item.Action == Created || item.Action == Updated {
			changed = append(changed, d)
		}
		result.Items = append(result.Items, item)
	}
	preview, err := a.preview(state.Set, docs)
	if err != nil {
		return result, fmt.Errorf("compile the candidate: %w", err)
	}
	for i, d := range docs {
		result.Items[i].Conditions = conditionsOf(preview.Conditions, d.key())
	}
	if o.dryRun || owned || len(changed) == 0 {
		return result, nil
	}
	if fresh := newProblems(state.Conditions, preview.Conditions); len(fresh) > 0 && !o.force {
		return result, conditionError(fresh)
	}
	return result, a.put(ctx, mark, changed, o, &result)
}

// put stores the changed documents and notes their revisions in the result.
func (a *api) put(ctx context.Context, mark store.Mark, changed []document, o writeOptions, result *ApplyResult) error {
	opts := store.PutOptions{Author: caller(ctx).Name, Action: o.action, Judged: &mark}
	rows := make([]store.Resource, len(changed))
	for i, d := range changed {
		rows[i] = store.Resource{Key: storeKey(d.key()), Origin: store.OriginStore, Manifest: d.canonical}
	}
	if o.expect >= 0 {
		opts.ExpectRevision = &o.expect
		r, _, err := a.Store.PutResource(ctx, rows[0], opts)
		if err != nil {
			return err
		}
		rows[0] = r
	} else {
		written, err := a.Store.PutResources(ctx, rows, opts)
		if err != nil {
			return err
		}
		rows = written
	}
	for _, r := range rows {
		for i := range result.Items {
			if it := &result.Items[i]; it.Kind == r.Kind && it.Namespace == r.Namespace && it.Name == r.Name {
				it.Revision = r.Revision
			}
		}
	}
	result.Written = true
	return nil
}

// planned says what writing a document would do.
func planned(set source.Set, d document) (Applied, error) {
	k := d.key()
	out := Applied{Kind: k.Kind, Namespace: k.Namespace, Name: k.Name, Action: Created}
	var before []byte
	if item, ok := set.Get(k); ok {
		canonical, err := v1alpha1.Encode(item.Object)
		if err != nil {
			return out, fmt.Errorf("render %s: %w", k, err)
		}
		switch {
		case bytes.Equal(canonical, d.canonical):
			out.Action, out.Revision, out.File, out.Line = Unchanged, item.Revision, item.File, item.Line
			return out, nil
		case item.Origin == source.File:
			return fileOwned(item, &d)
		}
		out.Action, before = Updated, canonical
	}
	var err error
	out.Patch, err = resourcePatch(k, before, d.canonical)
	return out, err
}

// fileOwned is the answer for a name that a file owns: nothing was changed, and
// here is the change to make in the file. A nil document deletes.
func fileOwned(item source.Item, d *document) (Applied, error) {
	k := item.Key()
	out := Applied{Kind: k.Kind, Namespace: k.Namespace, Name: k.Name, Action: FileOwned, File: item.File, Line: item.Line}
	var after []byte
	if d != nil {
		after = edited(item.Manifest, *d)
		out.Manifest = string(after)
	}
	if k.Kind == v1alpha1.KindSecret { // never send key material back
		return out, nil
	}
	out.Patch = unified(item.File, item.Manifest, item.File, after, textLine(item.Manifest, item.Line))
	return out, nil
}

// edited is the file's document with the new content and the author's comments;
// the new text as it was sent where the two cannot be joined.
func edited(before []byte, d document) []byte {
	text, err := yamledit.Merge(before, d.text)
	if err != nil {
		return d.text
	}
	objects, problems := v1alpha1.Decode("edited", text)
	if len(objects) != 1 || len(problems) > 0 {
		return d.text
	}
	if canonical, err := v1alpha1.Encode(objects[0]); err != nil || !bytes.Equal(canonical, d.canonical) {
		return d.text
	}
	return text
}

// resourcePatch is a unified diff of canonical texts; nil is absence.
func resourcePatch(k v1alpha1.Key, before, after []byte) (string, error) {
	b, err := redactSecret(k.Kind, before)
	if err != nil {
		return "", err
	}
	c, err := redactSecret(k.Kind, after)
	if err != nil {
		return "", err
	}
	if before == nil {
		b = nil
	}
	if after == nil {
		c = nil
	}
	name := k.String()
	return unified("before/"+name, b, "after/"+name, c, 1), nil
}

// newProblems are bad conditions of the candidate that the set in force does not
// have, but for those that only warn.
func newProblems(before, after []v1alpha1.Condition) []v1alpha1.Condition {
	known := map[v1alpha1.Condition]bool{}
	for _, c := range before {
		known[c] = true
	}
	var fresh []v1alpha1.Condition
	for _, c := range after {
		if c.Bad() && !known[c] && !onlyWarns(c) {
			fresh = append(fresh, c)
		}
	}
	return fresh
}

// onlyWarns: the resource works, but part of it can do nothing, lost to another,
// or is about traffic of somebody else. Its author is told and the write goes
// through.
func onlyWarns(c v1alpha1.Condition) bool {
	reasons := []string{"NoEffect", "Expired", "Locked", "EqualRank", "OtherClass", "NoEndpoints"}
	return c.Type == v1alpha1.Conflicted || slices.Contains(reasons, c.Reason)
}

func conditionError(conditions []v1alpha1.Condition) error {
	details := make([]error, len(conditions))
	for i, c := range conditions {
		where := c.Key().String()
		if c.Path != "" {
			where += " " + c.Path
		}
		details[i] = &huma.ErrorDetail{Location: where, Message: c.Message}
	}
	return huma.Error422UnprocessableEntity("nothing was changed: the result would have problems", details...)
}
