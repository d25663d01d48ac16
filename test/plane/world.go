// Package plane is what tests and benchmarks of proposals need of a control
// plane: the resources in force and the compiler, without a network. It is no
// control plane and serves nobody; only code below test imports it.
package plane

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/gabion-io/gabion/controlplane/api/v1alpha1"
	"github.com/gabion-io/gabion/controlplane/compile"
	"github.com/gabion-io/gabion/controlplane/proposal"
	"github.com/gabion-io/gabion/controlplane/source"
	"github.com/gabion-io/gabion/controlplane/store"
	"github.com/gabion-io/gabion/filters"
)

// Compiled is a World made of the resources in force and the compiler.
type Compiled struct {
	Set     func() source.Set               // as they stand
	Compile func(source.Set) compile.Result // without falling back on what was good before
	Mark    func(context.Context) (store.Mark, error)
}

// Judged makes a change with the store's mark: Set is read anew each time.
func (c Compiled) Judged(ctx context.Context, change func(store.Mark) error) error {
	for {
		mark, err := c.Mark(ctx)
		if err != nil {
			return err
		}
		if err := change(mark); !errors.Is(err, store.ErrMoved) {
			return err
		}
	}
}

// Resource returns one by name, whatever its origin, or proposal.ErrNotFound.
func (c Compiled) Resource(_ context.Context, k store.Key) (proposal.Resource, error) {
	item, ok := c.Set().Get(v1alpha1.Key(k))
	if !ok {
		return proposal.Resource{}, fmt.Errorf("%s: %w", k, proposal.ErrNotFound)
	}
	return proposal.Resource{
		Resource: store.Resource{Key: k, Origin: store.Origin(item.Origin), Manifest: item.Manifest, Revision: item.Revision, Time: item.Updated},
		File:     item.File,
	}, nil
}

// Effective compiles the resources with the candidate in the place of the one
// it names. What the candidate is refused for is an error; what was wrong
// before is not.
func (c Compiled) Effective(_ context.Context, candidate []byte) (map[string]filters.Table, error) {
	set := c.Set()
	if candidate == nil {
		return c.Compile(set).Tables()
	}
	objects, problems := v1alpha1.Decode("candidate", candidate)
	if len(problems) > 0 {
		return nil, fmt.Errorf("%w: %w", proposal.ErrInvalid, problems[0])
	}
	if len(objects) == 0 {
		return nil, fmt.Errorf("%w: it holds no resource", proposal.ErrInvalid)
	}
	with := slices.Clone(set.Items())
	for _, o := range objects {
		with = replace(with, o, candidate)
	}
	result := c.Compile(source.NewSet(with, nil))
	for _, cond := range result.Conditions {
		if cond.Bad() && fatal(cond) && slices.ContainsFunc(objects, func(o v1alpha1.Object) bool { return v1alpha1.KeyOf(o) == cond.Key() }) {
			at := cond.Key().String()
			if cond.Path != "" {
				at += " " + cond.Path
			}
			return nil, fmt.Errorf("%w: %s: %s", proposal.ErrInvalid, at, cond.Message)
		}
	}
	return result.Tables()
}

// fatal conditions keep a resource, or a part of it, from being shipped; others
// warn of what can do nothing.
func fatal(c v1alpha1.Condition) bool {
	return c.Type == v1alpha1.Accepted || c.Type == v1alpha1.Programmed && (c.Reason == "Invalid" || c.Reason == "LastGoodKept")
}

// replace puts o where the item of its name stands, keeping what is known of
// where that came from.
func replace(items []source.Item, o v1alpha1.Object, manifest []byte) []source.Item {
	key := v1alpha1.KeyOf(o)
	for i := range items {
		if items[i].Key() == key {
			items[i].Object, items[i].Manifest = o, manifest
			return items
		}
	}
	return append(items, source.Item{Object: o, Origin: source.Store, Manifest: manifest})
}
