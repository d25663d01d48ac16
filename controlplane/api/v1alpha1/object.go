package v1alpha1

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// Group and Version of gabion's own kinds.
const (
	Group      = "gabion.io"
	Version    = "v1alpha1"
	APIVersion = Group + "/" + Version
)

// Groups of the foreign kinds.
const (
	GatewayGroup   = "gateway.networking.k8s.io"
	DiscoveryGroup = "discovery.k8s.io"
	NetworkGroup   = "networking.k8s.io"
)

// Kinds that are accepted, by name. Names are unique across groups.
const (
	KindWAFPolicy        = "WAFPolicy"
	KindAPIPolicy        = "APIPolicy"
	KindListenerPolicy   = "ListenerPolicy"
	KindRecording        = "Recording"
	KindSegmentation     = "SegmentationPolicy"
	KindWorkload         = "Workload"
	KindGateway          = "Gateway"
	KindHTTPRoute        = "HTTPRoute"
	KindGRPCRoute        = "GRPCRoute"
	KindReferenceGrant   = "ReferenceGrant"
	KindBackendTLSPolicy = "BackendTLSPolicy"
	KindNetworkPolicy    = "NetworkPolicy"
	KindService          = "Service"
	KindEndpointSlice    = "EndpointSlice"
	KindSecret           = "Secret"
	KindConfigMap        = "ConfigMap"
	KindNamespace        = "Namespace"
)

// DefaultNamespace is where a resource without a namespace lives.
const DefaultNamespace = "default"

// Object is a decoded resource: a pointer to one of the accepted kinds' types.
type Object interface {
	metav1.Object
	GroupVersionKind() schema.GroupVersionKind
}

// Key names a resource. Namespace is empty for cluster-scoped kinds.
type Key struct {
	Kind      string `json:"kind"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
}

// KeyOf returns the name of a resource.
func KeyOf(o Object) Key {
	return Key{Kind: o.GroupVersionKind().Kind, Namespace: o.GetNamespace(), Name: o.GetName()}
}

func (k Key) String() string {
	if k.Namespace == "" {
		return k.Kind + " " + k.Name
	}
	return fmt.Sprintf("%s %s/%s", k.Kind, k.Namespace, k.Name)
}

// Compare orders keys by kind, namespace and name.
func (k Key) Compare(o Key) int {
	for _, pair := range [][2]string{{k.Kind, o.Kind}, {k.Namespace, o.Namespace}, {k.Name, o.Name}} {
		if pair[0] != pair[1] {
			if pair[0] < pair[1] {
				return -1
			}
			return 1
		}
	}
	return 0
}

// KindInfo describes an accepted kind.
type KindInfo struct {
	Kind        string
	Plural      string // "wafpolicies", as typed on the command line
	Short       []string
	APIVersions []string // accepted; the first is the one written
	Cluster     bool     // not in a namespace
	Own         bool     // gabion's
	make        func() Object
}

// Kinds lists the accepted kinds in the order they are shown.
func Kinds() []KindInfo {
	gw := func(v ...string) []string {
		for i := range v {
			v[i] = GatewayGroup + "/" + v[i]
		}
		return v
	}
	return []KindInfo{
		{KindWAFPolicy, "wafpolicies", []string{"waf"}, []string{APIVersion}, false, true, func() Object { return &WAFPolicy{} }},
		{KindAPIPolicy, "apipolicies", []string{"apipol"}, []string{APIVersion}, false, true, func() Object { return &APIPolicy{} }},
		{KindListenerPolicy, "listenerpolicies", []string{"lp"}, []string{APIVersion}, false, true, func() Object { return &ListenerPolicy{} }},
		{KindRecording, "recordings", []string{"rec"}, []string{APIVersion}, false, true, func() Object { return &Recording{} }},
		{KindSegmentation, "segmentationpolicies", []string{"segpol"}, []string{APIVersion}, false, true, func() Object { return &SegmentationPolicy{} }},
		{KindWorkload, "workloads", []string{"wl"}, []string{APIVersion}, false, true, func() Object { return &Workload{} }},
		{KindGateway, "gateways", []string{"gtw"}, gw("v1", "v1beta1"), false, false, func() Object { return &gatewayv1.Gateway{} }},
		{KindHTTPRoute, "httproutes", nil, gw("v1", "v1beta1"), false, false, func() Object { return &gatewayv1.HTTPRoute{} }},
		{KindGRPCRoute, "grpcroutes", nil, gw("v1"), false, false, func() Object { return &gatewayv1.GRPCRoute{} }},
		{KindReferenceGrant, "referencegrants", []string{"refgrant"}, gw("v1", "v1beta1"), false, false, func() Object { return &gatewayv1.ReferenceGrant{} }},
		{KindBackendTLSPolicy, "backendtlspolicies", []string{"btlspolicy"}, gw("v1", "v1alpha3"), false, false, func() Object { return &gatewayv1.BackendTLSPolicy{} }},
		{KindNetworkPolicy, "networkpolicies", []string{"netpol"}, []string{NetworkGroup + "/v1"}, false, false, func() Object { return &networkingv1.NetworkPolicy{} }},
		{KindService, "services", []string{"svc"}, []string{"v1"}, false, false, func() Object { return &corev1.Service{} }},
		{KindEndpointSlice, "endpointslices", nil, []string{DiscoveryGroup + "/v1"}, false, false, func() Object { return &discoveryv1.EndpointSlice{} }},
		{KindSecret, "secrets", nil, []string{"v1"}, false, false, func() Object { return &corev1.Secret{} }},
		{KindConfigMap, "configmaps", []string{"cm"}, []string{"v1"}, false, false, func() Object { return &corev1.ConfigMap{} }},
		{KindNamespace, "namespaces", []string{"ns"}, []string{"v1"}, true, false, func() Object { return &corev1.Namespace{} }},
	}
}
