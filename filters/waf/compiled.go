package waf

import (
	"fmt"
	"reflect"
	"regexp"
	"unsafe"

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
	phrases         *phrases // of its operator, if known
}

type compiledTarget struct {
	variable variables.RuleVariable
	key      string
	pattern  *regexp.Regexp
	count    bool
}

type compiledAction struct {
	name   string
	action plugintypes.Action
}

// compiledRules reads the rules of the engine behind tx out of its memory. They
// are not part of its interface: the fields are looked up by name and type, and
// any surprise is an error, upon which nothing is skipped.
func compiledRules(tx types.Transaction) (rules []compiledRule, err error) {
	defer func() {
		if r := recover(); r != nil {
			rules, err = nil, fmt.Errorf("read compiled rules: %v", r)
		}
	}()
	list := reflect.ValueOf(tx).Elem().FieldByName("WAF").Elem().FieldByName("Rules").Addr().MethodByName("GetRules").Call(nil)[0]
	for i := range list.Len() {
		rules = append(rules, readRule(list.Index(i)))
	}
	return rules, nil
}

func readRule(v reflect.Value) compiledRule {
	meta := v.Addr().Interface().(types.RuleMetadata)
	r := compiledRule{
		id: meta.ID(), phase: int(meta.Phase()), tags: meta.Tags(), mark: meta.SecMark(), raw: []string{meta.Raw()},
		capture: v.FieldByName("Capture").Bool(), logs: v.FieldByName("Log").Bool(), multi: v.FieldByName("MultiMatch").Bool(),
		prefixes: field[[]int](v, "transformationPrefixIDs"),
	}
	for next := v.FieldByName("Chain"); !next.IsNil(); next = next.Elem().FieldByName("Chain") {
		r.raw = append(r.raw, next.Interface().(types.RuleMetadata).Raw())
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
		r.actions = append(r.actions, compiledAction{a.FieldByName("Name").String(), field[plugintypes.Action](a, "Function")})
	})
	each(v, "variables", func(t reflect.Value) {
		r.targets = append(r.targets, compiledTarget{
			variable: field[variables.RuleVariable](t, "Variable"), key: t.FieldByName("KeyStr").String(),
			pattern: field[*regexp.Regexp](t, "KeyRx"), count: t.FieldByName("Count").Bool(),
		})
	})
	if len(r.transformations) != len(r.prefixes) {
		panic("transformations and their numbers differ")
	}
	return r
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
