// Package v1alpha1 is what people write: gabion's own kinds (WAFPolicy,
// APIPolicy, ListenerPolicy, Recording, SegmentationPolicy, Workload) and the foreign kinds
// gabion accepts as they are (Gateway API, NetworkPolicy, Service, EndpointSlice,
// Secret, ConfigMap, Namespace), with strict decoding, validation, built-in defaults and canonical rendering.
//
// It is not how resources are found (controlplane/source) nor what they mean
// together (controlplane/compile). The control plane's parts and the command
// line may import it; filters never do.
package v1alpha1
