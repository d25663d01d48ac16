package waf

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"unsafe"

	"github.com/corazawaf/coraza/v3/experimental/plugins/macro"
	"github.com/corazawaf/coraza/v3/experimental/plugins/plugintypes"
	"github.com/corazawaf/coraza/v3/types"
	"github.com/corazawaf/coraza/v3/types/variables"
)

// compiledRule is what the engine made of a rule: everything that decides
// whether its first link can match, after all updates to the rule.
type compiledRule struct {
	id              int
	phase           int
	raw             []string // of all links
	tags            []string
	mark            string // of a SecMarker
	targets         []compiledTarget
	operator        plugintypes.Operator // nil: an action, matches always
	function, data  string
	negated         bool
	capture, logs   bool
	multi           bool
	transformations []plugintypes.Transformation
	prefixes        []int // the engine's number for the transformations up to each
	actions         []compiledAction
	setvars         []setVar
	ctls            []ctl
	skips           int            // of its action skip
	jumpsTo         string         // by its action skipAfter; of several the last counts
	texts           []string       // all that is expanded when the link is evaluated or matches
	chain           []compiledRule // the links after the first
}

type compiledTarget struct {
	variable variables.RuleVariable
	key      string
	pattern  *regexp.Regexp
	count    bool
	excepts  bool // some of its values are left out
}

type compiledAction struct {
	name   string
	action plugintypes.Action
	place  *plugintypes.Action // where the engine finds it
}

// compiledRules reads the rules of the engine behind tx out of its memory. They
// are not part of its interface: the fields are looked up by name and type, and
// any surprise is an error, upon which nothing is skipped.
//
// The texts of the rules become those of shared on the way, unless that is nil.
func compiledRules(tx types.Transaction, shared *texts) (rules []compiledRule, err error) {
	defer func() {
		if r := recover(); r != nil {
			rules, err = nil, fmt.Errorf("read compiled rules: %v", r)
		}
	}()
	list := reflect.ValueOf(tx).Elem().FieldByName("WAF").Elem().FieldByName("Rules").Addr().MethodByName("GetRules").Call(nil)[0]
	for i := range list.Len() {
		if shared != nil {
			shared.share(list.Index(i))
		}
		r := readLink(list.Index(i))
		for next := list.Index(i).FieldByName("Chain"); !next.IsNil(); next = next.Elem().FieldByName("Chain") {
			r.chain = append(r.chain, readLink(next.Elem()))
			r.raw = append(r.raw, r.chain[len(r.chain)-1].raw[0])
		}
		rules = append(rules, r)
	}
	return rules, nil
}

// dropRules takes the dead out of the engine behind tx for good: it goes through
// all of its rules in every phase.
func dropRules(tx types.Transaction, rules []compiledRule, dead map[int]bool) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("drop rules that never run: %v", r)
		}
	}()
	drop := reflect.ValueOf(tx).Elem().FieldByName("WAF").Elem().FieldByName("Rules").Addr().MethodByName("DeleteByRange")
	ids := make([]int, 0, len(rules))
	for i := range rules {
		if rules[i].id != markerID {
			ids = append(ids, rules[i].id)
		}
	}
	slices.Sort(ids)
	for i := 0; i < len(ids); i++ {
		first := i
		for i < len(ids) && dead[ids[i]] {
			i++
		}
		if i > first {
			drop.Call([]reflect.Value{reflect.ValueOf(ids[first]), reflect.ValueOf(ids[i-1])})
		}
	}
	return nil
}

func readLink(v reflect.Value) compiledRule {
	meta := v.Addr().Interface().(types.RuleMetadata)
	r := compiledRule{
		id: meta.ID(), phase: int(meta.Phase()), tags: meta.Tags(), mark: meta.SecMark(), raw: []string{meta.Raw()},
		capture: v.FieldByName("Capture").Bool(), logs: v.FieldByName("Log").Bool(), multi: v.FieldByName("MultiMatch").Bool(),
		prefixes: field[[]int](v, "transformationPrefixIDs"),
	}
	if op := v.FieldByName("operator"); !op.IsNil() {
		op = op.Elem()
		r.operator = field[plugintypes.Operator](op, "Operator")
		r.function, r.data = op.FieldByName("Function").String(), op.FieldByName("Data").String()
		r.negated = op.FieldByName("Negation").Bool()
	}
	each(v, "transformations", func(t reflect.Value) {
		r.transformations = append(r.transformations, field[plugintypes.Transformation](t, "Function"))
	})
	each(v, "actions", func(a reflect.Value) {
		action := field[plugintypes.Action](a, "Function")
		place := (*plugintypes.Action)(unsafe.Pointer(a.FieldByName("Function").UnsafeAddr()))
		name := strings.ToLower(a.FieldByName("Name").String())
		r.actions = append(r.actions, compiledAction{name, action, place})
		r.take(name, action)
	})
	each(v, "variables", func(t reflect.Value) {
		r.targets = append(r.targets, compiledTarget{
			variable: field[variables.RuleVariable](t, "Variable"), key: t.FieldByName("KeyStr").String(),
			pattern: field[*regexp.Regexp](t, "KeyRx"), count: t.FieldByName("Count").Bool(), excepts: t.FieldByName("Exceptions").Len() > 0,
		})
	})
	r.texts = append(r.texts, r.raw[0], r.data)
	for _, name := range []string{"Msg", "LogData"} {
		if m := field[macro.Macro](v, name); m != nil {
			r.texts = append(r.texts, m.String())
		}
	}
	if len(r.transformations) != len(r.prefixes) {
		panic("transformations and their numbers differ")
	}
	return r
}

// take reads what an action says. That is not always in the rule's text: another
// directive may have added the action.
func (r *compiledRule) take(name string, action plugintypes.Action) {
	switch name {
	case "setvar":
		r.setvars = append(r.setvars, readSetVar(reflect.ValueOf(action).Elem()))
	case "ctl":
		if _, ours := action.(*targetRemover); !ours { // of an engine that was planned before
			r.ctls = append(r.ctls, readCtl(reflect.ValueOf(action).Elem()))
		}
	case "skip":
		r.skips = int(reflect.ValueOf(action).Elem().FieldByName("data").Int())
	case "skipafter":
		r.jumpsTo = reflect.ValueOf(action).Elem().FieldByName("data").String()
	}
}

// field reads an unexported field; it panics unless its type is T.
func field[T any](v reflect.Value, name string) T {
	f := v.FieldByName(name)
	if f.Type() != reflect.TypeFor[T]() {
		panic(fmt.Sprintf("field %s is a %v", name, f.Type()))
	}
	return *(*T)(unsafe.Pointer(f.UnsafeAddr()))
}

func each(v reflect.Value, name string, f func(reflect.Value)) {
	list := v.FieldByName(name)
	for i := range list.Len() {
		f(list.Index(i))
	}
}
