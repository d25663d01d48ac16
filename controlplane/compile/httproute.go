package compile

import (
	"fmt"
	"time"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/gabion-io/gabion/controlplane/api/v1alpha1"
	"github.com/gabion-io/gabion/controlplane/ir"
)

// failed is the answer of a rule that cannot do what it says: the request must
// not pass as though the rule were not there.
var failed = ir.DirectResponse{Status: 500}

func (c *compiler) httpRule(k v1alpha1.Key, spec gatewayv1.HTTPRouteRule, i int) rule {
	path := fmt.Sprintf("spec.rules[%d]", i)
	out := rule{name: c.ruleName(k, spec.Name, i), index: i, matches: c.httpMatches(k, path, spec.Matches)}
	out.action.Resource = refOf(k)
	ok := c.routeFilters(k, path, spec.Filters, &out)
	c.timeouts(k, path, spec.Timeouts, &out.action)
	c.retry(k, path, spec.Retry, &out.action)
	if spec.SessionPersistence != nil {
		c.rep.bad(k, v1alpha1.Programmed, reasonUnsupported, path+".sessionPersistence", "is not supported and has no effect")
	}
	if out.action.Redirect != nil && len(spec.BackendRefs) > 0 {
		c.rep.bad(k, v1alpha1.Accepted, "IncompatibleFilters", path+".backendRefs", "cannot stand beside a RequestRedirect: remove one")
	}
	if ok && out.action.Redirect == nil {
		out.action.Backends, out.services = c.backends(k, path, spec.BackendRefs, false)
		ok = len(out.action.Backends) > 0
	}
	if !ok {
		out.fail()
	}
	return out
}

// fail makes the rule answer 500.
func (r *rule) fail() {
	direct := failed
	r.action = ir.Route{Resource: r.action.Resource, Direct: &direct, Streaming: r.action.Streaming}
}

// duration reads a Gateway API duration; its pattern is checked here.
func (c *compiler) duration(k v1alpha1.Key, path string, d *gatewayv1.Duration) *time.Duration {
	if d == nil {
		return nil
	}
	v, err := time.ParseDuration(string(*d))
	if err != nil || v < 0 {
		c.rep.bad(k, v1alpha1.Accepted, ReasonInvalid, path, "%q is no duration: write it like 10s or 1m30s; the default holds", *d)
		return nil
	}
	return &v
}

func (c *compiler) timeouts(k v1alpha1.Key, path string, t *gatewayv1.HTTPRouteTimeouts, out *ir.Route) {
	if t == nil {
		return
	}
	out.Timeout = c.duration(k, path+".timeouts.request", t.Request)
	out.BackendTimeout = c.duration(k, path+".timeouts.backendRequest", t.BackendRequest)
	if out.Timeout != nil && out.BackendTimeout != nil && *out.Timeout != 0 && *out.BackendTimeout > *out.Timeout {
		c.rep.bad(k, v1alpha1.Accepted, ReasonInvalid, path+".timeouts.backendRequest", "%s is longer than the request's %s and can never be reached", *out.BackendTimeout, *out.Timeout)
		out.BackendTimeout = nil
	}
}

func (c *compiler) retry(k v1alpha1.Key, path string, r *gatewayv1.HTTPRouteRetry, out *ir.Route) {
	if r == nil {
		return
	}
	retry := &ir.Retry{Attempts: 1}
	for i, code := range r.Codes {
		if code < 400 || code > 599 {
			c.rep.bad(k, v1alpha1.Accepted, ReasonInvalid, fmt.Sprintf("%s.retry.codes[%d]", path, i), "%d is no status to retry on: 400 to 599", code)
			continue
		}
		retry.On = append(retry.On, uint32(code))
	}
	if r.Attempts != nil {
		if *r.Attempts < 0 || *r.Attempts > 100 {
			c.rep.bad(k, v1alpha1.Accepted, ReasonInvalid, path+".retry.attempts", "%d is out of range: 0 to 100; nothing is retried", *r.Attempts)
			return
		}
		retry.Attempts = uint32(*r.Attempts)
	}
	if d := c.duration(k, path+".retry.backoff", r.Backoff); d != nil {
		retry.Backoff = *d
	}
	if retry.Attempts > 0 {
		out.Retry = retry
	}
}
