package compile

import (
	"bytes"
	"encoding/json"
	"reflect"
	"slices"
	"strconv"

	"github.com/gabion-io/gabion/controlplane/api/v1alpha1"
)

// builtIn is where a value comes from that no policy sets.
const builtIn = "built-in default"

// mergedPolicy is what a stack of policies comes to.
type mergedPolicy[S any] struct {
	spec    S
	stack   []governing[S]
	fields  []Field
	origins map[string][]element // of joined lists: who wrote each element
	winners map[string]v1alpha1.Key
}

// failureMode fills in what follows from the mode where no policy says it, and says
// so in the fields.
func failureMode(said *string, mode string, fields []Field) (*string, []Field) {
	if said != nil {
		return said, fields
	}
	out := v1alpha1.DefaultFailureMode(mode)
	fields = slices.Clone(fields)
	for i := range fields {
		if fields[i].Path == "failureMode" {
			fields[i].Value = json.RawMessage(strconv.Quote(out))
			fields[i].From = builtIn + " of mode " + mode
		}
	}
	return &out, fields
}

// element is where an element of a joined list was written.
type element struct {
	policy v1alpha1.Key
	index  int
}

// contribution is one policy's value of a field.
type contribution struct {
	policy v1alpha1.Key
	level  level
	value  reflect.Value
	text   json.RawMessage
}

// merge joins a stack field by field and fills in the defaults.
func merge[S any](c *compiler, p *policies[S], stack []governing[S], defaults S) mergedPolicy[S] {
	name := signature(stack)
	if m, ok := p.merged[name]; ok {
		return m
	}
	m := mergedPolicy[S]{stack: stack, origins: map[string][]element{}, winners: map[string]v1alpha1.Key{}}
	for _, f := range v1alpha1.SpecFields(defaults) {
		m.field(c, f, defaults)
	}
	p.merged[name] = m
	return m
}

func (m *mergedPolicy[S]) field(c *compiler, f v1alpha1.SpecField, defaults S) {
	field := Field{Path: f.Path, From: builtIn}
	locker, locked := m.locker(f)
	if locked {
		field.Locked = locker.String()
	}
	var speak, refused []contribution
	for _, g := range m.stack {
		v, ok := f.Get(g.policy.spec)
		if !ok {
			continue
		}
		text, err := json.Marshal(v.Interface())
		if err != nil {
			continue // a decoded value renders
		}
		one := contribution{g.policy.key, g.level, v, text}
		if locked && g.level != levelRoot {
			field.Others = append(field.Others, Overridden{one.policy, text, "locked"})
			refused = append(refused, one)
			continue
		}
		speak = append(speak, one)
	}
	switch {
	case f.Append:
		m.join(f, speak, &field)
	case len(speak) > 0:
		m.choose(c, f, speak, &field)
	default:
		if v, ok := f.Get(defaults); ok {
			f.Set(&m.spec, v)
		}
	}
	field.Value = []byte("null")
	if v, ok := f.Get(&m.spec); ok {
		if text, err := json.Marshal(v.Interface()); err == nil {
			field.Value = text
		}
	}
	for _, one := range refused {
		if f.Append || !bytes.Equal(one.text, field.Value) { // to say the same is no attempt
			c.rep.bad(one.policy, v1alpha1.Programmed, reasonLocked, "spec."+f.Path, "is locked by %s and has no effect", locker)
		}
	}
	slices.Reverse(field.Others)
	m.fields = append(m.fields, field)
}

// locker finds the root policy that locks a field.
func (m *mergedPolicy[S]) locker(f v1alpha1.SpecField) (v1alpha1.Key, bool) {
	for _, g := range m.stack {
		if g.level == levelRoot && slices.ContainsFunc(g.policy.attachment.Locked, f.Within) {
			return g.policy.key, true
		}
	}
	return v1alpha1.Key{}, false
}

// join appends the lists, root first.
func (m *mergedPolicy[S]) join(f v1alpha1.SpecField, speak []contribution, field *Field) {
	if len(speak) == 0 {
		return
	}
	list := reflect.MakeSlice(speak[0].value.Type(), 0, 0)
	field.From = ""
	for _, one := range speak {
		list = reflect.AppendSlice(list, one.value)
		for i := range one.value.Len() {
			m.origins[f.Path] = append(m.origins[f.Path], element{one.policy, i})
		}
		if field.From != "" {
			field.From += ", "
		}
		field.From += one.policy.String()
	}
	f.Set(&m.spec, list)
}

// choose takes the most specific value; at equal rank the newer one, which is a
// condition on both when they differ.
func (m *mergedPolicy[S]) choose(c *compiler, f v1alpha1.SpecField, speak []contribution, field *Field) {
	winner := speak[len(speak)-1]
	for _, one := range speak[:len(speak)-1] {
		why := "less specific"
		if one.level == winner.level {
			why = "older"
			if !bytes.Equal(one.text, winner.text) && !c.ix.generated(one.policy) {
				message := "%s sets it too, at the same level (%s): the newer one, %s, holds; remove one"
				c.rep.bad(one.policy, v1alpha1.Conflicted, reasonEqualRank, "spec."+f.Path, message, winner.policy, winner.level, winner.policy)
				c.rep.bad(winner.policy, v1alpha1.Conflicted, reasonEqualRank, "spec."+f.Path, message, one.policy, winner.level, winner.policy)
			}
		}
		field.Others = append(field.Others, Overridden{one.policy, one.text, why})
	}
	field.From = winner.policy.String()
	m.winners[f.Path] = winner.policy
	f.Set(&m.spec, winner.value)
}
