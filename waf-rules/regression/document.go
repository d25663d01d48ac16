package regression

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strconv"

	"go.yaml.in/yaml/v3"
)

// The YAML of one file, as far as the suite uses the format. Unknown fields are
// errors: a field that is overlooked is a test that is not run as written.
type document struct {
	Meta   yaml.Node `yaml:"meta"`
	Author yaml.Node `yaml:"author"` // misplaced in some files
	RuleID int       `yaml:"rule_id"`
	Tests  []struct {
		ID          int    `yaml:"test_id"`
		Title       string `yaml:"test_title"`
		Description string `yaml:"desc"`
		Stages      []struct {
			Input  input  `yaml:"input"`
			Output output `yaml:"output"`
			// Some files describe a stage beside its input.
			Description string `yaml:"description"`
		} `yaml:"stages"`
	} `yaml:"tests"`
}

type input struct {
	Address      string    `yaml:"dest_addr"`
	Port         int       `yaml:"port"`
	Protocol     string    `yaml:"protocol"`
	Method       *string   `yaml:"method"`
	URI          *string   `yaml:"uri"`
	Version      *string   `yaml:"version"`
	Headers      yaml.Node `yaml:"headers"` // a node, because the order is part of the bytes
	Data         *string   `yaml:"data"`
	EncodedData  *string   `yaml:"encoded_data"`
	Encoded      string    `yaml:"encoded_request"`
	Autocomplete *bool     `yaml:"autocomplete_headers"`
	FollowRedir  bool      `yaml:"follow_redirect"`
	SaveCookie   bool      `yaml:"save_cookie"`
	VirtualHost  bool      `yaml:"virtual_host_mode"`
}

type output struct {
	Status    int    `yaml:"status"`
	Response  string `yaml:"response_contains"`
	Error     bool   `yaml:"expect_error"`
	RetryOnce bool   `yaml:"retry_once"`
	Isolated  bool   `yaml:"isolated"`
	Log       struct {
		ExpectIDs   []int  `yaml:"expect_ids"`
		NoExpectIDs []int  `yaml:"no_expect_ids"`
		Match       string `yaml:"match_regex"`
		NoMatch     string `yaml:"no_match_regex"`
	} `yaml:"log"`
}

// Parse reads one file of the suite.
func Parse(name string, text []byte) ([]Case, error) {
	var doc document
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true)
	if err := d.Decode(&doc); errors.Is(err, io.EOF) {
		return nil, nil // some files are a comment: "no test can be written for this rule"
	} else if err != nil {
		return nil, fmt.Errorf("parse regression tests %s: %w", name, err)
	}
	rule := doc.RuleID
	if rule == 0 {
		rule = ruleOfFile(name)
	}
	cases := make([]Case, 0, len(doc.Tests))
	for i, t := range doc.Tests {
		number := t.ID
		if number == 0 {
			number = i + 1
		}
		c := Case{ID: fmt.Sprintf("%d-%d", rule, number), Rule: rule, Test: number, File: name, Description: t.Description}
		for _, s := range t.Stages {
			r, err := s.Input.request()
			if err != nil {
				return nil, fmt.Errorf("parse regression test %s of %s: %w", c.ID, name, err)
			}
			c.Stages = append(c.Stages, Stage{Request: r, Expect: s.Output.expect()})
		}
		if len(c.Stages) == 0 {
			return nil, fmt.Errorf("parse regression test %s of %s: it has no stages", c.ID, name)
		}
		cases = append(cases, c)
	}
	return cases, nil
}

func (o output) expect() Expect {
	return Expect{
		IDs: o.Log.ExpectIDs, NoIDs: o.Log.NoExpectIDs, Match: o.Log.Match, NoMatch: o.Log.NoMatch,
		Status: o.Status, Response: o.Response, Error: o.Error, RetryOnce: o.RetryOnce, Isolated: o.Isolated,
	}
}

func (in input) request() (Request, error) {
	r := Request{Address: in.Address, Port: in.Port, Method: or(in.Method, "GET"), Target: or(in.URI, "/"), Version: or(in.Version, "HTTP/1.1")}
	if in.Encoded != "" {
		raw, err := base64.StdEncoding.DecodeString(in.Encoded)
		if err != nil {
			return Request{}, fmt.Errorf("decode encoded_request: %w", err)
		}
		r.Encoded = raw
		return r, nil
	}
	headers, err := fields(&in.Headers)
	if err != nil {
		return Request{}, err
	}
	r.Headers = headers
	switch {
	case in.Data != nil:
		r.Body = expand([]byte(*in.Data))
	case in.EncodedData != nil:
		if r.Body, err = base64.StdEncoding.DecodeString(*in.EncodedData); err != nil {
			return Request{}, fmt.Errorf("decode encoded_data: %w", err)
		}
	}
	if in.Autocomplete == nil || *in.Autocomplete {
		r.complete()
	} else {
		r.multipartLines()
	}
	return r, nil
}

// fields reads the headers in the order they are written.
func fields(n *yaml.Node) ([]Field, error) {
	if n.Kind == 0 || n.Tag == "!!null" {
		return nil, nil
	}
	if n.Kind != yaml.MappingNode {
		return nil, fmt.Errorf("line %d: headers must be a mapping", n.Line)
	}
	var out []Field
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		if v.Kind == yaml.AliasNode {
			v = v.Alias
		}
		if v.Kind != yaml.ScalarNode {
			return nil, fmt.Errorf("line %d: header %s must be text", v.Line, strconv.Quote(k.Value))
		}
		value := v.Value
		if v.Tag == "!!null" {
			value = ""
		}
		out = append(out, Field{Name: k.Value, Value: value})
	}
	return out, nil
}

func or(s *string, missing string) string {
	if s == nil {
		return missing
	}
	return *s
}
