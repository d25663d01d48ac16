package waf

import (
	"regexp"
	"strings"

	"github.com/corazawaf/coraza/v3/types/variables"
)

// looksAtRequest says that all the link looks at is complete before the first
// rule of the phase, and that no action changes it.
func (b *planner) looksAtRequest(l *compiledRule) bool {
	for _, t := range l.targets {
		if !fromRequest[t.variable] && !(b.phase == 2 && fromBody[t.variable]) || b.phase > 2 {
			return false
		}
		if t.count && (t.excepts || b.counted[t.variable.Name()]) {
			return false
		}
	}
	return len(l.targets) > 0
}

var ctlTarget = regexp.MustCompile(`(?i)ctl:\s*'?\s*ruleRemoveTargetBy\w+\s*=[^;,'"]*;\s*([A-Za-z_]+)`)

// countsChange names the variables of which a rule may be made to see less in
// one transaction: fewer values can only match less, but their number may match.
func countsChange(rules []compiledRule) map[string]bool {
	out := map[string]bool{}
	for i := range rules {
		for _, raw := range rules[i].raw {
			if !mentions(raw, "ctl:") {
				continue
			}
			for _, m := range ctlTarget.FindAllStringSubmatch(raw, -1) {
				out[strings.ToUpper(m[1])] = true
			}
		}
	}
	return out
}

// fromRequest names the variables that are complete before the first rule of
// phases 1 and 2 and that no action changes.
var fromRequest = map[variables.RuleVariable]bool{
	variables.Args: true, variables.ArgsGet: true, variables.ArgsPost: true,
	variables.ArgsNames: true, variables.ArgsGetNames: true, variables.ArgsPostNames: true,
	variables.ArgsCombinedSize: true, variables.QueryString: true,
	variables.RequestBasename: true, variables.RequestBody: true, variables.RequestFilename: true,
	variables.RequestLine: true, variables.RequestMethod: true, variables.RequestProtocol: true,
	variables.RequestURI: true, variables.RequestURIRaw: true,
	variables.RequestHeaders: true, variables.RequestHeadersNames: true,
	variables.RequestCookies: true, variables.RequestCookiesNames: true,
	variables.Files: true, variables.FilesNames: true, variables.FilesSizes: true, variables.FilesCombinedSize: true,
	variables.MultipartFilename: true, variables.MultipartName: true, variables.MultipartPartHeaders: true,
	variables.XML: true, variables.RequestXML: true,
	variables.URIParseError: true, variables.ArgumentsLimitReached: true, variables.RemoteAddr: true, variables.ServerName: true,
}

// fromBody are those that are complete when the body has been read.
var fromBody = map[variables.RuleVariable]bool{
	variables.ReqbodyError: true, variables.ReqbodyErrorMsg: true, variables.ReqbodyProcessor: true,
	variables.ReqbodyProcessorError: true, variables.ReqbodyProcessorErrorMsg: true, variables.RequestBodyLength: true,
	variables.MultipartStrictError: true, variables.MultipartDataAfter: true, variables.MultipartInvalidQuoting: true,
	variables.MultipartDuplicatePartHeader: true, variables.InboundDataError: true,
}

func scalar(v variables.RuleVariable) bool {
	switch v {
	case variables.ArgsCombinedSize, variables.FilesCombinedSize, variables.FilesSizes,
		variables.QueryString, variables.RequestBody, variables.RequestLine:
		return true
	}
	return false
}

// composite says that a value holds others, which are remembered by themselves:
// a request target with its query, a header that quotes one.
func composite(v variables.RuleVariable, value string) bool {
	switch v {
	case variables.RequestURI, variables.RequestURIRaw:
		return strings.Contains(value, "?")
	case variables.RequestHeaders:
		_, query, found := strings.Cut(value, "?")
		return found && strings.Contains(query, "=")
	}
	return false
}

// sensitive values are judged like others and never remembered.
func sensitive(v variables.RuleVariable, key string) bool {
	switch v {
	case variables.RequestHeaders:
		return strings.EqualFold(key, "cookie") || strings.EqualFold(key, "authorization") ||
			strings.EqualFold(key, "proxy-authorization") || strings.EqualFold(key, "x-api-key") || sensitiveName(key)
	case variables.Args, variables.ArgsGet, variables.ArgsPost, variables.RequestCookies, variables.RequestXML, variables.XML:
		return sensitiveName(key)
	}
	return false
}

// sensitiveWords are in names whose values nobody but the service should keep.
var sensitiveWords = strings.Fields("passw pwd secret token session credential api_key apikey csrf card cvv ssn")

// sensitiveBy has those words by the letter they begin with: this is asked of
// every key in every request.
var sensitiveBy = func() (by [256][]string) {
	for _, word := range sensitiveWords {
		lower, upper := word[0], word[0]-'a'+'A'
		by[lower], by[upper] = append(by[lower], word), append(by[upper], word)
	}
	return by
}()

func sensitiveName(key string) bool {
	for i := range len(key) {
		for _, word := range sensitiveBy[key[i]] {
			if len(key)-i >= len(word) && key[i+1]|0x20 == word[1] && strings.EqualFold(key[i:i+len(word)], word) {
				return true
			}
		}
	}
	return false
}
