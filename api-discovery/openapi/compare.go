package openapi

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/gabion-io/gabion/api-discovery"
)

// Compare says how the observed API of a service differs from the declared one:
// shadow, zombie and orphan operations, and mismatches. Observed operations are
// matched to declared ones as requests would be: a word goes before a hole, so
// that "/accounts/17", seen too seldom to be a template, is declared by
// "/accounts/{id}".
//
// What traffic does not show is no difference: a body that was not inspected, a
// status that proxies answer by themselves, an optional field that did not come.
func Compare(declared, observed apidiscovery.Spec) []apidiscovery.Drift {
	c := &comparer{declared: declared, deprecated: map[string]bool{}, called: map[int]bool{}}
	for _, id := range declared.Deprecated {
		c.deprecated[id] = true
	}
	for _, o := range declared.Operations {
		c.patterns = append(c.patterns, patternOf(o))
	}
	for i := range observed.Operations {
		c.observe(&observed.Operations[i])
	}
	if len(observed.Operations) > 0 { // with no traffic nothing is an orphan
		c.orphans(observed)
	}
	slices.SortStableFunc(c.drifts, func(a, b apidiscovery.Drift) int {
		return cmp.Or(rank(a.Kind)-rank(b.Kind), a.OperationKey.Compare(b.OperationKey), cmp.Compare(a.Part, b.Part), cmp.Compare(a.Where, b.Where), cmp.Compare(a.What, b.What))
	})
	return c.drifts
}

func rank(k apidiscovery.DriftKind) int {
	return slices.Index([]apidiscovery.DriftKind{apidiscovery.Shadow, apidiscovery.Zombie, apidiscovery.Mismatch, apidiscovery.Orphan}, k)
}

type comparer struct {
	declared   apidiscovery.Spec
	deprecated map[string]bool
	patterns   []pattern
	called     map[int]bool // declared operations, by index
	drifts     []apidiscovery.Drift
}

// observe finds the declared operation of an observed one.
func (c *comparer) observe(o *apidiscovery.Operation) {
	best := -1
	for i := range c.patterns {
		if c.patterns[i].fits(o) && (best < 0 || c.patterns[i].before(&c.patterns[best])) {
			best = i
		}
	}
	if best < 0 {
		c.shadow(o)
		return
	}
	c.called[best] = true
	d := &c.declared.Operations[best]
	if c.deprecated[d.ID] && o.Evidence.Successes > 0 {
		c.add(apidiscovery.Zombie, d, o, apidiscovery.Drift{What: "is declared deprecated and still answered", Count: o.Evidence.Successes, Sensitive: sensitiveOf(o), Open: open(o)})
	}
	if d.Protocol == apidiscovery.GraphQL {
		return // a schema says what may be asked, not how it is sent
	}
	c.params(d, o)
	c.request(d, o)
	c.responses(d, o)
	c.auth(d, o)
}

// shadow: preflights and HEAD for a declared GET are the protocol's own.
func (c *comparer) shadow(o *apidiscovery.Operation) {
	if o.Evidence.Successes == 0 {
		return
	}
	if o.Method == "HEAD" || o.Method == "OPTIONS" {
		for i := range c.patterns {
			if c.patterns[i].fitsPath(o) {
				return
			}
		}
	}
	c.drifts = append(c.drifts, apidiscovery.Drift{Kind: apidiscovery.Shadow, OperationKey: o.OperationKey, ID: o.ID, What: "is answered and not declared",
		Count: o.Evidence.Successes, First: o.Traffic.First, Last: o.Traffic.Last, Sensitive: sensitiveOf(o), Open: open(o)})
}

func (c *comparer) orphans(observed apidiscovery.Spec) {
	for i := range c.declared.Operations {
		if d := &c.declared.Operations[i]; !c.called[i] {
			what := "is declared and was not called"
			if c.deprecated[d.ID] {
				what = "is declared deprecated and was not called: it can go"
			}
			c.drifts = append(c.drifts, apidiscovery.Drift{Kind: apidiscovery.Orphan, OperationKey: d.OperationKey, ID: d.ID, What: what, First: observed.From, Last: observed.To})
		}
	}
}

// add fills in what every difference of a declared operation has.
func (c *comparer) add(kind apidiscovery.DriftKind, d, o *apidiscovery.Operation, drift apidiscovery.Drift) {
	drift.Kind, drift.OperationKey, drift.ID = kind, d.OperationKey, d.ID
	drift.First, drift.Last = o.Traffic.First, o.Traffic.Last
	c.drifts = append(c.drifts, drift)
}

func (c *comparer) mismatch(d, o *apidiscovery.Operation, part, where, what, was, is string, count uint64) {
	c.add(apidiscovery.Mismatch, d, o, apidiscovery.Drift{Part: part, Where: where, What: what, Declared: was, Observed: is, Count: count})
}

// params compares those of the query, and headers that are declared; headers and
// cookies that nobody declares are on every request.
func (c *comparer) params(d, o *apidiscovery.Operation) {
	for _, p := range o.Params {
		if p.In != apidiscovery.InQuery {
			continue
		}
		i := slices.IndexFunc(d.Params, func(q apidiscovery.Param) bool { return q.In == p.In && declares(q, p.Name) })
		if i < 0 {
			c.mismatch(d, o, apidiscovery.PartParam, p.In+" "+p.Name, "is not declared", "", typesText(p.Schema), p.Count)
			continue
		}
		if !mayBe(d.Params[i].Schema, p.Schema, true) {
			c.mismatch(d, o, apidiscovery.PartParam, p.In+" "+p.Name, "has another type", typesText(d.Params[i].Schema), typesText(p.Schema), p.Count)
		}
	}
	for _, q := range d.Params {
		if !q.Required || q.In != apidiscovery.InQuery {
			continue
		}
		i := slices.IndexFunc(o.Params, func(p apidiscovery.Param) bool { return p.In == q.In && declares(q, p.Name) })
		switch {
		case o.Evidence.Successes == 0:
		case i < 0:
			c.mismatch(d, o, apidiscovery.PartParam, q.In+" "+q.Name, "is declared required and never came", "required", "absent", o.Evidence.Successes)
		case o.Params[i].Count < o.Evidence.Successes:
			c.mismatch(d, o, apidiscovery.PartParam, q.In+" "+q.Name, "is declared required and did not always come", "required", "optional", o.Evidence.Successes-o.Params[i].Count)
		}
	}
}

// declares: "filter" declares "filter[name]" and "ids" declares "ids[]".
func declares(q apidiscovery.Param, name string) bool {
	base, _, _ := strings.Cut(name, "[")
	return q.Name == name || q.Name == base || strings.TrimSuffix(q.Name, "[]") == name
}

func (c *comparer) request(d, o *apidiscovery.Operation) {
	for _, b := range o.Request {
		if b.MediaType == "" || b.Count == 0 {
			continue
		}
		i := mediaIndex(d.Request, b.MediaType)
		if i < 0 {
			if len(d.Request) == 0 {
				c.mismatch(d, o, apidiscovery.PartRequest, b.MediaType, "a body is not declared", "", b.MediaType, b.Count)
			} else {
				c.mismatch(d, o, apidiscovery.PartRequest, b.MediaType, "the media type is not declared", mediaTypes(d.Request), b.MediaType, b.Count)
			}
			continue
		}
		c.schema(d, o, apidiscovery.PartRequest, b.MediaType, d.Request[i].Schema, b.Schema, true)
	}
}

func (c *comparer) responses(d, o *apidiscovery.Operation) {
	for _, r := range o.Responses {
		i := statusIndex(d.Responses, r.Status)
		if i < 0 {
			// Descriptors name no statuses.
			if !apidiscovery.ByProxies(r.Status) && len(d.Responses) > 0 && d.Protocol != apidiscovery.GRPC {
				c.mismatch(d, o, apidiscovery.PartStatus, fmt.Sprint(r.Status), "the status is not declared", statuses(d.Responses), fmt.Sprint(r.Status), r.Count)
			}
			continue
		}
		for _, b := range r.Bodies {
			if b.MediaType == "" || b.Count == 0 || r.Status >= 400 && d.Responses[i].Status == 0 {
				continue
			}
			where := fmt.Sprint(r.Status, " ", b.MediaType)
			k := mediaIndex(d.Responses[i].Bodies, b.MediaType)
			if k < 0 {
				if len(d.Responses[i].Bodies) > 0 || r.Status < 300 {
					c.mismatch(d, o, apidiscovery.PartResponse, where, "the media type is not declared", mediaTypes(d.Responses[i].Bodies), b.MediaType, b.Count)
				}
				continue
			}
			c.schema(d, o, apidiscovery.PartResponse, where, d.Responses[i].Bodies[k].Schema, b.Schema, false)
		}
	}
}

// auth: what is declared to need authentication must not be answered without.
func (c *comparer) auth(d, o *apidiscovery.Operation) {
	if len(d.Auth) == 0 {
		return
	}
	needs := !slices.ContainsFunc(d.Auth, func(a apidiscovery.Auth) bool { return a.Kind == apidiscovery.AuthNone })
	isDeclared := func(a apidiscovery.Auth) bool {
		return slices.ContainsFunc(d.Auth, func(b apidiscovery.Auth) bool { return sameAuth(b, a) })
	}
	// Where one of the declared ways always came, others that came too are company:
	// a sidecar's certificate, a cookie.
	always := slices.ContainsFunc(o.Auth, func(a apidiscovery.Auth) bool { return a.Accepted+o.Traffic.Denied >= o.Traffic.Count && isDeclared(a) })
	for _, a := range o.Auth {
		switch {
		case a.Accepted == 0 || a.Kind == apidiscovery.AuthUnknown:
		case a.Kind == apidiscovery.AuthNone:
			if needs {
				c.add(apidiscovery.Mismatch, d, o, apidiscovery.Drift{Part: apidiscovery.PartAuth, Where: "security", What: "is answered without the declared authentication", Declared: authsText(d.Auth), Observed: "none", Count: a.Accepted, Sensitive: sensitiveOf(o), Open: true})
			}
		case needs && !isDeclared(a) && !always:
			c.mismatch(d, o, apidiscovery.PartAuth, "security", "is answered with another authentication", authsText(d.Auth), authsText([]apidiscovery.Auth{a}), a.Accepted)
		}
	}
}

// sameAuth: a JWT is a bearer token, whatever the document calls it.
func sameAuth(declared, seen apidiscovery.Auth) bool {
	if declared.Kind == apidiscovery.AuthUnknown {
		return true
	}
	return declared.Kind == seen.Kind && (declared.Name == "" || strings.EqualFold(declared.Name, seen.Name))
}

func authsText(list []apidiscovery.Auth) string {
	var words []string
	for _, a := range list {
		w := a.Kind
		if a.Name != "" {
			w += " " + a.Name
		}
		words = append(words, w)
	}
	return strings.Join(words, ", ")
}

// open says whether it was answered to somebody who did not say who they are.
func open(o *apidiscovery.Operation) bool {
	return slices.ContainsFunc(o.Auth, func(a apidiscovery.Auth) bool { return a.Kind == apidiscovery.AuthNone && a.Accepted > 0 })
}

func mediaIndex(list []apidiscovery.Body, media string) int {
	return slices.IndexFunc(list, func(b apidiscovery.Body) bool {
		if b.MediaType == media || b.MediaType == "*/*" || b.MediaType == "application/grpc" && strings.HasPrefix(media, "application/grpc") {
			return true // "+proto", "-web": how, not what
		}
		kind, any := strings.CutSuffix(b.MediaType, "/*")
		return any && strings.HasPrefix(media, kind+"/")
	})
}

// statusIndex: the status itself, its range, the default.
func statusIndex(list []apidiscovery.Response, status int) int {
	for _, want := range []int{status, status / 100, 0} {
		if i := slices.IndexFunc(list, func(r apidiscovery.Response) bool { return r.Status == want }); i >= 0 {
			return i
		}
	}
	return -1
}

func mediaTypes(list []apidiscovery.Body) string {
	var words []string
	for _, b := range list {
		words = append(words, b.MediaType)
	}
	return strings.Join(words, ", ")
}

func statuses(list []apidiscovery.Response) string {
	var words []string
	for _, r := range list {
		words = append(words, statusKey(r.Status))
	}
	return strings.Join(words, ", ")
}

// sensitiveOf are the kinds of data that an operation answers with.
func sensitiveOf(o *apidiscovery.Operation) []string {
	var kinds []string
	for _, r := range o.Responses {
		for _, b := range r.Bodies {
			b.Schema.Walk(func(_ string, s *apidiscovery.Schema) { kinds = append(kinds, s.Sensitive...) })
		}
	}
	slices.Sort(kinds)
	return slices.Compact(kinds)
}
