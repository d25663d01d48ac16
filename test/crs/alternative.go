package crs

import "github.com/gabion-io/gabion/waf-rules/regression"

// Alternative is a second way to meet a case's expectation. The suite is
// written against Apache httpd with ModSecurity; where the server or the parser
// in front of the rules reacts in its own way, upstream's run on Coraza expects
// something else of the very same request, and so do we.
type Alternative struct {
	Why    string
	Expect regression.Expect
}

// Alternatives lists them by case id.
func Alternatives() map[string]Alternative {
	const (
		host      = "Apache refuses this Host with 400; here the rules see and report it"
		multipart = "ModSecurity reads on after a bad part header; here the parser refuses the body (200003)"
	)
	rules := func(ids ...int) regression.Expect { return regression.Expect{IDs: ids} }
	return map[string]Alternative{
		"920100-8": {"Apache refuses a colon in the path; it is legal (RFC 3986, 3.3)", regression.Expect{Status: 200, NoIDs: []int{920100}}},
		"920270-4": {host, rules(920270)},
		"920274-1": {host, rules(920274)},
		"920290-1": {"Apache refuses an empty Host with 400; here it counts as missing", rules(920280)},
		"920290-4": {"an empty Host counts as missing here", rules(920280)},
		"920430-8": {"the server refuses the protocol version itself", regression.Expect{Status: 505, NoIDs: []int{920430}}},
		"920620-1": {"Apache joins two Content-Type headers into one; here the rules see two", rules(920620)},
		"922130-1": {multipart, rules(200003)},
		"922130-2": {multipart, rules(200003)},
		"922130-7": {multipart, rules(200003)},
	}
}
