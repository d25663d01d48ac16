package wafrules

import (
	"fmt"
	"strings"
)

// Rule ids gabion gives to rules of its own making. Custom rules use 1–99,999.
const (
	maxCustomID    = 99_999
	exclusionID    = 100_000 // + index of the exclusion
	maxExclusions  = 100_000
	setupID        = 900_990 // the id CRS's own setup file uses
	responseBodyID = 200_019
	FirstBaseID    = 200_000
	LastBaseID     = 200_009
)

// Limits are the engine's sizes. The chain cuts bodies before the engine sees
// them, so these only have to be larger than anything it is given.
type Limits struct {
	RequestBody  int64 // bytes; 0: request bodies are not shown to the engine
	ResponseBody int64 // bytes; 0: response bodies are not shown
}

// engineDirectives configure the engine itself. Nothing is written to disk and
// nothing is logged by it: what it finds is read from the transaction.
func engineDirectives(s Settings, l Limits, detect bool) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	if detect {
		line("SecRuleEngine DetectionOnly")
	} else {
		line("SecRuleEngine On")
	}
	line("SecRequestBodyAccess %s", onOff(l.RequestBody > 0))
	line("SecRequestBodyLimit %d", l.RequestBody+engineSlack)
	line("SecRequestBodyInMemoryLimit %d", l.RequestBody+engineSlack)
	line("SecRequestBodyLimitAction ProcessPartial")
	line("SecRequestBodyJsonDepthLimit %d", s.JSONDepth)
	line("SecArgumentsLimit %d", s.MaxArguments)
	line("SecResponseBodyAccess %s", onOff(l.ResponseBody > 0))
	line("SecResponseBodyLimit %d", l.ResponseBody+engineSlack)
	line("SecResponseBodyLimitAction ProcessPartial")
	line("SecAuditEngine Off")
	for phase := 1; phase <= 5; phase++ {
		line(`SecDefaultAction "phase:%d,log,auditlog,pass"`, phase)
	}
	if l.ResponseBody > 0 {
		// Which bodies are shown is the chain's decision; the engine inspects what it is shown.
		line("SecAction \"id:%d,phase:3,pass,nolog,ctl:forceResponseBodyVariable=On\"", responseBodyID)
	}
	return b.String()
}

// engineSlack keeps the engine's own limits out of reach, so that exactly one
// place (the chain) decides what happens to a long body.
const engineSlack = 64 << 10

func onOff(on bool) string {
	if on {
		return "On"
	}
	return "Off"
}

// baseDirectives pick the body parser and report what it could not read.
//
// They differ from the engine's recommended configuration in one thing: a hit
// passes. The filter counts it as a denial with status 400 when the request has
// been inspected as a whole, so that the event shows all that was wrong with
// the request, and so that the hit can be excluded and obeys the mode.
const baseDirectives = `
SecRule REQUEST_HEADERS:Content-Type "@rx ^(?:application(?:/soap\+|/)|text/)xml" "id:200000,phase:1,t:none,t:lowercase,pass,nolog,ctl:requestBodyProcessor=XML"
SecRule REQUEST_HEADERS:Content-Type "@rx ^application/json" "id:200001,phase:1,t:none,t:lowercase,pass,nolog,ctl:requestBodyProcessor=JSON"
SecRule REQUEST_HEADERS:Content-Type "@rx ^application/[a-z0-9.-]+[+]json" "id:200006,phase:1,t:none,t:lowercase,pass,nolog,ctl:requestBodyProcessor=JSON"
SecRule URI_PARSE_ERROR "@eq 1" "id:200009,phase:1,t:none,log,pass,msg:'Request target could not be parsed',severity:CRITICAL,tag:'gabion/base'"
SecRule ARGUMENTS_LIMIT_REACHED "@eq 1" "id:200004,phase:1,t:none,log,pass,msg:'More query arguments than are inspected',severity:CRITICAL,tag:'gabion/base'"
SecRule REQBODY_ERROR "!@eq 0" "id:200002,phase:2,t:none,log,pass,msg:'Request body could not be parsed',logdata:'%{reqbody_error_msg}',severity:CRITICAL,tag:'gabion/base'"
SecRule MULTIPART_STRICT_ERROR "!@eq 0" "id:200003,phase:2,t:none,log,pass,msg:'Multipart request body is malformed',severity:CRITICAL,tag:'gabion/base'"
SecRule ARGUMENTS_LIMIT_REACHED "@eq 1" "id:200005,phase:2,t:none,log,pass,msg:'More body arguments than are inspected',severity:CRITICAL,tag:'gabion/base'"
`

// BaseDenies says that a match of the rule denies the request by itself: the
// parse error and argument limit rules.
func BaseDenies(id int) bool {
	switch id {
	case 200002, 200003, 200004, 200005, 200009:
		return true
	}
	return false
}

// BaseStatus answers a request that a base rule denies.
const BaseStatus = 400

// ParseErrorRules report bodies that could not be parsed. They say nothing
// about a body that was cut by the filter itself.
func ParseErrorRules() []int { return []int{200002, 200003} }

// setupDirectives tell CRS what the policy chose; CRS's own initialisation
// fills in the rest.
func setupDirectives(s Settings) string {
	vars := []string{
		"tx.crs_setup_version=4250",
		fmt.Sprintf("tx.blocking_paranoia_level=%d", s.Level()),
		fmt.Sprintf("tx.detection_paranoia_level=%d", s.Level()),
		fmt.Sprintf("tx.inbound_anomaly_score_threshold=%d", s.Inbound),
		fmt.Sprintf("tx.outbound_anomaly_score_threshold=%d", s.Outbound),
		"'tx.allowed_request_content_type=" + strings.Join(requestContentTypes(), " ") + "'",
	}
	return fmt.Sprintf("SecAction \"id:%d,phase:1,pass,t:none,nolog,setvar:%s\"\n", setupID, strings.Join(vars, ",setvar:"))
}

// requestContentTypes is what rule 920420 lets pass: the rule set's own list, and
// gRPC's types, without which every gRPC call through the proxy would score as an
// attack. Each stands between bars, as the rule wants it.
func requestContentTypes() []string {
	return []string{
		"|application/x-www-form-urlencoded|", "|multipart/form-data|", "|text/xml|",
		"|application/xml|", "|application/soap+xml|", "|application/json|",
		"|application/grpc|", "|application/grpc+proto|", "|application/grpc+json|",
		"|application/grpc-web|", "|application/grpc-web+proto|", "|application/grpc-web-text|",
	}
}
