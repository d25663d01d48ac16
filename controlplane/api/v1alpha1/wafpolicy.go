package v1alpha1

import (
	"fmt"
	"regexp"
	"strings"
	"time"

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
	Profile          *string           `json:"profile,omitempty"`       // balanced, strict, crs
	ParanoiaLevel    *int              `json:"paranoiaLevel,omitempty"` // 1..4
	AnomalyThreshold *AnomalyThreshold `json:"anomalyThreshold,omitempty"`
	MaxArguments     *int              `json:"maxArguments,omitempty"`
	RequestBody      *RequestBody      `json:"requestBody,omitempty"`
	ResponseBody     *ResponseBody     `json:"responseBody,omitempty"`
	FailureMode      *string           `json:"failureMode,omitempty"` // open, closed
	// MaxInspectionTime is how long judging one message may take; then the failure
	// mode speaks.
	MaxInspectionTime *Duration   `json:"maxInspectionTime,omitempty"`
	Block             *Block      `json:"block,omitempty"`
	Exclusions        []Exclusion `json:"exclusions,omitempty" merge:"append"`
	Rules             []string    `json:"rules,omitempty" merge:"append"` // SecLang
	Diagnosis         *Diagnosis  `json:"diagnosis,omitempty"`
}

// Diagnosis turns off what saves the rule engine work. Verdicts are the same
// either way: it is there to find out whether that is true, and what is saved.
type Diagnosis struct {
	Without []string `json:"without,omitempty"` // alphabet, literals, skip, levels, setup, memory
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
	// ByType are limits by media type; the first entry that fits goes before those
	// above.
	ByType []BodyLimit `json:"byType,omitempty"`
	// MinRate is how many bytes a second a client must send on average while its
	// body is held until judged; 0: any number. Only the module sees a body arrive;
	// with ext_proc it is cut when at this rate it would be there.
	MinRate *Size `json:"minRate,omitempty"`
}

// BodyLimit is the limit of one kind of request bodies.
type BodyLimit struct {
	ContentType string  `json:"contentType"`           // "application/json", "image/*", "application/*+json", "*/*"
	Limit       *Size   `json:"limit,omitempty"`       // unset: requestBody.limit
	BeyondLimit *string `json:"beyondLimit,omitempty"` // unset: requestBody.beyondLimit
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

// WAFPolicyDefaults are the built-in defaults, filled in after merging. The
// failure mode is not among them: it follows the mode, see DefaultFailureMode.
func WAFPolicyDefaults() WAFPolicySpec {
	return WAFPolicySpec{
		Mode:             ptr("detect"),
		Profile:          ptr("balanced"),
		ParanoiaLevel:    ptr(1),
		AnomalyThreshold: &AnomalyThreshold{Inbound: ptr(5), Outbound: ptr(4)},
		MaxArguments:     ptr(100_000),
		RequestBody: &RequestBody{
			Inspect: ptr(true), Limit: ptr(Size(128 << 10)), StructuredLimit: ptr(Size(1 << 20)),
			JSONDepth: ptr(64), BeyondLimit: ptr("partial"), ByType: []BodyLimit{}, MinRate: ptr(Size(500)),
		},
		MaxInspectionTime: ptr(Duration(10 * time.Second)),
		ResponseBody: &ResponseBody{
			Inspect: ptr(false), Limit: ptr(Size(512 << 10)), BeyondLimit: ptr("partial"),
			ContentTypes: []string{"text/html", "text/plain", "text/xml", "application/json", "application/xml"},
		},
		Block: &Block{Status: ptr(403)},
	}
}

// DefaultFailureMode is the failure mode where no policy sets one: blocking
// fails closed, all else lets traffic pass.
func DefaultFailureMode(mode string) string {
	if mode == "block" {
		return "closed"
	}
	return "open"
}

func (p *WAFPolicy) validate(f *findings) {
	s := p.Spec
	s.Attachment.validate(f, s, KindGateway, KindHTTPRoute, KindGRPCRoute, KindService)
	f.oneOf("mode", s.Mode, "off", "detect", "block")
	f.oneOf("profile", s.Profile, "balanced", "strict", "crs")
	f.between("paranoiaLevel", s.ParanoiaLevel, 1, 4)
	if a := s.AnomalyThreshold; a != nil {
		f.between("anomalyThreshold.inbound", a.Inbound, 1, 10_000)
		f.between("anomalyThreshold.outbound", a.Outbound, 1, 10_000)
	}
	f.between("maxArguments", s.MaxArguments, 1, 1_000_000)
	if b := s.RequestBody; b != nil {
		f.sizeBetween("requestBody.limit", b.Limit, 0, 64<<20)
		f.sizeBetween("requestBody.structuredLimit", b.StructuredLimit, 0, 64<<20)
		f.between("requestBody.jsonDepth", b.JSONDepth, 1, 1000)
		f.oneOf("requestBody.beyondLimit", b.BeyondLimit, "partial", "reject", "pass")
		f.sizeBetween("requestBody.minRate", b.MinRate, 0, 1<<20)
		for i, l := range b.ByType {
			l.validate(f, fmt.Sprintf("requestBody.byType[%d]", i))
		}
	}
	f.durationBetween("maxInspectionTime", s.MaxInspectionTime, 10*time.Millisecond, 30*time.Second)
	if b := s.ResponseBody; b != nil {
		f.sizeBetween("responseBody.limit", b.Limit, 0, 64<<20)
		f.oneOf("responseBody.beyondLimit", b.BeyondLimit, "partial", "reject", "pass")
		for i, t := range b.ContentTypes {
			if !mediaType.MatchString(t) {
				f.add(fmt.Sprintf("responseBody.contentTypes[%d]", i), "%q is no media type: write it like text/html", t)
			}
		}
	}
	if d := s.Diagnosis; d != nil {
		for i := range d.Without {
			f.oneOf(fmt.Sprintf("diagnosis.without[%d]", i), &d.Without[i], "alphabet", "literals", "skip", "levels", "setup", "memory")
		}
	}
	f.oneOf("failureMode", s.FailureMode, "open", "closed")
	if s.Block != nil {
		f.between("block.status", s.Block.Status, 400, 599)
	}
	for i := range s.Exclusions {
		s.Exclusions[i].validate(f, fmt.Sprintf("exclusions[%d]", i))
	}
	for i, rule := range s.Rules {
		if strings.TrimSpace(rule) == "" {
			f.add(fmt.Sprintf("rules[%d]", i), "is empty: write a SecRule or remove it")
		}
	}
}

var (
	mediaType   = regexp.MustCompile(`^[a-z0-9!#$&^_.+-]+/[a-z0-9!#$&^_.+*-]+$`)
	methodToken = regexp.MustCompile(`^[A-Z][A-Z0-9_-]*$`)
	hostPattern = regexp.MustCompile(`^(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`)
	targetForm  = regexp.MustCompile(`^[A-Za-z_]+(:.+)?$`)
)

var typePattern = regexp.MustCompile(`^[a-z0-9!#$&^_.+-]*\*?[a-z0-9!#$&^_.+-]*/[a-z0-9!#$&^_.+-]*\*?[a-z0-9!#$&^_.+-]*$`)

func (l *BodyLimit) validate(f *findings, path string) {
	if t := l.ContentType; !typePattern.MatchString(t) || strings.HasPrefix(t, "/") || strings.HasSuffix(t, "/") || strings.Count(t, "*") > 1 && t != "*/*" {
		f.add(path+".contentType", "%q is no media type: write it in lower case like application/json, image/*, application/*+json or */*", t)
	}
	f.sizeBetween(path+".limit", l.Limit, 1, 64<<20)
	f.oneOf(path+".beyondLimit", l.BeyondLimit, "partial", "reject", "pass")
}

func (e *Exclusion) validate(f *findings, path string) {
	if (e.Rule == nil) == (e.Tag == nil) {
		f.add(path, "needs exactly one of rule and tag")
	}
	f.between(path+".rule", e.Rule, 1, 9_999_999)
	if e.Tag != nil && *e.Tag == "" {
		f.add(path+".tag", "is empty: name a tag such as attack-sqli")
	}
	if e.Target != nil && !targetForm.MatchString(*e.Target) {
		f.add(path+".target", "%q is no variable: write it like ARGS:q or REQUEST_COOKIES", *e.Target)
	}
	if e.Host != nil && !hostPattern.MatchString(*e.Host) {
		f.add(path+".host", "%q is no host: write shop.example.com or *.example.com, in lower case and without port", *e.Host)
	}
	if e.Path != nil && (!strings.HasPrefix(*e.Path, "/") || strings.Contains(strings.TrimSuffix(*e.Path, "*"), "*")) {
		f.add(path+".path", "%q is no path: it begins with / and may end in * to mean every path below", *e.Path)
	}
	if e.Method != nil && !methodToken.MatchString(*e.Method) {
		f.add(path+".method", "%q is no method: write it in upper case, such as GET", *e.Method)
	}
}
