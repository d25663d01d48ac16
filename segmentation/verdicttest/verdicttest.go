// Package verdicttest reads .verdict scripts, workloads, policies and what must
// become of flows, in sentences one can read aloud, and runs them against
// anything that judges flows: Evaluate, or a datapath.
//
// A script is read top to bottom; a policy that is written again replaces the
// one of that name from there on:
//
//	# A shop.
//	namespace shop has env=prod
//	workload shop/web has app=web at 10.0.0.1, fd00::1
//	workload shop/cart has app=cart at 10.0.0.2, fd00::2 with http TCP 8080
//	name api.example.com is 192.0.2.1
//
//	policy shop/cart enforces for app=cart
//	  ingress from app=web on TCP http, TCP 9000-9009
//	  ingress denies from namespaces env=dev
//	  egress to name api.example.com or 10.9.0.0/16 except 10.9.1.0/24 on TCP 443
//
//	shop/web to shop/cart on TCP 8080 is allowed by shop/cart ingress[0]
//	shop/cart to 192.0.2.9 on TCP 443 is denied
//
// Peers: anybody, nobody, an address or prefix, name PATTERN, or a selector as
// kubectl takes it with "namespace NAME", "namespaces SELECTOR", "every namespace"
// before it and "named PATTERN" after it; without a namespace it is the policy's.
// "any workload" is the selector that picks all. Modes: enforces, audits,
// observes. "policy shop/cart is gone" removes it. "when GET,POST /orders/{id} by
// CALLER" ends a rule about requests; a flow says "asking GET /orders/7 as CALLER".
//
// It is for tests, of any area.
package verdicttest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gabion-io/gabion/segmentation"
)

// Judge is what a script runs against.
type Judge interface {
	// Apply puts policies in the place of those before. They are not changed
	// afterwards.
	Apply(policies []segmentation.Policy) error
	// Evaluate judges one flow. A judge that cannot tell the rule returns a zero
	// RuleRef, and is asked for verdicts only.
	Evaluate(f segmentation.Flow) (segmentation.Verdict, segmentation.RuleRef, error)
}

// Run runs every .verdict script below a directory, each against a judge of its
// own.
func Run(t *testing.T, dir string, start func(t *testing.T, world segmentation.World) Judge) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.verdict"))
	if err != nil || len(files) == 0 {
		t.Fatalf("there is no .verdict script in %s (%v)", dir, err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".verdict"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			script, err := Parse(file, string(text))
			if err != nil {
				t.Fatal(err)
			}
			script.Run(t, start(t, script.World))
		})
	}
}

// Run checks every sentence of a script.
func (s *Script) Run(t *testing.T, j Judge) {
	t.Helper()
	applied := -1
	for _, c := range s.Checks {
		if c.Policies != applied {
			if err := j.Apply(s.Policies[c.Policies]); err != nil {
				t.Fatalf("%s:%d: apply the policies: %v", s.File, c.Line, err)
			}
			applied = c.Policies
		}
		got, rule, err := j.Evaluate(c.Flow)
		switch {
		case err != nil:
			t.Errorf("%s:%d: %s: %v", s.File, c.Line, c.Text, err)
		case got != c.Want:
			t.Errorf("%s:%d: %s: it is %s by %s", s.File, c.Line, c.Text, got, rule)
		case c.By != "" && rule != segmentation.RuleRef{} && !strings.HasSuffix(rule.String(), c.By):
			t.Errorf("%s:%d: %s: it is by %s", s.File, c.Line, c.Text, rule)
		}
	}
}

// Reference is Evaluate as a Judge.
func Reference() Judge { return &reference{} }

type reference struct{ policies []segmentation.Policy }

func (r *reference) Apply(p []segmentation.Policy) error {
	r.policies = p
	return nil
}

func (r *reference) Evaluate(f segmentation.Flow) (segmentation.Verdict, segmentation.RuleRef, error) {
	v, rule := segmentation.Evaluate(r.policies, f)
	return v, rule, nil
}

// Tables is Compile and the Table it gives as a Judge.
func Tables(w segmentation.World) Judge { return &tables{world: w} }

type tables struct {
	world segmentation.World
	table *segmentation.Table
}

func (r *tables) Apply(p []segmentation.Policy) error {
	r.table = segmentation.Compile(p, r.world)
	return nil
}

func (r *tables) Evaluate(f segmentation.Flow) (segmentation.Verdict, segmentation.RuleRef, error) {
	out, outRule := r.table.Judge(f, segmentation.Egress)
	in, inRule := r.table.Judge(f, segmentation.Ingress)
	v, rule := segmentation.Join(out, outRule, in, inRule)
	return v, rule, nil
}
