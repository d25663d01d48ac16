package compile

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/gabion-io/gabion/controlplane/api/v1alpha1"
	"github.com/gabion-io/gabion/controlplane/ir"
)

// certificates resolves the key pairs of an HTTPS listener to names of secrets.
func (c *compiler) certificates(k v1alpha1.Key, spec gatewayv1.Listener, path string) []string {
	t := spec.TLS
	if t == nil || len(t.CertificateRefs) == 0 {
		c.rep.bad(k, v1alpha1.ResolvedRefs, "InvalidCertificateRef", path+".tls.certificateRefs", "is missing: an HTTPS listener needs a Secret with tls.crt and tls.key")
		return nil
	}
	if t.Mode != nil && *t.Mode != gatewayv1.TLSModeTerminate {
		c.rep.bad(k, v1alpha1.Programmed, reasonUnsupported, path+".tls.mode", "%q is not supported: what is not decrypted cannot be inspected; write Terminate", *t.Mode)
		return nil
	}
	for name := range t.Options {
		c.rep.bad(k, v1alpha1.Programmed, reasonUnsupported, path+".tls.options", "option %q is not known and has no effect: see ListenerPolicy spec.tls", name)
	}
	var names []string
	for i, ref := range t.CertificateRefs {
		at := fmt.Sprintf("%s.tls.certificateRefs[%d]", path, i)
		if name, ok := c.certificate(k, ref, at); ok {
			names = append(names, name)
		}
	}
	return names
}

func (c *compiler) certificate(k v1alpha1.Key, ref gatewayv1.SecretObjectReference, path string) (string, bool) {
	if (ref.Group != nil && *ref.Group != "") || (ref.Kind != nil && *ref.Kind != v1alpha1.KindSecret) {
		c.rep.bad(k, v1alpha1.ResolvedRefs, "InvalidCertificateRef", path, "must name a Secret")
		return "", false
	}
	target := v1alpha1.Key{Kind: v1alpha1.KindSecret, Namespace: k.Namespace, Name: string(ref.Name)}
	if ref.Namespace != nil {
		target.Namespace = string(*ref.Namespace)
	}
	if !c.ix.granted(k, target) {
		c.rep.bad(k, v1alpha1.ResolvedRefs, reasonRefDenied, path, "may not use %s: %s", target, grantHint)
		return "", false
	}
	secret, ok := lookup[*corev1.Secret](c.ix, target.Kind, target.Namespace, target.Name)
	if !ok {
		c.rep.bad(k, v1alpha1.ResolvedRefs, "InvalidCertificateRef", path, "%s does not exist", target)
		return "", false
	}
	pair, err := tls.X509KeyPair(secret.Data[corev1.TLSCertKey], secret.Data[corev1.TLSPrivateKeyKey])
	if err != nil {
		c.rep.bad(target, v1alpha1.Accepted, ReasonInvalid, "data", "tls.crt and tls.key are no key pair in PEM: %v", err)
		c.rep.bad(k, v1alpha1.ResolvedRefs, "InvalidCertificateRef", path, "%s holds no usable key pair", target)
		return "", false
	}
	c.warnExpiry(target, pair.Leaf)
	name := target.Namespace + "/" + target.Name
	c.secrets[name] = ir.Secret{
		Name: name, Resource: refOf(target),
		Cert: secret.Data[corev1.TLSCertKey], Key: secret.Data[corev1.TLSPrivateKeyKey],
	}
	return name, true
}

// warnExpiry tells of a certificate that clients refuse; it is served all the same.
func (c *compiler) warnExpiry(k v1alpha1.Key, leaf *x509.Certificate) {
	if leaf == nil || c.o.Now.IsZero() {
		return
	}
	if c.o.Now.After(leaf.NotAfter) {
		c.rep.bad(k, v1alpha1.Programmed, reasonExpired, "data", "the certificate ended on %s: renew it", leaf.NotAfter.UTC().Format(time.DateOnly))
	} else {
		c.wake(leaf.NotAfter)
	}
}

// authority resolves a CA bundle to the name of a secret. Data key ca.crt.
func (c *compiler) authority(target v1alpha1.Key) (string, error) {
	var text []byte
	switch target.Kind {
	case v1alpha1.KindConfigMap:
		m, ok := lookup[*corev1.ConfigMap](c.ix, target.Kind, target.Namespace, target.Name)
		if !ok {
			return "", fmt.Errorf("%s does not exist", target)
		}
		text = []byte(m.Data["ca.crt"])
	case v1alpha1.KindSecret:
		s, ok := lookup[*corev1.Secret](c.ix, target.Kind, target.Namespace, target.Name)
		if !ok {
			return "", fmt.Errorf("%s does not exist", target)
		}
		text = s.Data["ca.crt"]
	default:
		return "", fmt.Errorf("must name a ConfigMap or a Secret, not a %s", target.Kind)
	}
	if err := checkAuthority(text); err != nil {
		return "", fmt.Errorf("%s: ca.crt %w", target, err)
	}
	name := fmt.Sprintf("ca/%s/%s/%s", target.Kind, target.Namespace, target.Name)
	c.secrets[name] = ir.Secret{Name: name, Resource: refOf(target), CA: text}
	return name, nil
}

func checkAuthority(text []byte) error {
	count := 0
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			return fmt.Errorf("holds a %s where a CERTIFICATE is due", block.Type)
		}
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			return fmt.Errorf("holds a broken certificate: %w", err)
		}
		count++
	}
	if count == 0 {
		return fmt.Errorf("holds no certificate in PEM")
	}
	return nil
}
