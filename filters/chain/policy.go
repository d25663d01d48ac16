package chain

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/gabion-io/gabion/filters"
	"github.com/gabion-io/gabion/filters/apiguard"
	"github.com/gabion-io/gabion/filters/waf"
	wafrules "github.com/gabion-io/gabion/waf-rules"
)

// policy is a compiled filters.Policy. Immutable but for users, which the
// Runtime guards.
type policy struct {
	filters.Policy
	id     string
	engine *waf.Engine     // nil: mode off, or no WAF
	guard  *apiguard.Guard // nil: no API protection
	users  int
}

// compile makes a policy ready. Release its engine when done.
func compile(c *waf.Compiler, id string, p filters.Policy) (*policy, error) {
	if err := validate(p); err != nil {
		return nil, err
	}
	out := &policy{Policy: p, id: id}
	if p.APIBody() > 0 {
		guard, err := apiguard.Compile(*p.API)
		if err != nil {
			return nil, fmt.Errorf("api.%w", err)
		}
		out.guard = guard
	}
	if p.Mode == filters.ModeOff || len(p.WAF) == 0 {
		return out, nil
	}
	settings, err := decodeSettings(p.WAF)
	if err != nil {
		return nil, err
	}
	out.engine, err = c.Compile(engineConfig(p, settings))
	if err != nil {
		return nil, err
	}
	return out, nil
}

func engineConfig(p filters.Policy, s wafrules.Settings) waf.Config {
	var l wafrules.Limits
	if p.RequestBody.Inspect {
		l.RequestBody = p.RequestBody.MostHeld()
	}
	if p.ResponseBody.Inspect {
		l.ResponseBody = p.ResponseBody.MostHeld()
	}
	if d := p.RequestBody.Depth; d > 0 && d < s.JSONDepth {
		s.JSONDepth = d
	}
	return waf.Config{Settings: s, Limits: l, Detect: p.Mode == filters.ModeDetect}
}

func decodeSettings(raw json.RawMessage) (wafrules.Settings, error) {
	var s wafrules.Settings
	if err := decodeStrict(raw, &s); err != nil {
		return s, fmt.Errorf("waf: %w", err)
	}
	return s, nil
}

// decodeStrict refuses unknown fields and anything after the value.
func decodeStrict(b []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return errors.New("more than one JSON value")
	}
	return nil
}

// validate checks what the types cannot: enumerations and sizes.
func validate(p filters.Policy) error {
	switch p.Mode {
	case filters.ModeOff, filters.ModeDetect, filters.ModeBlock:
	default:
		return fmt.Errorf("mode: %q is not off, detect or block", p.Mode)
	}
	if err := validFailure("failureMode", p.FailureMode); err != nil {
		return err
	}
	if err := validBody(p.RequestBody); err != nil {
		return fmt.Errorf("requestBody.%w", err)
	}
	if err := validBody(p.ResponseBody); err != nil {
		return fmt.Errorf("responseBody.%w", err)
	}
	if p.MaxMillis < 0 {
		return fmt.Errorf("maxMillis: %d is negative", p.MaxMillis)
	}
	if p.Block.Status != 0 && (p.Block.Status < 200 || p.Block.Status > 599) {
		return fmt.Errorf("block.status: %d is not between 200 and 599", p.Block.Status)
	}
	return nil
}

func validFailure(field string, f filters.FailureMode) error {
	if f != "" && f != filters.FailOpen && f != filters.FailClosed {
		return fmt.Errorf("%s: %q is not open or closed", field, f)
	}
	return nil
}

// maxInspected bounds what one exchange may hold in memory, in bytes.
const maxInspected = 256 << 20

func validBeyond(b filters.Beyond) error {
	switch b {
	case "", filters.BeyondPartial, filters.BeyondReject, filters.BeyondPass:
		return nil
	}
	return fmt.Errorf("beyond: %q is not partial, reject or pass", b)
}

func validBody(b filters.BodyInspection) error {
	if err := validBeyond(b.Beyond); err != nil {
		return err
	}
	if b.MinRate < 0 {
		return fmt.Errorf("minRate: %d is negative", b.MinRate)
	}
	for i, l := range b.Types {
		if err := validBeyond(l.Beyond); err != nil {
			return fmt.Errorf("types[%d].%w", i, err)
		}
		if l.Limit <= 0 || l.Limit > maxInspected {
			return fmt.Errorf("types[%d].limit: %d is not between 1 and %d", i, l.Limit, maxInspected)
		}
	}
	if b.Inspect && (b.Limit <= 0 || b.Limit > maxInspected) {
		return fmt.Errorf("limit: %d is not between 1 and %d", b.Limit, maxInspected)
	}
	if b.StructuredLimit < 0 || b.StructuredLimit > maxInspected {
		return fmt.Errorf("structuredLimit: %d is not between 0 and %d", b.StructuredLimit, maxInspected)
	}
	return nil
}

// failsClosed says what an exchange gets that cannot be judged. In detect the
// answer is only reported.
func (p *policy) failsClosed() bool {
	if p.FailureMode == "" {
		return p.Mode == filters.ModeBlock
	}
	return p.FailureMode == filters.FailClosed
}
