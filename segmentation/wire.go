package segmentation

// PolicyResource is the type under which a control plane hands hosts what they are
// to enforce, by Envoy's discovery protocol (delta, aggregated). All that a host
// needs is of this one type, so that one response changes it as a whole. The
// message is
//
//	message PolicyResource {
//	  bytes manifest = 1; // one resource as people write it, YAML or JSON
//	}
//
// and a resource's name is "KIND/NAMESPACE/NAME", or "KIND/NAME".
const PolicyResource = "type.googleapis.com/gabion.segmentation.v1alpha1.PolicyResource"

// TakenBack is the code (google.rpc.Code, ABORTED) of a host's refusal of what it had
// in force, and took back because its control plane could not be reached under it.
const TakenBack int32 = 10
