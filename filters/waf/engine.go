// Package waf is the rule engine of the filter: one HTTP exchange in phases in,
// a denial and its evidence out. It wraps Coraza with the OWASP Core Rule Set
// as waf-rules assembles it, and is the only place that knows Coraza's types.
//
// It is not a transport and knows no policy modes beyond "report" and "stop":
// limits, failure modes, replies and events are filters/chain's, its only
// importer outside tests.
//
// Build with
//
//	-tags no_fs_access,coraza.disabled_operators.inspectFile,coraza.disabled_operators.rbl,coraza.disabled_operators.validateSchema
//
// so that the operators that run programs, ask the network or read schema files
// do not exist in the binary, and uploads are never written to disk. Custom
// rules cannot name them in any build; the tags are the second line.
package waf

import (
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"sync"

	"github.com/corazawaf/coraza/v3"
	"github.com/corazawaf/coraza/v3/experimental/plugins"

	wafrules "github.com/gabion-io/gabion/waf-rules"
)

// Config is everything that makes two engines differ.
type Config struct {
	Settings wafrules.Settings
	Limits   wafrules.Limits
	Detect   bool // report denials and go on, instead of stopping at the first
}

// Compiler makes engines, one for each distinct Config in use. Engines share
// their compiled patterns: the first takes some 200 ms, each further one a
// tenth. Safe for concurrent use.
type Compiler struct {
	mu      sync.Mutex
	engines map[string]*Engine
	rules   map[string]map[int]ruleFacts // of each profile and the base rules
	fast    *fast
}

// NewCompiler gives a compiler without engines.
func NewCompiler() *Compiler {
	return &Compiler{engines: map[string]*Engine{}, rules: map[string]map[int]ruleFacts{}, fast: newFast()}
}

// NewStockCompiler gives a compiler of engines without anything that makes them
// fast, to compare with. They are the rule engine's own down to its operators
// only if no other compiler has compiled in this process before.
func NewStockCompiler() *Compiler {
	return &Compiler{engines: map[string]*Engine{}, rules: map[string]map[int]ruleFacts{}}
}

// Engine is a compiled rule set. Safe for concurrent use.
type Engine struct {
	config   Config
	waf      coraza.WAF
	rules    map[int]ruleFacts // of the profile and the base rules, shared
	reads    bool              // the profile reads bodies and values
	custom   map[int]ruleFacts
	logging  bool  // custom rules of phase 5 exist
	closing  bool  // phase 4 can matter without a response body
	slow     error // why no rules are skipped
	opener   opener
	third    *skipPlan // of phase 3, if that may be put off while it rests; nil: it may not
	decided  map[int]bool
	compiler *Compiler
	key      string
	users    int // guarded by compiler.mu
}

// CompileError says which part of the settings does not compile.
type CompileError struct {
	Path string // "rules[0]"; "" when it is not the author's text
	Err  error
}

func (e *CompileError) Error() string {
	if e.Path == "" {
		return e.Err.Error()
	}
	return e.Path + ": " + e.Err.Error()
}

func (e *CompileError) Unwrap() error { return e.Err }

// Compile gives the engine for c, compiling it if no equal one is in use.
// Release it when done.
func (c *Compiler) Compile(config Config) (*Engine, error) {
	b, err := json.Marshal(config)
	if err != nil {
		return nil, fmt.Errorf("hash settings: %w", err)
	}
	key := string(b)
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.engines[key]; e != nil {
		e.users++
		return e, nil
	}
	profile, err := c.load(config.Settings.Profile)
	if err != nil {
		return nil, err
	}
	e := &Engine{config: config, rules: c.rules[profile.Name], reads: profile.Reads, compiler: c, key: key, users: 1}
	if err := e.compile(profile.Files()); err != nil {
		return nil, err
	}
	c.engines[key] = e
	return e, nil
}

// load reads a profile's rules once: they are embedded and cannot change.
func (c *Compiler) load(name string) (*wafrules.Profile, error) {
	profile, err := wafrules.LoadProfile(name)
	if err != nil || c.rules[name] != nil {
		return profile, err
	}
	registerAllow()
	registerForm()
	registerRead()
	if c.fast != nil {
		registerFast()
	}
	rules, err := wafrules.Catalogue(name)
	if err != nil {
		return nil, err
	}
	c.rules[name] = factsOf(rules)
	return profile, nil
}

func (e *Engine) compile(files fs.FS) error {
	parts, err := wafrules.Directives(e.config.Settings, e.config.Limits, e.config.Detect)
	if err != nil {
		return err
	}
	if e.reads {
		parts = slices.Insert(parts, 1, wafrules.Part{Text: readDirectives()})
	}
	skips := e.compiler.fast != nil && !e.config.Settings.Fast.NoSkip
	if skips {
		// After the engine's own configuration and before every rule.
		at := 1
		if e.reads {
			at = 2
		}
		parts = slices.Insert(parts, at, wafrules.Part{Text: skipDirectives()})
		crs := slices.IndexFunc(parts, func(p wafrules.Part) bool { return p.Path == "" && strings.HasPrefix(p.Text, "Include ") })
		parts = slices.Insert(parts, crs, wafrules.Part{Text: placeDirective()})
	}
	if e.compiler.fast != nil {
		files = ruleFiles{FS: files, alphabet: !e.config.Settings.Fast.NoAlphabet, literals: !e.config.Settings.Fast.NoLiterals}
	}
	conf := coraza.NewWAFConfig().WithRootFS(files)
	for _, p := range parts {
		conf = conf.WithDirectives(p.Text)
	}
	e.waf, err = newWAF(conf)
	if err != nil {
		return e.blame(files, parts, err)
	}
	var custom strings.Builder
	for _, r := range e.config.Settings.Rules {
		custom.WriteString(r)
		custom.WriteByte('\n')
	}
	rules := wafrules.RuleText("custom", custom.String())
	e.closing = strings.Contains(strings.ToLower(custom.String()), "secruleupdate") // may change any rule
	e.custom = factsOf(rules)
	for _, r := range rules {
		e.logging = e.logging || r.Phase == 5
		e.closing = e.closing || r.Phase == 4
	}
	if skips {
		e.slow = e.compiler.fast.plan(e)
	}
	return nil
}

// newWAF compiles a rule set. A rule that makes the engine panic does not
// compile: it must not end the process that checks or loads it.
func newWAF(conf coraza.WAFConfig) (w coraza.WAF, err error) {
	defer func() {
		if p := recover(); p != nil {
			w, err = nil, fmt.Errorf("the engine gave up: %v", p)
		}
	}()
	return coraza.NewWAF(conf)
}

// blame finds the first part with which compiling fails. Parts of the author
// are few, and this runs only after a failure.
func (e *Engine) blame(files fs.FS, parts []wafrules.Part, cause error) error {
	for i, p := range parts {
		if p.Path == "" {
			continue
		}
		conf := coraza.NewWAFConfig().WithRootFS(files)
		for _, q := range parts[:i+1] {
			conf = conf.WithDirectives(q.Text)
		}
		w, err := newWAF(conf)
		if err != nil {
			return &CompileError{Path: p.Path, Err: tidy(err)}
		}
		closeWAF(w)
	}
	return &CompileError{Err: tidy(cause)}
}

// tidy drops the engine's own prefix, which says nothing to an author.
func tidy(err error) error {
	return fmt.Errorf("%s", strings.TrimPrefix(err.Error(), "invalid WAF config from string: "))
}

// Release gives the engine back. The last release frees it; transactions that
// still run on it finish undisturbed.
func (e *Engine) Release() {
	e.compiler.mu.Lock()
	defer e.compiler.mu.Unlock()
	if e.users--; e.users > 0 {
		return
	}
	delete(e.compiler.engines, e.key)
	closeWAF(e.waf)
}

func closeWAF(w coraza.WAF) {
	if c, ok := w.(io.Closer); ok {
		_ = c.Close() // releases patterns only; cannot fail
	}
}

// registerAllow replaces the engine's own "allow" by one that also works while
// the engine only reports, so that detect and block come to the same result.
// The engine's registry of actions is a map of the process, read while rules
// compile: hence once, before the first compilation.
var registerAllow = sync.OnceFunc(func() { plugins.RegisterAction("allow", newAllow) })
