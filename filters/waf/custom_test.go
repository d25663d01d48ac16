package waf

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/corazawaf/coraza/v3"

	"github.com/gabion-io/gabion/filters"
	wafrules "github.com/gabion-io/gabion/waf-rules"
)

// TestCustomRules: whatever a policy's own rules do to other rules, to their
// targets, actions and order, or to what those look at, both engines find the same.
func TestCustomRules(t *testing.T) {
	if testing.Short() {
		t.Skip("no goroutine meets another here")
	}
	const (
		twice = "/?q=%2525&go=on" // paranoia 2
		union = "/?q=1%27%20union%20select%20password%20from%20users--"
		xss   = "/?q=%3Cscript%3Ealert(1)%3C/script%3E"
	)
	compilers := []*Compiler{NewStockCompiler(), NewCompiler()}
	for _, compiler := range compilers { // held, so that the others take over its patterns
		s := wafrules.Defaults()
		s.Profile = wafrules.ProfileCRS
		e, err := compiler.Compile(Config{Settings: s})
		if err != nil {
			t.Fatal(err)
		}
		defer e.Release()
	}
	level := wafrules.Exclusion{Tag: "OWASP_CRS", Target: "TX:detection_paranoia_level"}
	for name, c := range map[string]struct {
		path       string
		rules      []string
		exclusions []wafrules.Exclusion
	}{
		"arguments out of the path": {"/shop/1'%20union%20select%20password%20from%20users--/view",
			[]string{`SecRule REQUEST_FILENAME "@restpath /shop/{item}/view" "id:1001,phase:2,pass,nolog"`}, nil},
		"arguments out of the path, by a chain": {"/shop/1'%20union%20select%20password%20from%20users--/view",
			[]string{"SecRule REQUEST_METHOD \"@streq GET\" \"id:1001,phase:2,pass,nolog,chain\"\nSecRule REQUEST_FILENAME \"@restpath /shop/{item}/view\" \"t:none\""}, nil},
		"the level by an added action": {twice, []string{`SecRule ARGS:go "@streq on" "id:1001,phase:1,pass,nolog"`,
			`SecRuleUpdateActionById 1001 "setvar:tx.detection_paranoia_level=2"`}, nil},
		"the level after a space":     {twice, []string{`SecRule ARGS:go "@streq on" "id:1001,phase:1,pass,nolog,setvar :tx.detection_paranoia_level=2"`}, nil},
		"the level is not looked at":  {twice, []string{`SecRuleUpdateTargetByTag OWASP_CRS "!TX:detection_paranoia_level"`}, nil},
		"the level is taken away":     {twice, nil, []wafrules.Exclusion{level}},
		"unset, for what looks":       {twice, []string{`SecRuleUpdateTargetById 901100-901999 "!TX:critical_anomaly_score"`}, nil},
		"a count is taken away":       {twice, []string{`SecRule &TX:detection_paranoia_level "@eq 0" "id:1001,phase:2,pass,log"`}, []wafrules.Exclusion{{Rule: 1001, Target: "TX"}}},
		"a message that counts":       {twice, []string{`SecRule ARGS:go "@streq on" "id:1001,phase:2,pass,nolog,msg:'skip:1',skip:2"`, nothingMatches(1002), nothingMatches(1003), goOn(1004)}, nil},
		"a count by an added action":  {twice, []string{`SecRule ARGS:go "@streq on" "id:1001,phase:2,pass,nolog,skip:1"`, nothingMatches(1002), nothingMatches(1003), goOn(1004), `SecRuleUpdateActionById 1001 "skip:2"`}, nil},
		"a jump by an added action":   {union, []string{`SecRuleUpdateActionById 942013 "skipAfter:END-REQUEST-949-BLOCKING-EVALUATION"`, `SecRuleUpdateActionById 942014 "skipAfter:END-REQUEST-949-BLOCKING-EVALUATION"`}, nil},
		"a jump of the setup":         {union, []string{`SecRuleUpdateActionById 901140 "skipAfter:END-REQUEST-942-APPLICATION-ATTACK-SQLI"`}, nil},
		"a removal by added action":   {union, []string{`SecAction "id:1001,phase:1,pass,nolog"`, `SecRuleUpdateActionById 1001 "ctl:ruleRemoveById=901140"`}, nil},
		"a target by message":         {twice, []string{`SecAction "id:1001,phase:1,pass,nolog,ctl:'ruleRemoveTargetByMsg=a, b;ARGS:q'"`, `SecRule &ARGS:q "@eq 0" "id:1002,phase:2,pass,log,msg:'a, b'"`}, nil},
		"a removal beside a target":   {xss, []string{`SecAction "id:1001,phase:1,pass,nolog,ctl:ruleRemoveTargetByTag=attack-sqli;ARGS:q"`, `SecRuleUpdateActionById 1001 "ctl:ruleRemoveById=941100"`}, nil},
		"targets and a jump back":     {union, []string{`SecMarker START`, `SecAction "id:1001,phase:1,pass,nolog,ctl:ruleRemoveTargetByTag=attack-sqli;ARGS:q,skipAfter:START"`}, nil},
		"our own rules are taken out": {union, []string{`SecRule TX:critical_anomaly_score "@eq 5" "id:1001,phase:1,pass,log"`, `SecAction "id:1002,phase:1,pass,nolog,ctl:ruleRemoveById=200080-200099"`}, nil},
		"a macro that is none":        {"/?q=HEAD", []string{`SecRule ARGS "@pm %{tx.allowed_methods}" "id:1001,phase:2,pass,log"`, `SecRule ARGS "@pm GET HEAD POST OPTIONS" "id:1002,phase:2,pass,log"`}, nil},
		"what another rule matched":   {twice, []string{`SecRule MATCHED_VAR_NAME "@rx ." "id:1001,phase:2,pass,log"`}, nil},
		"what another rule says": {twice, []string{`SecRule ARGS "@contains never" "id:1001,phase:2,pass,log,msg:'hello'"`,
			`SecRule ARGS "@contains hello" "id:1002,phase:2,pass,log"`, `SecRuleUpdateTargetById 1002 "RULE:msg"`}, nil},
		"the head of a response":      {twice, []string{`SecRule RESPONSE_HEADERS:x-part "@streq b" "id:1001,phase:3,pass,log"`, `SecRule &RESPONSE_HEADERS "@eq 3" "id:1002,phase:3,pass,log"`}, nil},
		"the head, when all is over":  {twice, []string{`SecRule RESPONSE_STATUS "@eq 418" "id:1001,phase:5,pass,log"`, `SecRule RESPONSE_HEADERS_NAMES "@rx ." "id:1002,phase:5,pass,log"`}, nil},
		"the head, before the body":   {twice + "1", []string{`SecRule RESPONSE_STATUS "@eq 418" "id:1001,phase:4,pass,log"`, `SecRule RESPONSE_HEADERS "@streq a" "id:1002,phase:4,pass,log"`}, nil},
		"an answer that leaks":        {"/?q=12", nil, nil},
		"a jump over the response":    {"/?q=12", []string{`SecAction "id:1001,phase:2,pass,nolog,skipAfter:NOWHERE"`, `SecRule RESPONSE_STATUS "@eq 418" "id:1002,phase:3,pass,log"`}, nil},
		"a jump that ends there":      {"/?q=12", []string{`SecMarker BACK`, `SecAction "id:1001,phase:2,pass,nolog,skipAfter:BACK"`, `SecRule RESPONSE_STATUS "@eq 418" "id:1002,phase:4,pass,log"`}, nil},
		"names and values, many ways": {"/?Q=1&q=2&q=3&go=on", []string{`SecRule ARGS:q "@streq 1" "id:1001,phase:2,pass,log"`, `SecRule &ARGS:q "@eq 2" "id:1002,phase:2,pass,log"`, `SecRule ARGS_GET_NAMES:q "@streq q" "id:1003,phase:2,pass,log"`, `SecRule REQUEST_HEADERS_NAMES "@streq accept" "id:1004,phase:1,pass,log"`, `SecRule &REQUEST_HEADERS "@ge 3" "id:1005,phase:1,pass,log"`, `SecRule REQUEST_HEADERS:/^ACC/ "@rx ." "id:1006,phase:1,pass,log"`, `SecRule REQUEST_HEADERS:ACCEPT "@rx ." "id:1007,phase:1,pass,log"`}, nil},
		"a count into the rule set":   {twice, []string{`SecAction "id:1002,phase:1,pass,log,skip:4"`}, []wafrules.Exclusion{{Tag: "OWASP_CRS", Target: "TX:foo"}}},
		"a count, and nothing fast":   {twice, []string{`SecRule RULE:id "@eq 0" "id:1001,phase:2,pass,log"`, `SecAction "id:1002,phase:1,pass,log,skip:4"`}, []wafrules.Exclusion{{Tag: "OWASP_CRS", Target: "TX:foo"}}},
		"jumps that never end":        {union, []string{`SecAction "id:1001,phase:1,pass,nolog,ctl:ruleRemoveById=0"`}, nil},
		"what the setup left behind":  {twice, []string{`SecRule TX:/^inbound_anomaly/ "@ge 0" "id:1001,phase:2,pass,log"`, `SecRule &TX:critical_anomaly_score "@eq 1" "id:1002,phase:1,pass,log"`, `SecAction "id:1003,phase:1,pass,nolog,setvar:tx.critical_anomaly_score=+1"`, `SecRule TX:critical_anomaly_score "@eq 6" "id:1004,phase:2,pass,log"`}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			s := wafrules.Defaults()
			s.Profile, s.Rules, s.Exclusions = wafrules.ProfileCRS, c.rules, c.exclusions
			var engines []*Engine
			for _, compiler := range compilers {
				e, err := compiler.Compile(Config{Settings: s, Detect: true})
				if err != nil {
					t.Fatal(err)
				}
				defer e.Release()
				engines = append(engines, e)
			}
			decided := engines[1].Decided
			if diff := cmp.Diff(judged(t, engines[0], c.path, decided), judged(t, engines[1], c.path, decided)); diff != "" {
				t.Errorf("stock (-), fast (+)\n%s", diff)
			}
		})
	}
}

// What is put off for good, because nothing follows for which it counts, is nothing that
// anybody misses.
func TestPutOffForGood(t *testing.T) {
	head := &filters.RequestHead{Method: "GET", Scheme: "http", Authority: "shop.example", Path: "/", Proto: "HTTP/1.1"}
	var hits [2][]string
	var decided func(int) bool
	for i, compiler := range []*Compiler{NewStockCompiler(), NewCompiler()} {
		s := wafrules.Defaults()
		s.Profile = wafrules.ProfileCRS
		e, err := compiler.Compile(Config{Settings: s, Detect: true, Limits: wafrules.Limits{RequestBody: 1 << 20, ResponseBody: 1 << 20}})
		if err != nil {
			t.Fatal(err)
		}
		defer e.Release()
		tx := e.Begin("x")
		defer tx.Close()
		if err := errors.Join(tx.RequestHeaders(head), tx.RequestBody(nil, false)); err != nil {
			t.Fatal(err)
		}
		tx.ResponseHeaders(&filters.ResponseHead{Status: 200})
		tx.Logging()
		hits[i], decided = tx.Hits(), e.Decided
	}
	for _, hit := range hits[0] {
		if id, _ := strconv.Atoi(hit[:strings.IndexByte(hit, ' ')]); !decided(id) && !slices.Contains(hits[1], hit) {
			t.Errorf("%s is missing", hit)
		}
	}
}

func nothingMatches(id int) string {
	return `SecRule ARGS "@contains never" "id:` + strconv.Itoa(id) + `,phase:2,pass,log"`
}

func goOn(id int) string {
	return `SecRule ARGS:go "@streq on" "id:` + strconv.Itoa(id) + `,phase:2,pass,log"`
}

// judged is what an engine finds in a request but for some rules, and the score.
func judged(t *testing.T, e *Engine, path string, but func(rule int) bool) []string {
	t.Helper()
	tx := e.Begin("x")
	defer tx.Close()
	tx.RequestHeaders(&filters.RequestHead{Method: "GET", Scheme: "http", Authority: "shop.example", Path: path, Proto: "HTTP/1.1",
		Headers: []filters.Header{{Name: "user-agent", Value: "test"}, {Name: "accept", Value: "*/*"}}})
	if err := tx.RequestBody(nil, false); err != nil {
		t.Fatal(err)
	}
	tx.ResponseHeaders(&filters.ResponseHead{Status: 418, Headers: []filters.Header{{Name: "Content-Type", Value: "text/html"}, {Name: "x-part", Value: "a"}, {Name: "X-Part", Value: "b"}}})
	if err := tx.ResponseBody([]byte("<p>java.lang.NullPointerException</p>")[:len(path)%2*37]); err != nil {
		t.Fatal(err)
	}
	tx.Logging()
	hits := slices.DeleteFunc(tx.Hits(), func(hit string) bool {
		id, _ := strconv.Atoi(hit[:strings.IndexByte(hit, ' ')])
		return but(id)
	})
	slices.Sort(hits)
	return append(hits, "score "+strconv.Itoa(tx.Score()))
}

// TestCtl: the engine's numbers of options are what they are taken for.
func TestCtl(t *testing.T) {
	var text strings.Builder
	options := []string{"ruleRemoveTargetById=1;ARGS", "ruleRemoveTargetByTag=a;ARGS", "ruleRemoveTargetByMsg=a;ARGS", "ruleRemoveById=1", "ruleRemoveByMsg=a", "ruleRemoveByTag=a"}
	for i, o := range options {
		text.WriteString(`SecAction "id:` + strconv.Itoa(i+1) + `,phase:1,pass,ctl:` + o + "\"\n")
	}
	w, err := newWAF(coraza.NewWAFConfig().WithDirectives(text.String()))
	if err != nil {
		t.Fatal(err)
	}
	rules, err := compiledRules(w.NewTransactionWithID("x"), nil)
	if err != nil {
		t.Fatal(err)
	}
	var got []int
	for i := range rules {
		for _, c := range rules[i].ctls {
			got = append(got, c.option)
		}
	}
	if diff := cmp.Diff([]int{ctlTargetByID, ctlTargetByTag, ctlTargetByMsg, ctlRuleByID, ctlRuleByMsg, ctlRuleByTag}, got); diff != "" {
		t.Error(diff)
	}
}
