package exchange

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"unicode/utf8"
)

// maxObservation bounds the JSON of an observation, in bytes.
const maxObservation = 64 << 10

// Encode is the JSON of an observation, for one who learns elsewhere. When it is too
// long, shapes are left out, and then parameters and calls.
func (o *Observation) Encode() ([]byte, error) {
	c := o.portable()
	for range 3 {
		b, err := json.Marshal(&c)
		if err != nil {
			return nil, fmt.Errorf("write observation: %w", err)
		}
		if len(b) <= maxObservation {
			return b, nil
		}
		if c.Request.Shape == nil && c.Response.Shape == nil {
			c.Params, c.Calls = nil, nil
		}
		c.Request.Shape, c.Response.Shape = nil, nil
	}
	return nil, fmt.Errorf("write observation: it does not fit into %d bytes", maxObservation)
}

// portable is the observation with the texts that may be on disk, where it waits to
// be sent: of the path's what a masked path would show too, of parameters' words.
func (o *Observation) portable() Observation {
	c := *o
	c.Segments, c.Params = slices.Clone(o.Segments), slices.Clone(o.Params)
	for i := range c.Segments {
		s := &c.Segments[i]
		s.Value, s.More = s.keep(pathWord), keepAll(s.More, pathWord)
	}
	for i := range c.Params {
		p := &c.Params[i]
		p.Value, p.More = p.keep(paramWord), keepAll(p.More, paramWord)
	}
	return c
}

// keep is the value, without its text if that may not be kept.
func (v Value) keep(may func(Value) bool) Value {
	if v.Text != "" && !may(v) {
		v.Text = ""
	}
	return v
}

func keepAll(list []Value, may func(Value) bool) (out []Value) {
	for _, v := range list {
		out = append(out, v.keep(may))
	}
	return out
}

func pathWord(v Value) bool  { return MaskSegment(v.Text) == v.Text }
func paramWord(v Value) bool { return v.Kind == KindWord && len(v.Text) <= maxWordText }

// DecodeObservation reads what Encode wrote, and refuses what no door would make:
// the learner counts on it.
func DecodeObservation(b []byte) (*Observation, error) {
	if len(b) > maxObservation {
		return nil, fmt.Errorf("read observation: %d bytes", len(b))
	}
	o := new(Observation)
	if err := json.Unmarshal(b, o); err != nil {
		return nil, fmt.Errorf("read observation: %w", err)
	}
	if err := o.check(); err != nil {
		return nil, fmt.Errorf("read observation: %w", err)
	}
	return o, nil
}

func (o *Observation) check() error {
	switch {
	case len(o.Segments) > maxPathSegments+1 || len(o.Params) > maxParams || len(o.Calls) > maxCalls || len(o.Auth) > maxParams:
		return errors.New("too many segments, parameters, calls or credentials")
	case o.Method != method(o.Method) || o.Method == "" || o.Preflight != "" && o.Preflight != method(o.Preflight):
		return errors.New("a method is none")
	case o.Status < 0 || o.Status > 999 || o.Duration < 0 || o.BytesIn < 0 || o.BytesOut < 0:
		return errors.New("a number is out of its range")
	}
	texts := []string{o.Service, o.Caller.Kind, o.Caller.Name, o.Request.MediaType, o.Response.MediaType, o.Protocol, o.Streaming}
	for i := range o.Segments {
		s := &o.Segments[i]
		if err := checkValues(s.Value, s.More); err != nil {
			return err
		}
		texts = append(texts, s.Head, s.Suffix)
	}
	for i := range o.Params {
		p := &o.Params[i]
		if err := checkValues(p.Value, p.More); err != nil {
			return err
		}
		switch p.In {
		case "query", "header", "cookie", "matrix":
		default:
			return errors.New("a parameter stands nowhere")
		}
		if p.Name == "" || p.Position < 0 || p.Position > maxPathSegments {
			return errors.New("a parameter is none")
		}
		texts = append(texts, p.Name, p.Listed)
	}
	return checkTold(texts, o.Auth, o.Calls, o.Request.Shape, o.Response.Shape)
}

// checkValues holds that a value says no more than a door leaves of it.
func checkValues(v Value, more []Value) error {
	if len(more) > maxMore {
		return errors.New("too many values")
	}
	for _, v := range append([]Value{v}, more...) {
		switch {
		case int(v.Kind) >= Kinds || v.Length < 0:
			return errors.New("a value is of no kind")
		case v.Text != "" && (!v.Kind.Fixed() || len(v.Text) > maxFixed || !utf8.ValidString(v.Text)):
			return errors.New("a value is told that no door tells")
		case len(v.Prefix) > maxFixed || !utf8.ValidString(v.Prefix):
			return errors.New("a prefix is none")
		}
	}
	return nil
}
