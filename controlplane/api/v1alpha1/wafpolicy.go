package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// WAFPolicy turns the web application firewall on and says how it behaves.
// Several may govern one route: see Attachment. Unset fields leave the choice to
// a less specific policy and, last, to the built-in defaults.
type WAFPolicy struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	Spec              WAFPolicySpec `json:"spec"`
}

// WAFPolicySpec is what a WAFPolicy says.
type WAFPolicySpec struct {
	Attachment       `json:",inline"`
	Mode             *string           `json:"mode,omitempty"`          // off, detect, block
	Profile          *string           `json:"profile,omitempty"`       // crs
	ParanoiaLevel    *int              `json:"paranoiaLevel,omitempty"` // 1..4
	AnomalyThreshold *AnomalyThreshold `json:"anomalyThreshold,omitempty"`
	MaxArguments     *int              `json:"maxArguments,omitempty"`
	RequestBody      *RequestBody      `json:"requestBody,omitempty"`
	ResponseBody     *ResponseBody     `json:"responseBody,omitempty"`
	FailureMode      *string           `json:"failureMode,omitempty"` // open, closed
	Block            *Block            `json:"block,omitempty"`
	Exclusions       []Exclusion       `json:"exclusions,omitempty" merge:"append"`
	Rules            []string          `json:"rules,omitempty" merge:"append"` // SecLang
}

// AnomalyThreshold is the score from which a message is denied.
type AnomalyThreshold struct {
	Inbound  *int `json:"inbound,omitempty"`
	Outbound *int `json:"outbound,omitempty"`
}

// RequestBody bounds what of a request body is inspected.
type RequestBody struct {
	Inspect         *bool   `json:"inspect,omitempty"`
	Limit           *Size   `json:"limit,omitempty"`
	StructuredLimit *Size   `json:"structuredLimit,omitempty"` // JSON, form, XML
	JSONDepth       *int    `json:"jsonDepth,omitempty"`
	BeyondLimit     *string `json:"beyondLimit,omitempty"` // partial, reject, pass
}

// ResponseBody bounds what of a response body is inspected.
type ResponseBody struct {
	Inspect      *bool    `json:"inspect,omitempty"`
	Limit        *Size    `json:"limit,omitempty"`
	BeyondLimit  *string  `json:"beyondLimit,omitempty"`
	ContentTypes []string `json:"contentTypes,omitempty"`
}

// Block is the answer a denied request gets. {{event}} in the texts becomes the
// event's id.
type Block struct {
	Status *int    `json:"status,omitempty"`
	HTML   *string `json:"html,omitempty"`
	JSON   *string `json:"json,omitempty"`
}

// Exclusion takes a rule (by id or tag) away from where it misfires.
type Exclusion struct {
	Rule    *int         `json:"rule,omitempty"`
	Tag     *string      `json:"tag,omitempty"`
	Target  *string      `json:"target,omitempty"` // "ARGS:q"; unset: the whole rule
	Host    *string      `json:"host,omitempty"`   // "shop.example.com", "*.example.com"
	Path    *string      `json:"path,omitempty"`   // exact, or a prefix ending in "*"
	Method  *string      `json:"method,omitempty"`
	Reason  *string      `json:"reason,omitempty"`
	Expires *metav1.Time `json:"expires,omitempty"`
}
