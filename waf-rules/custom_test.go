package wafrules

import (
	"strconv"
	"strings"
	"testing"
)

// TestCustomRefused tries what an author must not write, in the ways SecLang
// lets one write it. at is "line:column".
func TestCustomRefused(t *testing.T) {
	op := func(op string) string { return `SecRule ARGS "` + op + `" "id:1,phase:2,deny"` }
	act := func(a string) string { return `SecRule ARGS "@rx x" "id:1,phase:2,deny,` + a + `"` }
	for _, c := range []struct{ name, text, want string }{
		{"include", "Include /etc/passwd", "1:1"},
		{"include in capitals", "\n  INCLUDE x", "2:3"},
		{"include split", "Inc\\\nlude x", "1:1"},
		{"debug log", "SecDebugLog /tmp/x", "1:1"},
		{"debug level", "SecDebugLogLevel 9", "1:1"},
		{"audit log", "SecAuditLog /tmp/x", "1:1"},
		{"audit dir", "SecAuditLogStorageDir /tmp", "1:1"},
		{"data dir", "secdatadir /tmp", "1:1"},
		{"upload dir", "SecUploadDir /tmp", "1:1"},
		{"engine", "SecRuleEngine Off", "1:1"},
		{"body access", "SecRequestBodyAccess Off", "1:1"},
		{"default action", `SecDefaultAction "phase:2,deny"`, "1:1"},
		{"data set", "SecDataset x `\na\n`", "1:14"},
		{"remote rules", "SecRemoteRules k http://x", "1:1"},
		{"ignore errors", "SecIgnoreRuleCompilationErrors On", "1:1"},
		{"component", `SecComponentSignature "x"`, "1:1"},
		{"remove by message", `SecRuleRemoveByMsg "x"`, "1:1"},
		{"tab after name", "SecRule\tARGS \"@rx x\" \"id:1\"", "1:1"},
		{"second line", op("@rx x") + "\n" + "SecDebugLog x", "2:1"},
		{"inspectFile", op("@inspectFile /bin/sh"), "1:15"},
		{"inspectFile negated", op("!@inspectFile /bin/sh"), "1:15"},
		{"inspectFile case", op("@INSPECTFILE /bin/sh"), "1:15"},
		{"pmFromFile", op("@pmFromFile x"), "1:15"},
		{"pmf", op("@pmf x"), "1:15"},
		{"ipMatchFromFile", op("@ipMatchFromFile x"), "1:15"},
		{"ipMatchF", op("@ipMatchF x"), "1:15"},
		{"pmFromDataset", op("@pmFromDataset x"), "1:15"},
		{"ipMatchFromDataset", op("@ipMatchFromDataset x"), "1:15"},
		{"rbl", op("@rbl x"), "1:15"},
		{"geoLookup", op("@geoLookup"), "1:15"},
		{"gsbLookup", op("@gsbLookup x"), "1:15"},
		{"fuzzyHash", op("@fuzzyHash x 1"), "1:15"},
		{"validateSchema", op("@validateSchema /x.xsd"), "1:15"},
		{"validateDTD", op("@validateDTD /x.dtd"), "1:15"},
		{"unknown operator", op("@nonsense x"), "1:15"},
		{"operator in continuation", "SecRule ARGS \\\n    \"@pm\\\nFromFile x\" \"id:1\"", "2:6"},
		{"operator padded", `SecRule ARGS    "@inspectFile x" "id:1"`, "1:18"},
		{"bad regex", op("@rx (a"), "1:15"},
		{"bad implicit regex", op("(a"), "1:15"},
		{"exec", act("exec:/bin/sh"), "1:41"},
		{"exec quoted", act("exec:'/bin/sh'"), "1:41"},
		{"exec case", act("EXEC:/bin/sh"), "1:41"},
		{"exec spaced", act(" exec:/bin/sh"), "1:42"},
		{"exec split", "SecRule ARGS \"@rx x\" \"id:1,ex\\\n   ec:/bin/sh\"", "1:28"},
		{"exec first", `SecAction "exec:/bin/sh,id:1"`, "1:12"},
		{"exec after quote", act("msg:'a,b',exec:/x"), "1:51"},
		{"setenv", act("setenv:A=b"), "1:41"},
		{"initcol", act("initcol:ip=x"), "1:41"},
		{"setsid", act("setsid:x"), "1:41"},
		{"setuid", act("setuid:x"), "1:41"},
		{"setrsc", act("setrsc:x"), "1:41"},
		{"proxy", act("proxy:http://x"), "1:41"},
		{"unknown action", act("nonsense"), "1:41"},
		{"ctl ruleEngine", act("ctl:ruleEngine=Off"), "1:41"},
		{"ctl quoted", act("ctl:'ruleEngine=Off'"), "1:41"},
		{"ctl case", act("CTL:RULEENGINE=off"), "1:41"},
		{"ctl body access", act("ctl:requestBodyAccess=Off"), "1:41"},
		{"ctl body limit", act("ctl:requestBodyLimit=1"), "1:41"},
		{"ctl response access", act("ctl:responseBodyAccess=Off"), "1:41"},
		{"ctl response limit", act("ctl:responseBodyLimit=1"), "1:41"},
		{"ctl response processor", act("ctl:responseBodyProcessor=JSON"), "1:41"},
		{"ctl response variable", act("ctl:forceResponseBodyVariable=On"), "1:41"},
		{"ctl audit", act("ctl:auditEngine=Off"), "1:41"},
		{"ctl audit parts", act("ctl:auditLogParts=+E"), "1:41"},
		{"ctl debug", act("ctl:debugLogLevel=9"), "1:41"},
		{"ctl unknown", act("ctl:nonsense=1"), "1:41"},
		{"ctl processor", act("ctl:requestBodyProcessor=EXEC"), "1:41"},
		{"id too large", `SecAction "id:100000,pass"`, "1:12"},
		{"id zero", `SecAction "id:0,pass"`, "1:12"},
		{"id negative", `SecAction "id:-1,pass"`, "1:12"},
		{"id quoted", `SecAction "id:'942100',pass"`, "1:12"},
		{"id missing", `SecAction "pass"`, "1:1"},
		{"id twice", `SecAction "id:1,id:2,pass"`, "1:12"},
		{"id in chain", "SecRule ARGS \"@rx x\" \"id:1,chain\"\nSecRule ARGS \"@rx y\" \"id:2\"", "2:23"},
		{"chain without end", `SecRule ARGS "@rx x" "id:1,chain"`, "1:1"},
		{"unknown variable", `SecRule NONSENSE "@rx x" "id:1"`, "1:9"},
		{"second variable", `SecRule ARGS|NONSENSE "@rx x" "id:1"`, "1:14"},
		{"environment", `SecRule ENV:HOME "@rx x" "id:1"`, "1:9"},
		{"environment macro", act("msg:'%{ENV.HOME}'"), "1:46"},
		{"unknown transformation", act("t:nonsense"), "1:41"},
		{"unknown phase", `SecAction "id:1,phase:7"`, "1:17"},
		{"bad status", act("status:99"), "1:41"},
		{"continuation at the end", op("@rx x") + ` \`, "1:1"},
		{"control character", "SecAction \"id:1\x00\"", "1:16"},
		{"long line", "SecAction \"id:1,msg:'" + strings.Repeat("a", 70<<10) + "'\"", "1:1"},
		{"update with exec", `SecRuleUpdateActionById 942100 "exec:/x"`, "1:33"},
		{"update with two words", `SecRuleUpdateActionById 942100 "deny, exec:/x"`, "1:25"},
		{"update id", `SecRuleUpdateActionById 942100 "id:7"`, "1:33"},
		{"update two ids", `SecRuleUpdateTargetById 942100 942110 "!ARGS:q"`, "1:25"},
		{"update variable", `SecRuleUpdateTargetById 942100 "!ENV:q"`, "1:33"},
		{"remove nothing", `SecRuleRemoveById`, "1:18"},
		{"remove words", `SecRuleRemoveById abc`, "1:19"},
		{"empty", " \n# x\n", "1:1"},
	} {
		problems := CheckCustom(c.text)
		if len(problems) == 0 {
			t.Errorf("%s: accepted", c.name)
			continue
		}
		p := problems[0]
		at := strconv.Itoa(p.Line) + ":" + strconv.Itoa(p.Column)
		if at != c.want || !p.Fatal || p.Message == "" {
			t.Errorf("%s: at %s want %s: %v", c.name, at, c.want, p)
		}
	}
}

// TestDirectivesRefused tries every other directive that the engine knows, and those
// of ModSecurity that it may come to know.
func TestDirectivesRefused(t *testing.T) {
	for name := range strings.FieldsSeq(`Include
SecArgumentSeparator SecArgumentsLimit SecAuditEngine SecAuditLog SecAuditLogDirMode SecAuditLogFileMode
SecAuditLogFormat SecAuditLogParts SecAuditLogRelevantStatus SecAuditLogStorageDir SecAuditLogType
SecCacheTransformations SecChrootDir SecCollectionTimeout SecComponentSignature SecConnEngine
SecConnReadStateLimit SecConnWriteStateLimit SecContentInjection SecCookieFormat SecCookieV0Separator
SecDataDir SecDataset SecDebugLog SecDebugLogLevel SecDefaultAction SecDisableBackendCompression
SecGeoLookupDb SecGsbLookupDb SecGuardianLog SecHashEngine SecHashKey SecHashMethodPm SecHashMethodRx
SecHashParam SecHTTPBlKey SecIgnoreRuleCompilationErrors SecInterceptOnError SecPcreMatchLimit
SecPcreMatchLimitRecursion SecReadStateLimit SecRemoteRules SecRemoteRulesFailAction SecRequestBodyAccess
SecRequestBodyInMemoryLimit SecRequestBodyJsonDepthLimit SecRequestBodyLimit SecRequestBodyLimitAction
SecRequestBodyNoFilesLimit SecResponseBodyAccess SecResponseBodyLimit SecResponseBodyLimitAction
SecResponseBodyJsonDepthLimit SecResponseBodyMimeType SecResponseBodyMimeTypesClear SecRuleEngine
SecRuleInheritance SecRulePerfTime SecRxPreFilter
SecRuleRemoveByMsg SecRuleScript SecRuleUpdateTargetByMsg SecSensorId SecServerSignature SecStatusEngine
SecStreamInBodyInspection SecStreamOutBodyInspection SecTmpDir SecTmpSaveUploadedFiles SecUnicodeMap
SecUnicodeMapFile SecUnicodeCodePage SecUploadDir SecUploadFileLimit SecUploadFileMode SecUploadKeepFiles
SecWebAppId SecWriteStateLimit SecXmlExternalEntity`) {
		for _, text := range []string{name, name + " On", name + ` "/tmp/x" "id:1"`} {
			if p := CheckCustom(text); len(p) == 0 || !p[0].Fatal || p[0].Line != 1 || p[0].Column != 1 {
				t.Errorf("%s: %v", text, p)
			}
		}
	}
}

func TestCustomAccepted(t *testing.T) {
	for _, text := range []string{
		`SecRule ARGS:q "@rx (?i)union\s+select" "id:1,phase:2,deny,status:403,log,msg:'x, y',tag:'a'"`,
		"SecRule REQUEST_HEADERS:User-Agent \"bad\" \\\n    \"id:99999,\\\n    phase:1,\\\n    t:none,t:lowercase,\\\n    deny\"",
		"SecRule ARGS \"@rx a\" \"id:2,phase:2,chain,deny\"\n  SecRule REQUEST_URI \"@beginsWith /x\" \"t:none\"",
		`SecAction "id:3,phase:1,pass,nolog,setvar:tx.a=1,ctl:ruleRemoveTargetById=942100;ARGS:q"`,
		"SecRule ARGS \"@eq 1\" \"id:4,skipAfter:END\"\nSecMarker END",
		`SecRuleUpdateTargetById 942100 "!ARGS:/^json\..*/"`,
		`SecRuleUpdateActionById 942100 "deny,status:403"`,
		`SecRuleRemoveById 942100 942110-942120`,
		`SecRuleRemoveByTag "attack-sqli"`,
		`SecRule REQUEST_COOKIES|!REQUEST_COOKIES:/__utm/|&ARGS "@contains x" "id:5,phase:2,pass"`,
		"# a comment\r\nSecAction \"id:6,pass\"\r\n",
	} {
		if problems := CheckCustom(text); len(problems) > 0 {
			t.Errorf("%s: %v", text, problems)
		}
	}
}

func FuzzCheckCustom(f *testing.F) {
	f.Add(`SecRule ARGS "@rx x" "id:1,phase:2,deny"`)
	f.Add("SecRule ARGS \\\n \"@pm\\\nf x\" \"id:1,chain\"\nSecAction \"exec:x\"")
	f.Fuzz(func(t *testing.T, text string) {
		if len(CheckCustom(text)) > 0 {
			return
		}
		low := strings.ToLower(text)
		early, late := splitCustom(text)
		if strings.Count(early+late, "\n") == 0 && strings.TrimSpace(low) != "" {
			t.Fatalf("%q is accepted and lost", text)
		}
		for _, r := range RuleText("custom", text) {
			if r.ID < 1 || r.ID > maxCustomID {
				t.Fatalf("%q: id %d", text, r.ID)
			}
		}
	})
}
