package crs

import (
	"encoding/json"
	"fmt"

	"github.com/gabion-io/gabion/filters"
	wafrules "github.com/gabion-io/gabion/waf-rules"
)

// Settings are the rules' settings the suite is written for: everything on,
// with the limits its argument tests expect.
func Settings(paranoia int) wafrules.Settings {
	s := wafrules.Defaults()
	s.Profile = wafrules.ProfileCRS
	s.ParanoiaLevel = paranoia
	s.Rules = []string{`SecAction "id:99990,phase:1,pass,nolog,t:none,` +
		`setvar:tx.crs_validate_utf8_encoding=1,setvar:tx.arg_name_length=100,setvar:tx.arg_length=400,` +
		`setvar:tx.total_arg_length=64000,setvar:tx.max_num_args=255,setvar:tx.max_file_size=64100,` +
		`setvar:tx.combined_file_sizes=65535"`}
	return s
}

// Policy is the suite's policy: bodies of both directions inspected.
func Policy(mode filters.Mode, s wafrules.Settings) (filters.Policy, error) {
	raw, err := json.Marshal(s)
	if err != nil {
		return filters.Policy{}, fmt.Errorf("encode settings: %w", err)
	}
	return filters.Policy{
		Mode: mode, FailureMode: filters.FailOpen,
		RequestBody:  filters.BodyInspection{Inspect: true, Limit: 1 << 20, StructuredLimit: 1 << 20, Beyond: filters.BeyondPartial},
		ResponseBody: filters.BodyInspection{Inspect: true, Limit: 1 << 20, StructuredLimit: 1 << 20, Beyond: filters.BeyondPartial},
		Block:        filters.BlockResponse{Status: 403},
		WAF:          raw,
	}, nil
}
