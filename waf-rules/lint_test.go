package wafrules

import (
	"strings"
	"testing"
	"time"
)

func TestLint(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	past, future := now.Add(-time.Hour), now.Add(time.Hour)
	inspect := Context{RequestBody: true, ResponseBody: true, Now: now}
	custom := func(text string) Settings { s := Defaults(); s.Rules = []string{text}; return s }
	exclude := func(x Exclusion) Settings { s := Defaults(); s.Exclusions = []Exclusion{x}; return s }
	for _, c := range []struct {
		name     string
		settings Settings
		context  Context
		path     string // of the only problem; "": none
		message  string
	}{
		{"nothing", Defaults(), inspect, "", ""},
		{"useful rule", custom(`SecRule ARGS:q "@rx x" "id:1,phase:2,deny"`), inspect, "", ""},
		{"body in phase 1", custom(`SecRule ARGS_POST "@rx x" "id:1,phase:1,deny"`), inspect, "rules[0]", "not known yet"},
		{"response in phase 2", custom(`SecRule RESPONSE_STATUS "@eq 500" "id:1,phase:2,deny"`), inspect, "rules[0]", "not known yet"},
		{"body not inspected", custom(`SecRule REQUEST_BODY "@rx x" "id:1,phase:2,deny"`), Context{}, "rules[0]", "requestBody.inspect"},
		{"response body not inspected", custom(`SecRule RESPONSE_BODY "@rx x" "id:1,phase:4,deny"`), Context{RequestBody: true}, "rules[0]", "responseBody.inspect"},
		{"deny in phase 5", custom(`SecRule ARGS "@rx x" "id:1,phase:5,deny"`), inspect, "rules[0]", "phase 5"},
		{"block alone", custom(`SecRule ARGS "@rx x" "id:1,phase:2,block"`), inspect, "rules[0]", "block alone"},
		{"block with score", custom(`SecRule ARGS "@rx x" "id:1,phase:2,block,setvar:tx.inbound_anomaly_score_pl1=+5"`), inspect, "", ""},
		{"jump to nowhere", custom(`SecRule ARGS "@rx x" "id:1,phase:2,pass,skipAfter:END-X"`), inspect, "rules[0]", "no SecMarker"},
		{"jump into the rule set", custom(`SecRule ARGS "@rx x" "id:1,phase:2,pass,skipAfter:END-REQUEST-942-APPLICATION-ATTACK-SQLI"`), inspect, "", ""},
		{"marker unused", custom("SecMarker END-X"), inspect, "rules[0]", "no rule jumps"},
		{"ctl unknown id", custom(`SecAction "id:1,phase:1,pass,ctl:ruleRemoveById=942999"`), inspect, "rules[0]", "no rule has the id"},
		{"ctl unknown tag", custom(`SecAction "id:1,phase:1,pass,ctl:ruleRemoveByTag=nonsense"`), inspect, "rules[0]", "no rule has the tag"},
		{"ctl too late", custom(`SecAction "id:1,phase:2,pass,ctl:ruleRemoveById=920100"`), inspect, "rules[0]", "has run already"},
		{"ctl other target", custom(`SecAction "id:1,phase:1,pass,ctl:ruleRemoveTargetById=942100;REQUEST_LINE"`), inspect, "rules[0]", "does not look at"},
		{"remove unknown id", custom(`SecRuleRemoveById 1234`), inspect, "rules[0]", "no rule has the id"},
		{"remove unknown tag", custom(`SecRuleRemoveByTag "nonsense"`), inspect, "rules[0]", "no rule has the tag"},
		{"update other target", custom(`SecRuleUpdateTargetById 942100 "!REQUEST_LINE"`), inspect, "rules[0]", "does not look at"},
		{"everything removed", custom(`SecRuleRemoveById 1-999999`), inspect, "rules[0]", "switches off what denies by the score (949110, 949111, 959100, 959101) and "},
		{"the decision removed", custom(`SecRuleRemoveById 949110`), inspect, "rules[0]", "switches off what denies by the score (949110)"},
		{"everything removed by tag", custom(`SecRuleRemoveByTag "OWASP_CRS"`), inspect, "rules[0]", "rules that find attacks in requests"},
		{"one family removed", custom(`SecRuleRemoveByTag "attack-sqli"`), inspect, "", ""},
		{"everything by ctl", custom(`SecAction "id:1,phase:1,pass,nolog,ctl:ruleRemoveById=911000-949999"`), inspect, "rules[0]", "in every request, this switches off"},
		{"everything by ctl in some requests", custom(`SecRule REQUEST_URI "@beginsWith /x" "id:1,phase:1,pass,nolog,ctl:ruleRemoveByTag=OWASP_CRS"`), inspect, "rules[0]", "where this rule matches, this switches off"},
		{"the decision told to pass", custom(`SecRuleUpdateActionById 949110 "pass"`), inspect, "rules[0]", "rule 949110 is what denies by the score"},
		{"allow for everybody", custom(`SecAction "id:1,phase:1,nolog,allow"`), inspect, "rules[0]", "lets every request pass"},
		{"allow for some", custom(`SecRule REMOTE_ADDR "@ipMatch 192.0.2.1" "id:1,phase:1,nolog,allow"`), inspect, "", ""},
		{"everything excluded", exclude(Exclusion{Tag: "OWASP_CRS"}), inspect, "exclusions[0].tag", "switches off"},
		{"everything excluded on a path", exclude(Exclusion{Tag: "OWASP_CRS", Path: "/upload"}), inspect, "", ""},
		{"update", custom(`SecRuleUpdateTargetById 942100 "!ARGS:q"`), inspect, "", ""},
		{"id twice", custom("SecAction \"id:1,pass\"\nSecAction \"id:1,pass\""), inspect, "rules[0]", "used twice"},
		{"exclusion", exclude(Exclusion{Rule: 942100, Target: "ARGS:q", Expires: &future}), inspect, "", ""},
		{"exclusion by tag", exclude(Exclusion{Tag: "attack-sqli", Target: "ARGS:q"}), inspect, "", ""},
		{"exclusion of a base rule", exclude(Exclusion{Rule: 200002, Path: "/upload"}), inspect, "", ""},
		{"expired", exclude(Exclusion{Rule: 942100, Expires: &past}), inspect, "exclusions[0].expires", "ended at"},
		{"unknown rule", exclude(Exclusion{Rule: 942999}), inspect, "exclusions[0].rule", "no rule has the id"},
		{"unknown tag", exclude(Exclusion{Tag: "nonsense"}), inspect, "exclusions[0].tag", "no rule has the tag"},
		{"other paranoia level", exclude(Exclusion{Rule: 942430}), inspect, "exclusions[0].rule", "paranoia level"},
		{"other target", exclude(Exclusion{Rule: 942100, Target: "ARGS_GET:q"}), inspect, "exclusions[0].target", "does not look at"},
		{"response rule", exclude(Exclusion{Rule: 951120}), Context{RequestBody: true}, "exclusions[0].rule", "responseBody.inspect"},
		{"neither rule nor tag", exclude(Exclusion{}), inspect, "exclusions[0].rule", "needs a rule"},
		{"both", exclude(Exclusion{Rule: 1, Tag: "a"}), inspect, "exclusions[0].tag", "not both"},
		{"bad host", exclude(Exclusion{Rule: 942100, Host: "a b"}), inspect, "exclusions[0].host", "neither"},
		{"bad path", exclude(Exclusion{Rule: 942100, Path: "a"}), inspect, "exclusions[0].path", "begin"},
		{"bad method", exclude(Exclusion{Rule: 942100, Method: "G T"}), inspect, "exclusions[0].method", "method"},
		{"bad target", exclude(Exclusion{Rule: 942100, Target: "NONSENSE:q"}), inspect, "exclusions[0].target", "no variable"},
	} {
		problems := Lint(c.settings, c.context)
		switch {
		case c.path == "" && len(problems) > 0:
			t.Errorf("%s: %v", c.name, problems)
		case c.path != "" && len(problems) == 0:
			t.Errorf("%s: no problem", c.name)
		case c.path != "" && (problems[0].Path != c.path || !strings.Contains(problems[0].Message, c.message)):
			t.Errorf("%s: %v, want %s … %s", c.name, problems, c.path, c.message)
		}
	}
}

func TestExclusionText(t *testing.T) {
	until := time.Unix(1800000000, 0)
	for _, c := range []struct {
		x    Exclusion
		want string
	}{
		{Exclusion{Rule: 942100}, `SecAction "id:100000,phase:1,pass,nolog,t:none,ctl:'ruleRemoveById=942100'"`},
		{Exclusion{Tag: "attack-sqli", Target: "ARGS:q", Path: "/api/*"},
			`SecRule REQUEST_FILENAME "@rx \A/api/" "id:100000,phase:1,pass,nolog,t:none,t:normalizePath,ctl:'ruleRemoveTargetByTag=attack-sqli;ARGS:q'"`},
		{Exclusion{Rule: 1, Host: "*.example.com", Method: "POST", Expires: &until},
			"SecRule TIME_EPOCH \"@lt 1800000000\" \"id:100000,phase:1,pass,nolog,t:none,chain\"\n" +
				"SecRule REQUEST_METHOD \"@rx \\APOST\\z\" \"t:none,chain\"\n" +
				`SecRule REQUEST_HEADERS:Host "@rx (?i)\A[^:]+\.example\x2ecom(?::[0-9]+)?\z" "t:none,ctl:'ruleRemoveById=1'"`},
		{Exclusion{Rule: 1, Target: `ARGS:a',"b`}, `SecAction "id:100000,phase:1,pass,nolog,t:none,ctl:'ruleRemoveTargetById=1;ARGS:/\Aa\x27\x2c\x22b\z/'"`},
	} {
		got, err := c.x.directive(exclusionID)
		if err != nil || strings.TrimSuffix(got, "\n") != c.want {
			t.Errorf("%+v:\n got %s\nwant %s (%v)", c.x, got, c.want, err)
		}
	}
}
