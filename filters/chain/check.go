package chain

import (
	"errors"
	"slices"
	"sync"

	"github.com/gabion-io/gabion/filters"
	"github.com/gabion-io/gabion/filters/apiguard"
	"github.com/gabion-io/gabion/filters/waf"
	wafrules "github.com/gabion-io/gabion/waf-rules"
)

// Check compiles a policy with the filter's own code and reports everything an
// author should mend. A Problem that is Fatal means Load would refuse it. Who
// checks many policies keeps a Checker.
func Check(p filters.Policy) []wafrules.Problem { return NewChecker().Check(p) }

// Checker checks policies for a control plane. It remembers what it found and
// keeps patterns compiled from one policy to the next: the first takes some
// 300 ms, another policy a tenth, a known one nothing. Safe for concurrent use.
type Checker struct {
	compiler *waf.Compiler
	mu       sync.Mutex
	known    map[string][]wafrules.Problem
	order    []string // of known, oldest first
	warm     *waf.Engine
}

// maxChecked bounds the results a Checker remembers.
const maxChecked = 1024

// NewChecker gives a checker that remembers nothing yet.
func NewChecker() *Checker {
	return &Checker{compiler: waf.NewCompiler(), known: map[string][]wafrules.Problem{}}
}

// Check reports what an author should mend.
func (c *Checker) Check(p filters.Policy) []wafrules.Problem {
	id := filters.PolicyID(p)
	c.mu.Lock()
	defer c.mu.Unlock()
	found, ok := c.known[id]
	if !ok {
		found = c.check(p)
		c.known[id] = found
		if c.order = append(c.order, id); len(c.order) > maxChecked {
			delete(c.known, c.order[0])
			c.order = c.order[1:]
		}
	}
	return slices.Clone(found)
}

func (c *Checker) check(p filters.Policy) []wafrules.Problem {
	fatal := func(path string, err error) []wafrules.Problem {
		return []wafrules.Problem{{Path: path, Message: err.Error(), Fatal: true}}
	}
	if err := validate(p); err != nil {
		return fatal("", err)
	}
	var problems []wafrules.Problem
	if p.API != nil {
		for _, q := range apiguard.Check(*p.API) {
			problems = append(problems, wafrules.Problem{Path: "api." + q.Path, Message: q.Message, Fatal: q.Fatal})
		}
	}
	if len(p.WAF) == 0 {
		return problems
	}
	settings, err := decodeSettings(p.WAF)
	if err != nil {
		return fatal("", err)
	}
	problems = append(problems, wafrules.Lint(settings, wafrules.Context{RequestBody: p.RequestBody.Inspect, ResponseBody: p.ResponseBody.Inspect})...)
	for _, q := range problems {
		if q.Fatal {
			return problems
		}
	}
	if p.Mode == filters.ModeOff {
		p.Mode = filters.ModeDetect // what is off today is checked all the same
	}
	compiled, err := c.compiler.Compile(engineConfig(p, settings))
	if err != nil {
		var e *waf.CompileError
		if errors.As(err, &e) {
			return append(problems, fatal(e.Path, e.Err)...)
		}
		return append(problems, fatal("", err)...)
	}
	if c.warm != nil {
		c.warm.Release()
	}
	c.warm = compiled
	return problems
}
