package v1alpha1

import (
	"time"

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

// RecordingDefaults are the built-in defaults, filled in after merging.
func RecordingDefaults() RecordingSpec {
	return RecordingSpec{
		Percent:   ptr(1.0),
		MaxBytes:  ptr(Size(256 << 20)),
		BodyLimit: ptr(Size(1 << 20)),
		MaxAge:    ptr(Duration(7 * 24 * time.Hour)),
	}
}

func (r *Recording) validate(f *findings) {
	s := r.Spec
	s.Attachment.validate(f, s, KindGateway, KindHTTPRoute, KindGRPCRoute, KindService)
	if s.Percent != nil && (*s.Percent < 0 || *s.Percent > 100) {
		f.add("percent", "%v is out of range: 0 to 100", *s.Percent)
	}
	f.sizeBetween("maxBytes", s.MaxBytes, 1<<20, 1<<50)
	f.sizeBetween("bodyLimit", s.BodyLimit, 0, 16<<20)
	if s.MaxAge != nil && *s.MaxAge < Duration(time.Minute) {
		f.add("maxAge", "%s is out of range: at least 1m", s.MaxAge)
	}
}
