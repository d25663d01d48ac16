package main

import (
	"context"
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
)

// measurePolicies says what further policies take in memory: each has an
// exclusion and a rule of its own on a route of its own, and gets as much traffic
// as the first. The module's Envoy is measured before, under the same load.
func measurePolicies(ctx context.Context, contenders []contender, policies, requests int) error {
	for _, c := range contenders {
		if c.name != "Envoy + module" || policies == 0 {
			continue
		}
		before, err := loadedRSS(ctx, c, 1, requests)
		if err != nil {
			return err
		}
		if err := applyPolicies(ctx, c, policies); err != nil {
			return err
		}
		after, err := loadedRSS(ctx, c, policies, requests)
		if err != nil {
			return err
		}
		fmt.Printf("\n%s: RSS %.0f MiB with one policy, %.0f MiB with %d more: %.1f MiB for each\n",
			c.name, before, after, policies, (after-before)/float64(policies))
	}
	return nil
}

func applyPolicies(ctx context.Context, c contender, n int) error {
	state, err := c.state()
	if err != nil {
		return err
	}
	var manifest strings.Builder
	for i := range n {
		fmt.Fprintf(&manifest, policyOnRoute, i, c.upstream, 942100+10*(i%5), 2000+i)
	}
	cmd := exec.CommandContext(ctx, filepath.Join("bin", "gabion"), "apply", "--state", state, "-f", "-")
	cmd.Stdin = strings.NewReader(manifest.String())
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("apply %d policies: %w: %s", n, err, out)
	}
	for i := range n {
		if err := awaitDenial(ctx, fmt.Sprintf("%s/policy%d/x?probe=word%d", c.base, i, i)); err != nil {
			return fmt.Errorf("policy %d: %w", i, err)
		}
	}
	return nil
}

const policyOnRoute = `---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: policy%[1]d}
spec:
  parentRefs: [{name: gabion}]
  rules: [{matches: [{path: {type: PathPrefix, value: /policy%[1]d}}], backendRefs: [{name: upstream, port: %[2]s}]}]
---
apiVersion: gabion.io/v1alpha1
kind: WAFPolicy
metadata: {name: policy%[1]d}
spec:
  targetRefs: [{group: gateway.networking.k8s.io, kind: HTTPRoute, name: policy%[1]d}]
  exclusions: [{rule: %[3]d, target: "ARGS:field%[1]d"}]
  rules: ['SecRule ARGS:probe "@streq word%[1]d" "id:%[4]d,phase:1,deny,status:403"']
`

// loadedRSS sends the mix to every policy and gives the most that was resident.
func loadedRSS(ctx context.Context, c contender, policies, requests int) (most float64, err error) {
	for i := range policies {
		k := c
		if policies > 1 {
			k.base = fmt.Sprintf("%s/policy%d", c.base, i)
		}
		for _, kind := range mixCases() {
			m := newMix(uint64(100 + i))
			var f figure
			if err := f.burst(ctx, k, requests/policies+1, 1, func() *http.Request { return kind.make(m, k.base) }); err != nil {
				return 0, err
			}
			if f.Other > 0 {
				return 0, fmt.Errorf("policy %d: %d of %d requests were not answered with 200", i, f.Other, f.Requests)
			}
			most = max(most, f.RSSMiB)
		}
	}
	return most, nil
}
