package compile

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/gabion-io/gabion/controlplane/api/v1alpha1"
	"github.com/gabion-io/gabion/controlplane/ir"
)

// upstreamTLS finds the BackendTLSPolicy of a Service port. False means that
// there is one and it cannot be used.
func (c *compiler) upstreamTLS(service *corev1.Service, port corev1.ServicePort) (*ir.UpstreamTLS, bool) {
	var best *gatewayv1.BackendTLSPolicy
	bestSection := false
	for _, p := range c.ix.backendTLS {
		section, applies := targetsPort(p, service, port)
		if !applies {
			continue
		}
		switch {
		case best == nil, section && !bestSection:
			best, bestSection = p, section
		case section == bestSection:
			winner, loser := best, p
			if c.ix.older(v1alpha1.KeyOf(p), v1alpha1.KeyOf(best)) < 0 {
				winner, loser = p, best
			}
			best = winner
			c.rep.bad(v1alpha1.KeyOf(loser), v1alpha1.Conflicted, "Conflicted", "spec.targetRefs", "%s, which is older, has the same target and is used", v1alpha1.KeyOf(winner))
		}
	}
	if best == nil {
		return nil, true
	}
	return c.validation(best)
}

func targetsPort(p *gatewayv1.BackendTLSPolicy, service *corev1.Service, port corev1.ServicePort) (section, applies bool) {
	if p.Namespace != service.Namespace {
		return false, false
	}
	for _, t := range p.Spec.TargetRefs {
		if string(t.Kind) != v1alpha1.KindService || coreGroup(string(t.Group)) != "" || string(t.Name) != service.Name {
			continue
		}
		if t.SectionName == nil {
			applies = true
		} else if string(*t.SectionName) == port.Name {
			return true, true
		}
	}
	return false, applies
}

// validation turns a policy into how the backend is verified.
func (c *compiler) validation(p *gatewayv1.BackendTLSPolicy) (*ir.UpstreamTLS, bool) {
	k := v1alpha1.KeyOf(p)
	v := p.Spec.Validation
	out := &ir.UpstreamTLS{SNI: string(v.Hostname)}
	if v.Hostname == "" {
		c.rep.bad(k, v1alpha1.Accepted, ReasonInvalid, "spec.validation.hostname", "is missing: name the host in the backend's certificate")
		return nil, false
	}
	for _, s := range v.SubjectAltNames {
		if s.Type == gatewayv1.URISubjectAltNameType {
			out.SubjectAltNames = append(out.SubjectAltNames, string(s.URI))
		} else {
			out.SubjectAltNames = append(out.SubjectAltNames, string(s.Hostname))
		}
	}
	slices.Sort(out.SubjectAltNames)
	if len(p.Spec.Options) > 0 {
		c.rep.bad(k, v1alpha1.Programmed, reasonUnsupported, "spec.options", "are not supported and have no effect")
	}
	switch {
	case v.WellKnownCACertificates != nil && len(v.CACertificateRefs) > 0:
		c.rep.bad(k, v1alpha1.Accepted, ReasonInvalid, "spec.validation", "caCertificateRefs and wellKnownCACertificates exclude each other: remove one")
		return nil, false
	case v.WellKnownCACertificates != nil:
		if *v.WellKnownCACertificates != gatewayv1.WellKnownCACertificatesSystem {
			c.rep.bad(k, v1alpha1.Accepted, reasonUnsupported, "spec.validation.wellKnownCACertificates", "%q is not known: write System", *v.WellKnownCACertificates)
			return nil, false
		}
		out.System = true
		return out, true
	case len(v.CACertificateRefs) == 0:
		c.rep.bad(k, v1alpha1.Accepted, ReasonInvalid, "spec.validation", "names no CA: write caCertificateRefs or wellKnownCACertificates: System")
		return nil, false
	}
	for i, ref := range v.CACertificateRefs {
		at := fmt.Sprintf("spec.validation.caCertificateRefs[%d]", i)
		if i > 0 {
			c.rep.bad(k, v1alpha1.Programmed, reasonUnsupported, at, "only the first is used: put all certificates into one bundle")
			continue
		}
		name, err := c.authority(v1alpha1.Key{Kind: string(ref.Kind), Namespace: p.Namespace, Name: string(ref.Name)})
		if err != nil {
			c.rep.bad(k, v1alpha1.ResolvedRefs, "InvalidCACertificateRef", at, "%v", err)
			return nil, false
		}
		out.CA = name
	}
	return out, true
}

// danglingBackendTLS reports policies whose target does not exist.
func (c *compiler) danglingBackendTLS() {
	for _, p := range c.ix.backendTLS {
		k := v1alpha1.KeyOf(p)
		for i, t := range p.Spec.TargetRefs {
			path := fmt.Sprintf("spec.targetRefs[%d]", i)
			service, ok := lookup[*corev1.Service](c.ix, v1alpha1.KindService, p.Namespace, string(t.Name))
			switch {
			case string(t.Kind) != v1alpha1.KindService || coreGroup(string(t.Group)) != "":
				c.rep.bad(k, v1alpha1.Accepted, reasonInvalidKind, path, "must name a Service")
			case !ok:
				c.rep.bad(k, v1alpha1.Accepted, reasonTarget, path, "Service %s/%s does not exist", p.Namespace, t.Name)
			case t.SectionName != nil && !slices.ContainsFunc(service.Spec.Ports, func(sp corev1.ServicePort) bool { return sp.Name == string(*t.SectionName) }):
				c.rep.bad(k, v1alpha1.Accepted, reasonTarget, path+".sectionName", "Service %s/%s has no port named %q", p.Namespace, t.Name, *t.SectionName)
			}
		}
	}
}
