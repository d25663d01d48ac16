package flags

import (
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/gabion-io/gabion/controlplane/api/v1alpha1"
)

// document is a resource with a line that says what it is for.
type document struct {
	comment string
	object  v1alpha1.Object
}

// documents lists everything, outside in.
func (u Up) documents() ([]document, error) {
	listen, err := parseListen(u.Listen)
	if err != nil {
		return nil, err
	}
	up, err := parseUpstream(u.Upstream)
	if err != nil {
		return nil, err
	}
	https, err := u.checkTLS()
	if err != nil {
		return nil, err
	}
	out := []document{{"Where it listens (--listen).", gateway(listen, https)}}
	if https {
		out = append(out, document{"The certificate (--tls-cert, --tls-key).", u.secret()})
	}
	out = append(out,
		document{"How listeners are hardened; every other field has a safe default.", listenerPolicy()},
		document{"Everything goes to the upstream.", httpRoute(up)},
		document{"The upstream (--upstream).", service(up)})
	if up.ip.IsValid() {
		out = append(out, document{"Its address.", endpointSlice(up)})
	}
	if up.https {
		out = append(out, document{"Its certificate is verified.", backendTLS(up)})
	}
	out = append(out, document{"The firewall: watches, and denies nothing until mode is block.", u.wafPolicy()})
	if u.Record {
		out = append(out, document{"Exchanges kept, sealed, to rehearse changes on.", recording()})
	}
	return out, nil
}

func own(kind string) metav1.TypeMeta {
	return metav1.TypeMeta{APIVersion: v1alpha1.APIVersion, Kind: kind}
}

func foreign(version, kind string) metav1.TypeMeta {
	return metav1.TypeMeta{APIVersion: version, Kind: kind}
}

const gatewayVersion = v1alpha1.GatewayGroup + "/v1"

func named(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Name: name, Namespace: v1alpha1.DefaultNamespace}
}

func ptr[T any](v T) *T { return &v }

func gateway(a address, https bool) v1alpha1.Object {
	l := gatewayv1.Listener{Name: "http", Port: gatewayv1.PortNumber(a.port), Protocol: gatewayv1.HTTPProtocolType}
	if https {
		l.Name, l.Protocol = "https", gatewayv1.HTTPSProtocolType
		l.TLS = &gatewayv1.ListenerTLSConfig{CertificateRefs: []gatewayv1.SecretObjectReference{{Name: "gabion-tls"}}}
	}
	return &gatewayv1.Gateway{
		TypeMeta: foreign(gatewayVersion, v1alpha1.KindGateway), ObjectMeta: named("gabion"),
		Spec: gatewayv1.GatewaySpec{
			GatewayClassName: "gabion",
			Addresses:        []gatewayv1.GatewaySpecAddress{{Type: ptr(gatewayv1.IPAddressType), Value: a.ip.String()}},
			Listeners:        []gatewayv1.Listener{l},
		},
	}
}

func (u Up) secret() v1alpha1.Object {
	return &corev1.Secret{
		TypeMeta: foreign("v1", v1alpha1.KindSecret), ObjectMeta: named("gabion-tls"),
		Type: corev1.SecretTypeTLS,
		Data: map[string][]byte{corev1.TLSCertKey: u.TLSCert, corev1.TLSPrivateKeyKey: u.TLSKey},
	}
}

func listenerPolicy() v1alpha1.Object {
	return &v1alpha1.ListenerPolicy{
		TypeMeta: own(v1alpha1.KindListenerPolicy), ObjectMeta: named("default"),
		Spec: v1alpha1.ListenerPolicySpec{TrustedHops: ptr(0), UseRemoteAddress: ptr(true)},
	}
}

// httpRoute sends everything on. A name is also the Host the upstream sees, for
// servers of names tell their sites apart by it; an address sees the client's.
func httpRoute(up upstream) v1alpha1.Object {
	rule := gatewayv1.HTTPRouteRule{BackendRefs: []gatewayv1.HTTPBackendRef{{BackendRef: gatewayv1.BackendRef{
		BackendObjectReference: gatewayv1.BackendObjectReference{Name: "upstream", Port: ptr(gatewayv1.PortNumber(up.port))},
	}}}}
	rewrite := &gatewayv1.HTTPURLRewriteFilter{}
	if !up.ip.IsValid() {
		rewrite.Hostname = ptr(gatewayv1.PreciseHostname(up.host))
	}
	if up.path != "" {
		rewrite.Path = &gatewayv1.HTTPPathModifier{Type: gatewayv1.PrefixMatchHTTPPathModifier, ReplacePrefixMatch: ptr(up.path)}
	}
	if rewrite.Hostname != nil || rewrite.Path != nil {
		rule.Filters = []gatewayv1.HTTPRouteFilter{{Type: gatewayv1.HTTPRouteFilterURLRewrite, URLRewrite: rewrite}}
	}
	return &gatewayv1.HTTPRoute{
		TypeMeta: foreign(gatewayVersion, v1alpha1.KindHTTPRoute), ObjectMeta: named("default"),
		Spec: gatewayv1.HTTPRouteSpec{
			CommonRouteSpec: gatewayv1.CommonRouteSpec{ParentRefs: []gatewayv1.ParentReference{{Name: "gabion"}}},
			Rules:           []gatewayv1.HTTPRouteRule{rule},
		},
	}
}

func service(up upstream) v1alpha1.Object {
	s := &corev1.Service{
		TypeMeta: foreign("v1", v1alpha1.KindService), ObjectMeta: named("upstream"),
		Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Name: "http", Port: int32(up.port)}}},
	}
	if !up.ip.IsValid() {
		s.Spec.Type, s.Spec.ExternalName = corev1.ServiceTypeExternalName, up.host
	}
	return s
}

func endpointSlice(up upstream) v1alpha1.Object {
	meta := named("upstream")
	meta.Labels = map[string]string{discoveryv1.LabelServiceName: "upstream"}
	family := discoveryv1.AddressTypeIPv4
	if up.ip.Is6() {
		family = discoveryv1.AddressTypeIPv6
	}
	return &discoveryv1.EndpointSlice{
		TypeMeta: foreign(v1alpha1.DiscoveryGroup+"/v1", v1alpha1.KindEndpointSlice), ObjectMeta: meta,
		AddressType: family,
		Ports:       []discoveryv1.EndpointPort{{Name: ptr("http"), Port: ptr(int32(up.port))}},
		Endpoints:   []discoveryv1.Endpoint{{Addresses: []string{up.ip.String()}}},
	}
}

func backendTLS(up upstream) v1alpha1.Object {
	return &gatewayv1.BackendTLSPolicy{
		TypeMeta: foreign(gatewayVersion, v1alpha1.KindBackendTLSPolicy), ObjectMeta: named("upstream"),
		Spec: gatewayv1.BackendTLSPolicySpec{
			TargetRefs: []gatewayv1.LocalPolicyTargetReferenceWithSectionName{{
				LocalPolicyTargetReference: gatewayv1.LocalPolicyTargetReference{Kind: v1alpha1.KindService, Name: "upstream"},
			}},
			Validation: gatewayv1.BackendTLSPolicyValidation{
				Hostname:                gatewayv1.PreciseHostname(up.host),
				WellKnownCACertificates: ptr(gatewayv1.WellKnownCACertificatesSystem),
			},
		},
	}
}

func (u Up) wafPolicy() v1alpha1.Object {
	mode := u.Mode
	if mode == "" {
		mode = "detect"
	}
	return &v1alpha1.WAFPolicy{
		TypeMeta: own(v1alpha1.KindWAFPolicy), ObjectMeta: named("default"),
		Spec: v1alpha1.WAFPolicySpec{Mode: &mode},
	}
}

func recording() v1alpha1.Object {
	return &v1alpha1.Recording{
		TypeMeta: own(v1alpha1.KindRecording), ObjectMeta: named("default"),
		Spec: v1alpha1.RecordingSpec{Percent: ptr(100.0), MaxBytes: ptr(v1alpha1.Size(256 << 20))},
	}
}
