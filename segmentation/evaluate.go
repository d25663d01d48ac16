package segmentation

// Evaluate says what becomes of a flow and which rule decided. It is the
// reference for everything that enforces policies.
//
// Both ends are judged: the source by the egress rules of the policies that
// select it, the destination by their ingress rules; the harder verdict counts,
// the source's if they are equal and not allowed. For an allowed flow the rule is
// the destination's, or the source's where no policy selects the destination.
//
// A workload is no exception towards itself: what it sends to itself over
// loopback never is a flow, what comes back through its interface is one.
func Evaluate(policies []Policy, f Flow) (Verdict, RuleRef) {
	out, outRule := Judge(policies, f, Egress)
	in, inRule := Judge(policies, f, Ingress)
	return Join(out, outRule, in, inRule)
}

// Join makes one verdict of those of both ends.
func Join(out Verdict, outRule RuleRef, in Verdict, inRule RuleRef) (Verdict, RuleRef) {
	switch {
	case out == Allowed && in == Allowed && inRule == RuleRef{}:
		return out, outRule
	case out == Allowed || in < out:
		return in, inRule
	}
	return out, outRule
}

// Judge is Evaluate for one end of a flow: what the hook on that workload's
// interface decides. Modes together: the enforced policies decide; if they allow,
// and the enforced and audited ones, all taken as enforced, deny, the verdict is
// Audited.
func Judge(policies []Policy, f Flow, d Direction) (Verdict, RuleRef) {
	f.Protocol = f.Protocol.Normal()
	subject, _ := f.sides(d)
	if subject.Workload == nil {
		return Allowed, RuleRef{} // nobody governs what is outside
	}
	allowed, rule := decide(policies, &f, d, Enforce)
	if !allowed {
		return Denied, rule
	}
	if allowed, would := decide(policies, &f, d, Audit); !allowed {
		return Audited, would
	}
	return Allowed, rule
}

// decide takes the policies of at least a mode as enforced.
func decide(policies []Policy, f *Flow, d Direction, least Mode) (bool, RuleRef) {
	subject, _ := f.sides(d)
	identity := subject.Workload.Identity()
	var allow, none RuleRef
	selected, allowed := false, false
	for i := range policies {
		p := &policies[i]
		rules := p.In(d)
		if p.Mode < least || !rules.Governed || !p.Subject.Matches(identity) {
			continue
		}
		if !selected {
			selected, none = true, RuleRef{p.Name, d, Default}
		}
		for n := range rules.List {
			r := &rules.List[n]
			if allowed && !r.Deny || !r.matches(f, d) {
				continue
			}
			ref := RuleRef{p.Name, d, n}
			if r.Deny {
				return false, ref
			}
			allowed, allow = true, ref
		}
	}
	switch {
	case !selected:
		return true, RuleRef{}
	case allowed:
		return true, allow
	}
	return false, none
}

// Enforced returns the policies as if all of them were enforced.
func Enforced(policies []Policy) []Policy {
	out := make([]Policy, len(policies))
	for i, p := range policies {
		p.Mode = Enforce
		out[i] = p
	}
	return out
}
