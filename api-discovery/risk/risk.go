// Package risk finds weaknesses of an API that its traffic shows, by the OWASP
// API Security Top 10: operations open where their siblings ask who calls,
// callers that walk through ids, objects that two owners see, answers with more
// data than somebody should get at once, fields that a caller should not set,
// lists without a bound, tokens without a signature, secrets in URLs.
//
// Findings looks at operations as learned. What operations do not say, which
// caller asked for which object, an Owners folds from observations. Traffic
// shows suspicions more often than proofs, and every finding says which it is.
//
// It blocks nothing and sends no request of its own. Compositions may import it.
package risk

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/gabion-io/gabion/api-discovery"
	"github.com/gabion-io/gabion/internal/sensitive"
)

// check is one question asked of each operation.
type check struct {
	rule, class string
	ask         func(*view, *apidiscovery.Operation) []apidiscovery.Finding
}

// checks in the order of the list.
var checks = []check{
	{"object-authorisation", "API1:2023", objectAuthorisation},
	{"missing-authentication", "API2:2023", missingAuthentication},
	{"weak-token", "API2:2023", weakToken},
	{"secret-in-url", "API2:2023", secretInURL},
	{"open-personal-data", "API3:2023", openPersonalData},
	{"excessive-data", "API3:2023", excessiveData},
	{"mass-assignment", "API3:2023", massAssignment},
	{"unbounded-list", "API4:2023", unboundedList},
}

// view is what a check may look at besides the operation.
type view struct {
	operations []apidiscovery.Operation
	owners     *Owners
	places     map[string][]*place // of owners, by the id of the operation
}

// Findings asks every question of every operation. Owners may be nil: then which
// caller saw which object is not known, and not judged.
func Findings(spec apidiscovery.Spec, owners *Owners) []apidiscovery.Finding {
	v := &view{operations: spec.Operations, owners: owners}
	if owners != nil {
		v.places = owners.placesOf(spec.Operations)
	}
	var list []apidiscovery.Finding
	for i := range spec.Operations {
		o := &spec.Operations[i]
		for _, c := range checks {
			for _, f := range c.ask(v, o) {
				f.Rule, f.Class, f.OperationKey, f.ID = c.rule, c.class, o.OperationKey, o.ID
				f.First, f.Last = o.Traffic.First, o.Traffic.Last
				list = append(list, f)
			}
		}
	}
	slices.SortStableFunc(list, func(a, b apidiscovery.Finding) int {
		return cmp.Or(cmp.Compare(a.Class, b.Class), cmp.Compare(a.Rule, b.Rule), a.OperationKey.Compare(b.OperationKey), cmp.Compare(a.Where, b.Where))
	})
	return list
}

func one(f apidiscovery.Finding) []apidiscovery.Finding { return []apidiscovery.Finding{f} }

// accepted counts exchanges that were answered, by whether the caller said who
// they are.
func accepted(o *apidiscovery.Operation) (open, known uint64) {
	for _, a := range o.Auth {
		if a.Kind == apidiscovery.AuthNone {
			open += a.Accepted
		} else {
			known += a.Accepted
		}
	}
	return open, known
}

// beyondCertificates is accepted where a client certificate says nothing: behind
// sidecars every caller has one, whoever it calls for.
func beyondCertificates(o *apidiscovery.Operation) (open, known uint64) {
	var certificates uint64
	for _, a := range o.Auth {
		switch a.Kind {
		case apidiscovery.AuthNone:
			open += a.Accepted
		case apidiscovery.AuthMTLS:
			certificates += a.Accepted
		default:
			known += a.Accepted
		}
	}
	if certificates > known { // an exchange may have had both, or several others
		open += certificates - known
	}
	return open, known
}

// missingAuthentication: open, while most of its siblings are guarded. Siblings
// are operations below the same first word of the path, versions aside.
func missingAuthentication(v *view, o *apidiscovery.Operation) []apidiscovery.Finding {
	if list := openAmong(v, o, accepted, "without authentication"); list != nil {
		return list
	}
	return openAmong(v, o, beyondCertificates, "with no more than a client certificate")
}

// openAmong is it by one way to count the exchanges that were answered.
func openAmong(v *view, o *apidiscovery.Operation, count func(*apidiscovery.Operation) (open, known uint64), how string) []apidiscovery.Finding {
	open, _ := count(o)
	if open == 0 {
		return nil
	}
	root := rootOf(o.Template)
	siblings, shut := 0, 0
	for i := range v.operations {
		s := &v.operations[i]
		if s.ID == o.ID || rootOf(s.Template) != root {
			continue
		}
		if a, b := count(s); a+b > 0 {
			siblings++
			if a == 0 {
				shut++
			}
		}
	}
	if shut == 0 || shut*2 < siblings {
		return nil
	}
	return one(apidiscovery.Finding{Confidence: apidiscovery.Suspicion, Count: open,
		Evidence: fmt.Sprintf("answered %d times %s; %d of %d siblings below /%s need it", open, how, shut, siblings, root)})
}

// rootOf is the first word of a path that is no version and no prefix that says
// nothing.
func rootOf(t apidiscovery.PathTemplate) string {
	for _, s := range strings.Split(t.String(), "/")[1:] {
		switch {
		case s == "", s == "api", s == "rest", isVersion(s), strings.HasPrefix(s, "{"):
			continue
		}
		return s
	}
	return ""
}

func isVersion(s string) bool {
	return len(s) > 1 && s[0] == 'v' && strings.Trim(s[1:], "0123456789.") == ""
}

// weakToken: a token that proves nothing, or does so for ever, was accepted.
func weakToken(_ *view, o *apidiscovery.Operation) (list []apidiscovery.Finding) {
	for _, a := range o.Auth {
		if a.Accepted == 0 {
			continue
		}
		for _, weak := range a.Weak {
			// Counts are by way of authentication, not by token.
			list = append(list, apidiscovery.Finding{Where: "JWT", Confidence: apidiscovery.Suspicion, Count: a.Accepted,
				Evidence: fmt.Sprintf("among %d accepted was a JWT that %s (algorithms: %s)", a.Accepted, weak, strings.Join(a.Algs, ", "))})
		}
	}
	return list
}

// secretInURL: what stands in a URL is written into logs, histories and
// referrers.
func secretInURL(_ *view, o *apidiscovery.Operation) (list []apidiscovery.Finding) {
	seen := map[string]bool{}
	put := func(in, name, what string, count uint64) {
		if where := in + " " + name; !seen[where] {
			seen[where] = true
			list = append(list, apidiscovery.Finding{Where: where, Confidence: apidiscovery.Shown, Count: count, Evidence: fmt.Sprintf("%s in the %s of %d requests", what, in, count)})
		}
	}
	for _, p := range o.Params {
		if p.Count == 0 || p.In != apidiscovery.InQuery && p.In != apidiscovery.InPath && p.In != apidiscovery.InMatrix {
			continue
		}
		if p.Schema != nil {
			for _, k := range p.Schema.Sensitive {
				if sensitive.ParseKind(k).Class() == sensitive.Secret {
					put(p.In, p.Name, k, p.Count)
				}
			}
		}
		// Holes of paths are named by us.
		if k := sensitive.ByName(p.Name); p.In != apidiscovery.InPath && k.Class() == sensitive.Secret && p.Type() == "string" {
			put(p.In, p.Name, "a parameter named as a "+k.String(), p.Count)
		}
	}
	for _, a := range o.Auth {
		if a.In == apidiscovery.InQuery && a.Accepted > 0 {
			put(apidiscovery.InQuery, a.Name, "an accepted key", a.Accepted)
		}
	}
	return list
}
