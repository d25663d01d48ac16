package wafrules

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/corazawaf/coraza/v3/types/variables"
)

// Custom SecLang is data, not code: it can describe requests and responses and
// what to do with them, and nothing else. What is not on these lists is
// refused, so that what a later engine version adds is refused until somebody
// has looked at it.

func directiveAllowed(name string) bool {
	switch name {
	case "secrule", "secaction", "secmarker",
		"secruleupdatetargetbyid", "secruleupdatetargetbytag", "secruleupdateactionbyid",
		"secruleremovebyid", "secruleremovebytag":
		return true
	}
	return false
}

func operatorAllowed(name string) bool {
	switch name {
	case "rx", "pm", "contains", "beginswith", "endswith", "streq", "strmatch", "within",
		"eq", "ge", "gt", "le", "lt", "ipmatch", "detectsqli", "detectxss",
		"validatebyterange", "validateurlencoding", "validateutf8encoding", "validatenid",
		"unconditionalmatch", "nomatch", "restpath":
		return true
	}
	return false
}

// refusedOperators are those with a reason worth telling.
func operatorRefusal(name string) string {
	switch name {
	case "inspectfile":
		return "runs a program"
	case "pmfromfile", "pmf", "ipmatchfromfile", "ipmatchf":
		return "reads a file: list the values with @pm or @ipMatch"
	case "pmfromdataset", "ipmatchfromdataset":
		return "needs SecDataset, which is not allowed: list the values with @pm or @ipMatch"
	case "rbl":
		return "asks the network during a request"
	case "geolookup", "gsblookup":
		return "needs a database file"
	case "validateschema", "validatedtd":
		return "reads a schema file"
	case "fuzzyhash":
		return "reads a file of hashes"
	}
	return ""
}

func actionAllowed(key string) bool {
	switch key {
	case "accuracy", "allow", "auditlog", "block", "capture", "chain", "ctl", "deny", "drop", "expirevar",
		"id", "log", "logdata", "maturity", "msg", "multimatch", "noauditlog", "nolog", "pass", "phase",
		"redirect", "rev", "setvar", "severity", "skip", "skipafter", "status", "t", "tag", "ver":
		return true
	}
	return false
}

func actionRefusal(key string) string {
	switch key {
	case "exec":
		return "runs a program"
	case "setenv":
		return "changes the environment of the proxy"
	case "initcol", "setsid", "setuid", "setrsc":
		return "needs persistent collections, which the filter does not have"
	}
	return ""
}

func ctlAllowed(option string) bool {
	switch option {
	case "ruleremovebyid", "ruleremovebytag", "ruleremovebymsg",
		"ruleremovetargetbyid", "ruleremovetargetbytag", "ruleremovetargetbymsg",
		"requestbodyprocessor", "forcerequestbodyvariable":
		return true
	}
	return false
}

func ctlRefusal(option string) string {
	switch option {
	case "ruleengine":
		return "would switch the policy's mode: use spec.mode"
	case "requestbodyaccess", "requestbodylimit", "responsebodyaccess", "responsebodylimit",
		"responsebodyprocessor", "forceresponsebodyvariable":
		return "would change which bodies are inspected: use requestBody and responseBody of the policy"
	case "auditengine", "auditlogparts", "debugloglevel":
		return "the engine writes no logs of its own"
	}
	return ""
}

// CheckCustom holds one snippet of custom SecLang against the allow-list.
// Every problem it reports is Fatal; line and column are in the snippet.
func CheckCustom(snippet string) []Problem {
	directives, problems := parseSecLang(snippet)
	if len(directives) == 0 && len(problems) == 0 {
		return []Problem{{Line: 1, Column: 1, Message: "no directive", Fatal: true}}
	}
	c := checker{problems: problems}
	inChain := false
	for _, d := range directives {
		c.d = d
		if !directiveAllowed(d.name) {
			c.bad(0, "%s", directiveRefusal(d))
			inChain = false
			continue
		}
		switch d.name {
		case "secrule", "secaction":
			inChain = c.rule(inChain)
		case "secmarker":
			c.marker(inChain)
		case "secruleupdateactionbyid":
			c.update()
		default:
			c.selector()
		}
		if inChain && d.name != "secrule" && d.name != "secaction" {
			c.bad(0, "a chain must go on with a SecRule")
			inChain = false
		}
	}
	if inChain {
		c.bad(0, "the chain has no end: its last rule must not have the action chain")
	}
	return c.problems
}

func directiveRefusal(d directive) string {
	name, _, _ := strings.Cut(d.text, " ")
	switch d.name {
	case "include":
		return "Include is not allowed: write the rules here"
	case "secruleremovebymsg": // the engine panics when any rule before it has no message
		return "SecRuleRemoveByMsg is not allowed: name the rules with SecRuleRemoveById or SecRuleRemoveByTag"
	}
	return fmt.Sprintf("directive %q is not allowed: custom rules are SecRule, SecAction, SecMarker, SecRuleUpdate* and SecRuleRemove*", clip(name, 64))
}

func clip(s string, n int) string {
	if len(s) > n {
		return s[:n] + "…"
	}
	return s
}

type checker struct {
	d        directive
	problems []Problem
}

func (c *checker) bad(at int, format string, args ...any) {
	line, column := c.d.at(at)
	c.problems = append(c.problems, Problem{Line: line, Column: column, Message: fmt.Sprintf(format, args...), Fatal: true})
}

// rule checks a SecRule or SecAction and says whether a chain goes on after it.
func (c *checker) rule(chained bool) bool {
	r, err := c.d.rule()
	if err != nil {
		c.bad(c.d.args, "%v", err)
		return false
	}
	if c.d.name == "secrule" {
		c.variables(parseTargets(r.variables, r.varsAt))
		c.operator(r.operator, r.operatorAt)
	}
	c.actions(r.actions, chained)
	c.macros()
	if !chained {
		c.id(r)
	}
	_, more := r.get("chain")
	return more
}

func (c *checker) variables(targets []target) {
	for _, t := range targets {
		switch {
		case t.name == "ENV":
			c.bad(t.at, "variable ENV is not allowed: it shows the environment of the proxy")
		case !knownVariable(t.name):
			c.bad(t.at, "there is no variable %q", clip(t.name, 64))
		}
	}
}

func (c *checker) operator(op string, at int) {
	name, arg := splitOperator(op)
	lower := strings.ToLower(name)
	if why := operatorRefusal(lower); why != "" {
		c.bad(at, "operator @%s is not allowed: it %s", name, why)
	} else if !operatorAllowed(lower) {
		c.bad(at, "there is no operator @%s", clip(name, 64))
	} else if lower == "rx" && !strings.Contains(arg, `\x`) {
		if _, err := regexp.Compile("(?sm)" + arg); err != nil {
			c.bad(at, "operator @rx: %v", err)
		}
	}
}

// splitOperator gives the operator's name without @ and !, "rx" when none is
// written, and its argument.
func splitOperator(op string) (name, arg string) {
	negated, isNegated := strings.CutPrefix(op, "!")
	if isNegated {
		op = negated
	}
	if !strings.HasPrefix(op, "@") {
		return "rx", op
	}
	name, arg, _ = strings.Cut(op[1:], " ")
	return strings.TrimSpace(name), strings.TrimSpace(arg)
}

func (c *checker) actions(list []action, chained bool) {
	for _, a := range list {
		if why := actionRefusal(a.key); why != "" {
			c.bad(a.at, "action %s is not allowed: it %s", a.key, why)
			continue
		}
		if !actionAllowed(a.key) {
			c.bad(a.at, "there is no action %q", clip(a.key, 64))
			continue
		}
		switch a.key {
		case "ctl":
			c.ctl(a)
		case "phase":
			if !knownPhase(a.value) {
				c.bad(a.at, "there is no phase %q", clip(a.value, 16))
			}
		case "t":
			if !knownTransformation(a.value) {
				c.bad(a.at, "there is no transformation %q", clip(a.value, 64))
			}
		case "status":
			if n, err := strconv.Atoi(a.value); err != nil || n < 200 || n > 599 {
				c.bad(a.at, "status %q is not between 200 and 599", clip(a.value, 16))
			}
		case "id":
			if chained {
				c.bad(a.at, "only the first rule of a chain has an id")
			}
		}
	}
}

func (c *checker) ctl(a action) {
	option, value, ok := strings.Cut(a.value, "=")
	lower := strings.ToLower(strings.TrimSpace(option))
	switch {
	case !ok:
		c.bad(a.at, "ctl needs option=value")
	case ctlRefusal(lower) != "":
		c.bad(a.at, "ctl:%s is not allowed: %s", option, ctlRefusal(lower))
	case !ctlAllowed(lower):
		c.bad(a.at, "ctl:%s is not allowed", clip(option, 64))
	case lower == "requestbodyprocessor":
		switch strings.ToUpper(value) {
		case "URLENCODED", "MULTIPART", "XML", "JSON", "RAW":
		default:
			c.bad(a.at, "there is no body processor %q", clip(value, 64))
		}
	}
}

var envMacro = regexp.MustCompile(`(?i)%\{\s*env\s*[.:]`)

// macros refuses what a macro could show: %{ENV.…} reaches messages, redirects
// and variables.
func (c *checker) macros() {
	if at := envMacro.FindStringIndex(c.d.text); at != nil {
		c.bad(at[0], "macro %%{ENV…} is not allowed: it shows the environment of the proxy")
	}
}

func (c *checker) id(r secRule) {
	a, ok := r.get("id")
	if !ok {
		c.bad(0, "the rule has no id: custom rules need one between 1 and %d", maxCustomID)
		return
	}
	n := 0
	for _, b := range r.actions {
		if b.key == "id" {
			n++
		}
	}
	id, err := strconv.Atoi(a.value)
	if err != nil || id < 1 || id > maxCustomID || n > 1 {
		c.bad(a.at, "id %q is not allowed: custom rules have one id between 1 and %d", clip(a.value, 32), maxCustomID)
	}
}

func (c *checker) marker(chained bool) {
	if name, _ := unquote(c.d.text[c.d.args:], 0); name == "" {
		c.bad(c.d.args, "the marker has no name")
	}
}

// update checks SecRuleUpdateActionById ID "actions". The engine reads only the
// first id and the last word, so anything else would be lost without an error.
func (c *checker) update() {
	fields := strings.Fields(c.d.text[c.d.args:])
	if len(fields) != 2 {
		c.bad(c.d.args, `write one id or range and actions without spaces: SecRuleUpdateActionById 942100 "deny,status:403"`)
		return
	}
	at := strings.LastIndex(c.d.text, fields[1])
	list := parseActions(strings.Trim(fields[1], `"`), at+1)
	for _, a := range list {
		if a.key == "id" || a.key == "phase" || a.key == "chain" {
			c.bad(a.at, "action %s cannot be changed afterwards", a.key)
		}
	}
	c.actions(list, false)
	c.macros()
	c.selectorIDs(fields[:1])
}

// selector checks the directives that name rules: by id, tag or message.
func (c *checker) selector() {
	fields := strings.Fields(c.d.text[c.d.args:])
	if len(fields) == 0 {
		c.bad(c.d.args, "it names no rule")
		return
	}
	switch c.d.name {
	case "secruleremovebyid":
		c.selectorIDs(strings.Fields(strings.Trim(c.d.text[c.d.args:], `"`)))
	case "secruleupdatetargetbyid", "secruleupdatetargetbytag":
		if len(fields) != 2 {
			c.bad(c.d.args, `write one rule and its variables without spaces: %s 942100 "!ARGS:q"`, strings.Fields(c.d.text)[0])
			return
		}
		if c.d.name == "secruleupdatetargetbyid" {
			c.selectorIDs(fields[:1])
		}
		at := strings.LastIndex(c.d.text, fields[1])
		vars, at := unquote(fields[1], at)
		c.variables(parseTargets(strings.ReplaceAll(vars, ",", "|"), at))
	}
}

func (c *checker) selectorIDs(fields []string) {
	for _, f := range fields {
		if _, _, err := parseRange(strings.Trim(f, `"`)); err != nil {
			c.bad(c.d.args, "%v", err)
		}
	}
}

// parseRange reads "942100" or "942100-942199".
func parseRange(s string) (from, to int, err error) {
	a, b, isRange := strings.Cut(s, "-")
	if from, err = strconv.Atoi(a); err != nil {
		return 0, 0, fmt.Errorf("%q is not a rule id", clip(s, 32))
	}
	if !isRange {
		return from, from, nil
	}
	if to, err = strconv.Atoi(b); err != nil || to < from {
		return 0, 0, fmt.Errorf("%q is not a range of rule ids", clip(s, 32))
	}
	return from, to, nil
}

func knownVariable(name string) bool {
	_, err := variables.Parse(name)
	return err == nil
}

func knownPhase(s string) bool {
	switch strings.ToLower(s) {
	case "1", "2", "3", "4", "5", "request", "response", "logging":
		return true
	}
	return false
}

func knownTransformation(s string) bool {
	switch strings.ToLower(s) {
	case "base64decode", "base64decodeext", "base64encode", "cmdline", "compresswhitespace", "cssdecode",
		"escapeseqdecode", "hexdecode", "hexencode", "htmlentitydecode", "jsdecode", "length", "lowercase", "md5", "none",
		"normalisepath", "normalisepathwin", "normalizepath", "normalizepathwin", "removecomments", "removecommentschar",
		"removenulls", "removewhitespace", "replacecomments", "replacenulls", "sha1", "uppercase", "urldecode",
		"urldecodeuni", "urlencode", "utf8tounicode", "trim", "trimleft", "trimright":
		return true
	}
	return false
}
