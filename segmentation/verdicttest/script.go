package verdicttest

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/gabion-io/gabion/segmentation"
	"github.com/gabion-io/gabion/workload"
)

// Script is a .verdict script that was read.
type Script struct {
	File     string
	World    segmentation.World
	Policies [][]segmentation.Policy // the sets there are, in turn
	Checks   []Check
}

// Check is one sentence about a flow.
type Check struct {
	Line     int
	Text     string
	Policies int // index of Script.Policies
	Flow     segmentation.Flow
	Want     segmentation.Verdict
	By       string // how the rule's text must end; empty: any
}

// Parse reads a script.
func Parse(file, text string) (*Script, error) {
	p := &parser{
		script: &Script{File: file, World: segmentation.World{Names: map[string][]netip.Addr{}}},
		spaces: map[string]workload.Labels{}, changed: true,
	}
	for n, line := range strings.Split(text, "\n") {
		line, _, _ = strings.Cut(line, "#")
		words := strings.Join(strings.Fields(line), " ")
		if words == "" {
			continue
		}
		if err := p.sentence(n+1, words); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", file, n+1, err)
		}
	}
	return p.script, nil
}

type parser struct {
	script   *Script
	spaces   map[string]workload.Labels
	policies []segmentation.Policy
	current  int  // of the policy that rules are added to
	changed  bool // since the last check
}

func (p *parser) sentence(line int, text string) error {
	first, rest, _ := strings.Cut(text, " ")
	switch first {
	case "namespace":
		return p.namespace(rest)
	case "workload":
		return p.workload(rest)
	case "name":
		return p.name(rest)
	case "policy":
		p.changed = true
		return p.policy(rest)
	case "ingress", "egress":
		p.changed = true
		return p.rule(first, rest)
	}
	return p.check(line, text)
}

func (p *parser) namespace(text string) error {
	name, labels, ok := strings.Cut(text, " has ")
	if !ok {
		return fmt.Errorf("a namespace reads: namespace NAME has LABEL=VALUE,…")
	}
	l, err := parseLabels(labels)
	p.spaces[name] = l
	return err
}

func parseLabels(text string) (workload.Labels, error) {
	l := workload.Labels{}
	for _, pair := range strings.Split(text, ",") {
		name, value, ok := strings.Cut(strings.TrimSpace(pair), "=")
		if !ok || name == "" {
			return nil, fmt.Errorf("%q is no label: write name=value", pair)
		}
		l[name] = value
	}
	return l, nil
}

// workload reads: shop/cart has app=cart at 10.0.0.2, fd00::2 with http TCP 8080
func (p *parser) workload(text string) error {
	text, ports, _ := strings.Cut(text, " with ")
	text, addresses, _ := strings.Cut(text, " at ")
	name, labels, _ := strings.Cut(text, " has ")
	id, err := workload.ParseID(name)
	if err != nil {
		return err
	}
	w := &workload.Workload{ID: id, NamespaceLabels: p.spaces[id.Namespace]}
	if labels != "" {
		if w.Labels, err = parseLabels(labels); err != nil {
			return err
		}
	}
	if w.Addresses, err = parseAddresses(addresses); err != nil {
		return err
	}
	for _, port := range splitList(ports) {
		var name string
		if name, port, _ = strings.Cut(port, " "); port == "" {
			return fmt.Errorf("a named port reads: with NAME PROTOCOL PORT")
		}
		n, err := parsePorts(port)
		if err != nil || n.From == 0 || n.From != n.To {
			return fmt.Errorf("%q is no port: write PROTOCOL PORT (%v)", port, err)
		}
		w.Ports = append(w.Ports, workload.Port{Name: name, Protocol: uint8(n.Protocol), Number: n.From})
	}
	p.script.World.Workloads = append(p.script.World.Workloads, w)
	return nil
}

func parseAddresses(text string) (out []netip.Addr, err error) {
	for _, a := range splitList(text) {
		addr, err := netip.ParseAddr(a)
		if err != nil {
			return nil, err
		}
		out = append(out, addr)
	}
	return out, nil
}

func splitList(text string) (out []string) {
	for _, part := range strings.Split(text, ",") {
		if part = strings.TrimSpace(part); part != "" {
			out = append(out, part)
		}
	}
	return out
}

// name reads: api.example.com is 192.0.2.1, 192.0.2.2
func (p *parser) name(text string) (err error) {
	name, list, ok := strings.Cut(text, " is ")
	if !ok {
		return fmt.Errorf("a DNS name reads: name NAME is ADDRESS, …")
	}
	p.script.World.Names[name], err = parseAddresses(list)
	return err
}

// check reads: SRC to DST on TCP 80 [asking GET /x as CALLER] is VERDICT [by RULE]
func (p *parser) check(line int, text string) error {
	c := Check{Line: line, Text: text}
	ends, verdict, ok := strings.Cut(text, " is ")
	if !ok {
		return fmt.Errorf("%q is no sentence I know: a flow reads SRC to DST on PROTOCOL PORT is allowed, audited or denied", text)
	}
	verdict, c.By, _ = strings.Cut(verdict, " by ")
	var err error
	if c.Want, err = segmentation.ParseVerdict(verdict); err != nil {
		return err
	}
	ends, request, asking := strings.Cut(ends, " asking ")
	ends, port, _ := strings.Cut(ends, " on ")
	src, dst, ok := strings.Cut(ends, " to ")
	if !ok {
		return fmt.Errorf("%q names no two ends: write SRC to DST", ends)
	}
	if c.Flow.Src, c.Flow.Dst, err = p.ends(src, dst); err != nil {
		return err
	}
	port, c.Flow.Proxied = strings.CutSuffix(port, " through a proxy")
	n, err := parsePorts(port)
	if err != nil || n.Name != "" {
		return fmt.Errorf("%q is no protocol and port (%v)", port, err)
	}
	c.Flow.Protocol, c.Flow.Port = n.Protocol, n.From
	if asking {
		what, caller, _ := strings.Cut(request, " as ")
		method, path, _ := strings.Cut(what, " ")
		c.Flow.Proxied, c.Flow.Request = true, &segmentation.Request{Method: method, Path: path, Caller: caller}
	}
	if p.changed {
		p.script.Policies, p.changed = append(p.script.Policies, slices.Clone(p.policies)), false
	}
	c.Policies = len(p.script.Policies) - 1
	p.script.Checks = append(p.script.Checks, c)
	return nil
}

// ends finds both ends of a flow: workloads, at an address if one is given
// ("shop/web at fd00::1"), or addresses outside.
func (p *parser) ends(src, dst string) (a, b segmentation.Endpoint, err error) {
	if a, err = p.end(src); err != nil {
		return a, b, err
	}
	if b, err = p.end(dst); err != nil {
		return a, b, err
	}
	if a.Workload != nil && b.Workload != nil && !strings.Contains(src+dst, " at ") {
		a, b = segmentation.Between(a.Workload, b.Workload)
	}
	return a, b, nil
}

func (p *parser) end(text string) (segmentation.Endpoint, error) {
	name, at, _ := strings.Cut(text, " at ")
	if addr, err := netip.ParseAddr(name); err == nil {
		e := segmentation.Outside(addr)
		for known, list := range p.script.World.Names {
			if slices.Contains(list, addr) {
				e.Names = append(e.Names, known)
			}
		}
		slices.Sort(e.Names)
		return e, nil
	}
	for _, w := range p.script.World.Workloads {
		if w.ID.String() != name {
			continue
		}
		e := segmentation.At(w)
		if at == "" {
			return e, nil
		}
		addr, err := netip.ParseAddr(at)
		e.Addr = addr
		return e, err
	}
	return segmentation.Endpoint{}, fmt.Errorf("%q is no workload that was named before, and no address", text)
}
