package waf

import (
	"strings"

	"github.com/corazawaf/coraza/v3/types/variables"
)

// looksAtRequest says that all the link looks at is complete before the first
// rule of the phase, and that no action changes it.
func (b *planner) looksAtRequest(l *compiledRule) bool {
	for _, t := range l.targets {
		if !fromRequest[t.variable] && !(b.phase == 2 && fromBody[t.variable]) || b.phase > 2 || b.paths && fromPath[t.variable] {
			return false
		}
		if t.count && (t.excepts || b.counted[t.variable]) {
			return false
		}
	}
	return len(l.targets) > 0
}

// countsChange names the variables of which a rule may be made to see less in
// one transaction: fewer values can only match less, but their number may match.
func countsChange(rules []compiledRule) map[variables.RuleVariable]bool {
	out := map[variables.RuleVariable]bool{}
	for i := range rules {
		for _, l := range rules[i].links() {
			for _, c := range l.ctls {
				if c.option >= ctlTargetByID && c.option <= ctlTargetByMsg {
					out[c.variable] = true
				}
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

// fromPath are those of them to which @restpath adds what it takes out of the path,
// while the rules of its phase are evaluated.
var fromPath = map[variables.RuleVariable]bool{variables.Args: true, variables.ArgsNames: true}

// takesFromPath says that a rule of the phase does so.
func takesFromPath(rules []compiledRule, phase int, dead map[int]bool) bool {
	for i := range rules {
		if r := &rules[i]; r.phase == phase && !dead[r.id] {
			for _, l := range r.links() {
				if l.operatorName() == "restpath" {
					return true
				}
			}
		}
	}
	return false
}

// fromBody are those that are complete when the body has been read.
var fromBody = map[variables.RuleVariable]bool{
	variables.ReqbodyError: true, variables.ReqbodyErrorMsg: true, variables.ReqbodyProcessor: true,
	variables.ReqbodyProcessorError: true, variables.ReqbodyProcessorErrorMsg: true, variables.RequestBodyLength: true,
	variables.MultipartStrictError: true, variables.MultipartDataAfter: true, variables.MultipartInvalidQuoting: true,
	variables.MultipartDuplicatePartHeader: true, variables.InboundDataError: true, variables.FilesTmpContent: true,
}

func scalar(v variables.RuleVariable) bool {
	switch v {
	case variables.ArgsCombinedSize, variables.FilesCombinedSize, variables.FilesSizes,
		variables.QueryString, variables.RequestBody, variables.RequestLine, variables.FilesTmpContent:
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
		return strings.EqualFold(key, "cookie") || sensitiveName(key)
	case variables.Args, variables.ArgsGet, variables.ArgsPost, variables.RequestCookies, variables.RequestXML, variables.XML:
		return sensitiveName(key)
	}
	return false
}

// sensitiveWords are in names whose values nobody but the service should keep.
var sensitiveWords = strings.Fields("passw pwd secret token sess connect.sid credential jwt oauth authoriz api_key api-key apikey csrf card cvv ssn")

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
