package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Recording says which exchanges are kept whole, sealed to the control plane's
// key, so that a candidate policy can be rehearsed on them.
type Recording struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	Spec              RecordingSpec `json:"spec"`
}

// RecordingSpec is what a Recording says.
type RecordingSpec struct {
	Attachment `json:",inline"`
	Percent    *float64  `json:"percent,omitempty"`   // of exchanges without findings; those with findings are always kept
	MaxBytes   *Size     `json:"maxBytes,omitempty"`  // kept in all
	BodyLimit  *Size     `json:"bodyLimit,omitempty"` // of each body
	MaxAge     *Duration `json:"maxAge,omitempty"`
}
