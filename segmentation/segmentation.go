// Package segmentation is the vocabulary of network segmentation and its
// reference: Flow, Edge, Verdict, Mode, Policy, and Evaluate, which says what
// becomes of a flow under a set of policies. Whatever enforces a policy must
// agree with Evaluate on every flow; Compile makes of policies and workloads
// the flat Table that a datapath looks up, and means the same.
//
// It is pure: no kernel, no files, no clock. It is not where policies are
// written (the SegmentationPolicy and NetworkPolicy resources) nor learned
// (segmentation/learn). Everybody may import it; it imports workload only.
package segmentation
