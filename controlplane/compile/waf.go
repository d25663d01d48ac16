package compile

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gabion-io/gabion/controlplane/api/v1alpha1"
	"github.com/gabion-io/gabion/filters"
	wafrules "github.com/gabion-io/gabion/waf-rules"
)

type mergedWAF = mergedPolicy[v1alpha1.WAFPolicySpec]

// effectiveWAF merges the WAFPolicies of a place and fills in what follows from
// other fields.
func (c *compiler) effectiveWAF(at place) mergedWAF {
	m := merge(c, c.waf, c.waf.stack(at), v1alpha1.WAFPolicyDefaults())
	m.spec.FailureMode, m.fields = failureMode(m.spec.FailureMode, *m.spec.Mode, m.fields)
	return m
}

// settings is the WAF's part of a policy with the origin of every list element
// that is in force.
type settings struct {
	wafrules.Settings
	exclusions []element
	rules      []element
}

// fastOf turns off what a diagnosis does without.
func fastOf(d *v1alpha1.Diagnosis) wafrules.Fast {
	if d == nil {
		return wafrules.Fast{}
	}
	without := func(step string) bool { return slices.Contains(d.Without, step) }
	return wafrules.Fast{
		NoAlphabet: without("alphabet"), NoLiterals: without("literals"), NoSkip: without("skip"),
		NoLevels: without("levels"), NoSetup: without("setup"), NoMemory: without("memory"),
	}
}

// settingsOf leaves out exclusions whose time is over.
func (c *compiler) settingsOf(m mergedWAF) settings {
	s := settings{Settings: wafrules.Settings{
		Profile:       *m.spec.Profile,
		ParanoiaLevel: *m.spec.ParanoiaLevel,
		Inbound:       *m.spec.AnomalyThreshold.Inbound,
		Outbound:      *m.spec.AnomalyThreshold.Outbound,
		MaxArguments:  *m.spec.MaxArguments,
		JSONDepth:     *m.spec.RequestBody.JSONDepth,
		Rules:         slices.Clone(m.spec.Rules),
		Fast:          fastOf(m.spec.Diagnosis),
	}}
	s.rules = m.origins["rules"]
	for i, e := range m.spec.Exclusions {
		from := m.origins["exclusions"][i]
		out := wafrules.Exclusion{
			Rule: deref(e.Rule), Tag: deref(e.Tag), Target: deref(e.Target), Host: deref(e.Host),
			Path: deref(e.Path), Method: deref(e.Method), Reason: deref(e.Reason),
		}
		if e.Expires != nil {
			end := e.Expires.UTC()
			if !c.o.Now.Before(end) {
				c.rep.bad(from.policy, v1alpha1.Programmed, reasonExpired, fmt.Sprintf("spec.exclusions[%d]", from.index),
					"ended on %s and has no effect: remove it, or give it more time", end.Format(time.RFC3339))
				continue
			}
			c.wake(end)
			out.Expires = &end
		}
		s.Exclusions = append(s.Exclusions, out)
		s.exclusions = append(s.exclusions, from)
	}
	return s
}

// policyOf is the filter's form of an effective WAFPolicy.
func policyOf(spec v1alpha1.WAFPolicySpec, s wafrules.Settings) filters.Policy {
	p := filters.Policy{
		Mode:        filters.Mode(*spec.Mode),
		FailureMode: filters.FailureMode(*spec.FailureMode),
	}
	if p.Mode == filters.ModeOff {
		return p // all that is off is one policy, whatever else it says
	}
	p.RequestBody = filters.BodyInspection{
		Inspect: *spec.RequestBody.Inspect, Limit: int64(*spec.RequestBody.Limit),
		StructuredLimit: int64(*spec.RequestBody.StructuredLimit), Depth: *spec.RequestBody.JSONDepth,
		Beyond: filters.Beyond(*spec.RequestBody.BeyondLimit), Types: bodyLimits(spec.RequestBody), MinRate: int64(*spec.RequestBody.MinRate),
	}
	p.MaxMillis = time.Duration(*spec.MaxInspectionTime).Milliseconds()
	p.ResponseBody = filters.BodyInspection{
		Inspect: *spec.ResponseBody.Inspect, Limit: int64(*spec.ResponseBody.Limit),
		Beyond: filters.Beyond(*spec.ResponseBody.BeyondLimit), ContentTypes: spec.ResponseBody.ContentTypes,
	}
	p.Block = filters.BlockResponse{Status: *spec.Block.Status, HTML: deref(spec.Block.HTML), JSON: deref(spec.Block.JSON)}
	text, err := json.Marshal(s)
	if err != nil {
		panic(err) // plain data
	}
	p.WAF = text
	return p
}

// shipped decides what goes out for one binding: the policy as merged; where the
// filter's own compile refuses it, the last good one; where there is none, the
// policy without the parts refused. False: nothing of it can ship.
func (c *compiler) shipped(name string, m mergedWAF) (filters.Policy, bool) {
	s := c.settingsOf(m)
	p := policyOf(m.spec, s.Settings)
	found := c.check(p)
	if p.Mode != filters.ModeOff {
		c.idleParts.seen(s)
		found = append(slices.Clip(found), idleLimits(m.spec.RequestBody)...)
	}
	if !slices.ContainsFunc(found, fatal) {
		c.tell(m, s, found, "")
		return p, true
	}
	if last, ok := c.o.Good[name]; ok {
		c.tell(m, s, found, keepsLastGood)
		return last, true
	}
	bare := s.Settings
	bare.Exclusions, bare.Rules = nil, nil
	for _, reduced := range []wafrules.Settings{without(s.Settings, found), bare} {
		if p = policyOf(m.spec, reduced); !slices.ContainsFunc(c.check(p), fatal) {
			c.tell(m, s, found, "; it is left out")
			return p, true
		}
	}
	c.tell(m, s, found, "; nothing is inspected where the policy governs")
	return filters.Policy{}, false
}

const keepsLastGood = "; the last good version keeps shipping"

func fatal(p wafrules.Problem) bool { return p.Fatal }

// check runs the filter's own compile once per distinct policy.
func (c *compiler) check(p filters.Policy) []wafrules.Problem {
	if c.o.Check == nil || !p.Inspects() {
		return nil
	}
	id := filters.PolicyID(p)
	found, ok := c.checked[id]
	if !ok {
		found = c.o.Check(p)
		c.checked[id] = found
	}
	return found
}

// without takes the refused list elements out of the settings.
func without(s wafrules.Settings, found []wafrules.Problem) wafrules.Settings {
	refused := map[string]bool{}
	for _, p := range found {
		if list, i, _, ok := listElement(p.Path); ok && p.Fatal {
			refused[fmt.Sprintf("%s[%d]", list, i)] = true
		}
	}
	out := s
	out.Exclusions, out.Rules = nil, nil
	for i, e := range s.Exclusions {
		if !refused[fmt.Sprintf("exclusions[%d]", i)] {
			out.Exclusions = append(out.Exclusions, e)
		}
	}
	for i, r := range s.Rules {
		if !refused[fmt.Sprintf("rules[%d]", i)] {
			out.Rules = append(out.Rules, r)
		}
	}
	return out
}

// listElement takes "exclusions[2].target" apart.
func listElement(path string) (list string, index int, rest string, ok bool) {
	list, tail, ok := strings.Cut(path, "[")
	if !ok {
		return "", 0, "", false
	}
	number, rest, ok := strings.Cut(tail, "]")
	index, err := strconv.Atoi(number)
	return list, index, rest, ok && err == nil
}

// tell turns problems of the merged settings into conditions on the resources
// that wrote the parts.
func (c *compiler) tell(m mergedWAF, s settings, found []wafrules.Problem, outcome string) {
	for _, p := range found {
		k, path := origin(m, s, p.Path)
		message := p.Message
		if p.Line > 0 {
			message = fmt.Sprintf("line %d, column %d: %s", p.Line, p.Column, message)
		}
		if !p.Fatal {
			c.idleParts.add(s, p.Path, k, path, message)
			continue
		}
		reason := ReasonInvalid
		if outcome == keepsLastGood {
			reason = ReasonLastGoodKept
		}
		c.rep.bad(k, v1alpha1.Programmed, reason, path, "%s", message+outcome)
	}
}

// origin finds who wrote the part of the merged settings that a path points to.
func origin(m mergedWAF, s settings, path string) (v1alpha1.Key, string) {
	if list, i, rest, ok := listElement(path); ok {
		from := map[string][]element{"exclusions": s.exclusions, "rules": s.rules}[list]
		if i >= 0 && i < len(from) {
			return from[i].policy, fmt.Sprintf("spec.%s[%d]%s", list, from[i].index, rest)
		}
		if k, ok := m.winners[list]; ok {
			return k, "spec." + path
		}
	}
	for _, name := range []string{path, "anomalyThreshold." + path, "requestBody." + path} {
		if k, ok := m.winners[name]; ok {
			return k, "spec." + name
		}
	}
	return m.stack[len(m.stack)-1].policy.key, "spec"
}
