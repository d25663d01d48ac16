package compile

import (
	"fmt"
	"slices"

	"github.com/gabion-io/gabion/controlplane/ir"
)

// virtualHosts groups the routes of listeners that share a filter chain by host.
// A host belongs to the most specific listener that matches it; within it, rules
// of a route that names the host come before those of a wider one.
func (c *compiler) virtualHosts(t *tableBuilder, listeners []*gatewayListener) []ir.VirtualHost {
	domains := map[string]bool{}
	for _, l := range listeners {
		if len(listeners) > 1 {
			domains[l.hostname] = true // else a wider listener would serve it
		}
		for _, a := range l.routes {
			for _, h := range a.hosts {
				domains[h] = true
			}
		}
	}
	var out []ir.VirtualHost
	for _, domain := range sortedKeys(domains) {
		vh := ir.VirtualHost{Name: domain, Domains: []string{domain}}
		if owner := ownerOf(listeners, domain); owner != nil {
			vh.Routes = c.hostRoutes(t, owner, domain)
		}
		out = append(out, vh)
	}
	return out
}

func ownerOf(listeners []*gatewayListener, domain string) *gatewayListener {
	var owner *gatewayListener
	for _, l := range listeners {
		if covers(l.hostname, domain) && (owner == nil || specificity(l.hostname) > specificity(owner.hostname)) {
			owner = l
		}
	}
	return owner
}

func (c *compiler) hostRoutes(t *tableBuilder, l *gatewayListener, domain string) []ir.Route {
	var list []candidate
	for _, a := range l.routes {
		host := ""
		for _, h := range a.hosts {
			if covers(h, domain) && (host == "" || specificity(h) > specificity(host)) {
				host = h
			}
		}
		if host == "" {
			continue
		}
		for _, u := range a.route.rules {
			for n, m := range u.matches {
				list = append(list, candidate{host, a.route, u.index, n, c.entry(t, l, a.route, u, n, m)})
			}
		}
	}
	slices.SortStableFunc(list, c.precede)
	out := make([]ir.Route, len(list))
	for i := range list {
		out[i] = list[i].entry
	}
	return out
}

func (c *compiler) entry(t *tableBuilder, l *gatewayListener, r *route, u rule, n int, m ir.Match) ir.Route {
	out := u.action
	out.Name = fmt.Sprintf("%s/%d/%d", r.id(), u.index, n)
	out.FilterKey = c.bind(t, l, r, u)
	out.Match = m
	out.Redirect = portOf(l, out.Redirect)
	return out
}

// portOf fills in a redirect's port: with another host and no scheme of its own
// it is the listener's, as the Gateway API says.
func portOf(l *gatewayListener, r *ir.Redirect) *ir.Redirect {
	if r == nil || r.Port != 0 || r.Scheme != "" || r.Host == "" {
		return r
	}
	if port := uint32(l.spec.Port); (l.https && port != 443) || (!l.https && port != 80) {
		own := *r
		own.Port = port
		return &own
	}
	return r
}
