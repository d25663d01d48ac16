package waf

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gabion-io/gabion/filters"
	wafrules "github.com/gabion-io/gabion/waf-rules"
)

// TestRandomRules: whatever rules of its own a policy has, in whatever phases, with
// jumps, counts, removals and variables, both engines find the same after each phase.
// GABION_FULL=1 tries 400 policies of each profile.
func TestRandomRules(t *testing.T) {
	if testing.Short() {
		t.Skip("no goroutine meets another here")
	}
	policies := 8
	if os.Getenv("GABION_FULL") != "" {
		policies = 400
	}
	for _, profile := range []string{wafrules.ProfileCRS, wafrules.ProfileBalanced} {
		t.Run(profile, func(t *testing.T) {
			compilers := []*Compiler{NewStockCompiler(), NewCompiler()}
			for _, compiler := range compilers { // held, so that the others take over its patterns
				s := wafrules.Defaults()
				s.Profile = profile
				e, err := compiler.Compile(Config{Settings: s})
				if err != nil {
					t.Fatal(err)
				}
				defer e.Release()
			}
			for seed, compared := uint64(0), 0; compared < policies; seed++ {
				if compareRandom(t, compilers, profile, seed) {
					compared++
				}
			}
		})
	}
}

// compareRandom compares on the policy of a seed; false when it is refused.
func compareRandom(t *testing.T, compilers []*Compiler, profile string, seed uint64) bool {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 7))
	c := Config{Settings: wafrules.Defaults(), Detect: r.IntN(2) == 0}
	c.Settings.Profile, c.Settings.ParanoiaLevel = profile, pick(r, 1, 1, 1, 2, 4)
	c.Settings.Rules, c.Settings.Exclusions = randomRules(r), randomExclusions(r)
	c.Limits = pick(r, wafrules.Limits{}, wafrules.Limits{RequestBody: 1 << 20}, wafrules.Limits{RequestBody: 1 << 20, ResponseBody: 1 << 20})
	var engines []*Engine
	for _, compiler := range compilers {
		e, err := compiler.Compile(c)
		if err != nil {
			return false
		}
		defer e.Release()
		engines = append(engines, e)
	}
	for range 4 {
		x := randomExchange(r)
		stock, fast := x.through(t, engines[0], engines[1].Decided), x.through(t, engines[1], engines[1].Decided)
		if diff := cmp.Diff(stock, fast); diff != "" {
			t.Errorf("seed %d: %+v\n%+v\nstock (-), fast (+)\n%s", seed, c, x, diff)
		}
	}
	return true
}

func pick[T any](r *rand.Rand, list ...T) T { return list[r.IntN(len(list))] }

// The TX variables that random rules look at and write.
func randomVariable(r *rand.Rand) string {
	return pick(r, "foo", "bar", "critical_anomaly_score", "inbound_anomaly_score_pl1", "blocking_inbound_anomaly_score", "detection_paranoia_level",
		"outbound_anomaly_score_pl1", "blocking_outbound_anomaly_score", "detection_inbound_anomaly_score")
}

func randomRules(r *rand.Rand) (rules []string) {
	for id := 1001; id <= 1001+r.IntN(5); id++ {
		if r.IntN(6) == 0 {
			rules = append(rules, "SecMarker "+pick(r, "A", "B"))
		}
		phase := 1 + r.IntN(5)
		actions := fmt.Sprintf("id:%d,phase:%d,pass,%s", id, phase, pick(r, "log", "nolog"))
		for range r.IntN(3) {
			actions = addRandomAction(r, actions)
		}
		if r.IntN(3) == 0 {
			actions += ",tag:'mine'"
		}
		target, operator := randomTarget(r, phase)
		switch r.IntN(8) {
		case 0, 1:
			rules = append(rules, fmt.Sprintf("SecAction %q", actions))
		case 2:
			next, asks := randomTarget(r, phase)
			rules = append(rules, fmt.Sprintf("SecRule %s \"%s\" \"%s,chain\"\nSecRule %s \"%s\" \"t:none\"", target, operator, actions, next, asks))
		default:
			rules = append(rules, fmt.Sprintf("SecRule %s \"%s\" \"%s\"", target, operator, actions))
		}
	}
	if r.IntN(5) == 0 {
		rules = append(rules, pick(r, `SecRuleUpdateTargetByTag OWASP_CRS "!TX:detection_paranoia_level"`, `SecRuleUpdateActionById 949110 "pass,log"`,
			`SecRuleRemoveById 949110`, `SecRuleRemoveById 900000-949999`, `SecRuleUpdateTargetById 942100 "!ARGS:q"`, `SecRuleRemoveByTag OWASP_CRS`,
			`SecRuleUpdateActionById 901140 "skipAfter:END-RESPONSE-959-BLOCKING-EVALUATION"`, `SecRuleRemoveById 950000-980999`))
	}
	return rules
}

func randomExclusions(r *rand.Rand) []wafrules.Exclusion {
	if r.IntN(5) > 0 {
		return nil
	}
	return []wafrules.Exclusion{pick(r, wafrules.Exclusion{Tag: "OWASP_CRS", Target: "TX:foo"}, wafrules.Exclusion{Rule: 1001, Target: "TX"}, wafrules.Exclusion{Tag: "attack-sqli", Target: "ARGS:q"})}
}

// addRandomAction adds an action that the rule has not; what decides takes the place
// of pass.
func addRandomAction(r *rand.Rand, to string) string {
	a := pick(r,
		"skip:"+strconv.Itoa(1+r.IntN(4)),
		"skipAfter:"+pick(r, "A", "B", "NOWHERE", "END-REQUEST-949-BLOCKING-EVALUATION", "END-REQUEST-942-APPLICATION-ATTACK-SQLI", "END-RESPONSE-950-DATA-LEAKAGES", "END-RESPONSE-959-BLOCKING-EVALUATION"),
		"allow", "allow:phase", "allow:request", "deny,status:403", "deny,status:418", "capture",
		"ctl:ruleRemoveById="+pick(r, "942100", "949110", "1001", "1002-1003", "200080-200099", "200083", "200084", "901000-999999", "900000-901999", "0-5", "1-99999", "980000-980999", "950000-959999", "949000-949999"),
		"ctl:ruleRemoveByTag="+pick(r, "attack-sqli", "OWASP_CRS", "paranoia-level/1", "mine"),
		"ctl:ruleRemoveTargetByTag="+pick(r, "attack-sqli;ARGS:q", "OWASP_CRS;ARGS", "OWASP_CRS;TX:foo", "attack-xss;REQUEST_HEADERS", "mine;TX:foo", "mine;ARGS"),
		"ctl:ruleRemoveTargetById="+pick(r, "942100;ARGS:q", "1001;TX:foo", "1002;ARGS", "949110;TX:blocking_inbound_anomaly_score", "1003;TX"),
		"setvar:tx."+randomVariable(r)+"="+pick(r, "1", "+1", "0", "+5", "%{tx.foo}", "+%{tx.bar}", "x"))
	name, _, _ := strings.Cut(a, ":")
	switch {
	case name == "allow" || strings.HasPrefix(name, "deny"):
		return strings.Replace(to, "pass", a, 1)
	case name != "setvar" && name != "ctl" && strings.Contains(to, name):
		return to
	}
	return to + "," + a
}

// randomTarget is what a rule of the phase looks at, and asks.
func randomTarget(r *rand.Rand, phase int) (target, operator string) {
	tx := "TX:" + randomVariable(r)
	switch n := r.IntN(12); {
	case n < 2:
		return tx, pick(r, "@ge 0", "@eq 1", "@ge 5", "!@eq 0", "@streq x", "@rx ^\\d$", "!@rx x")
	case n == 2:
		return "&" + tx, pick(r, "@eq 0", "@eq 1", "@gt 0")
	case n == 3:
		return "TX:/" + pick(r, "^inbound", "score", "fo", "^blocking_") + "/", pick(r, "@ge 0", "@ge 5", "@eq 1", "!@eq 0")
	case n == 4:
		return tx + "|TX:" + randomVariable(r) + pick(r, "", "|TX:/^detec/", "|&TX:foo"), pick(r, "@ge 0", "@eq 1", "@ge 5", "@eq %{tx.foo}")
	case n == 5 && phase >= 3:
		return pick(r, "RESPONSE_HEADERS:x-part", "RESPONSE_HEADERS_NAMES", "RESPONSE_STATUS", "&RESPONSE_HEADERS", "RESPONSE_HEADERS"), pick(r, "@rx .", "@streq a", "@eq 418", "@ge 2")
	case n < 7:
		return pick(r, "REQUEST_HEADERS_NAMES", "REQUEST_HEADERS", "&REQUEST_HEADERS", "REQUEST_HEADERS:/^ACC/", "REQUEST_HEADERS:User-Agent", "REQUEST_COOKIES_NAMES", "REQUEST_COOKIES",
			"&REQUEST_COOKIES:a", "REQUEST_COOKIES:A", "REQUEST_COOKIES:/^s/", "REQUEST_HEADERS_NAMES:User-Agent", "&REQUEST_HEADERS_NAMES"), pick(r, "@rx .", "@streq a", "@eq 2", "@ge 2", "@contains test", "!@rx ^[a-z]", "!@streq a")
	}
	return pick(r, "ARGS", "ARGS:q", "&ARGS:q", "ARGS_NAMES", "ARGS_GET_NAMES:q", "&ARGS", "ARGS:Q", "ARGS_POST", "ARGS|!ARGS:q", "ARGS_NAMES:/q/", "ARGS_GET_NAMES", "&ARGS_NAMES", "REQUEST_URI", "FILES_TMP_CONTENT"),
		pick(r, "@rx .", "@streq 1", "@eq 2", "@contains union", "!@streq q", "@detectSQLi", "@rx (?i)script", "@ge 1")
}

// fullExchange is a request and a response.
type fullExchange struct {
	head     filters.RequestHead
	body     string
	response string // body; its head is always the same
	decoded  bool
	cutOff   bool // the body of the response never comes
	logged   bool
}

func randomExchange(r *rand.Rand) fullExchange {
	path := pick(r, "/", "/?q=1", "/?q=%2525&go=on", "/?q=1%27%20union%20select%20password%20from%20users--", "/?q=%3Cscript%3Ealert(1)%3C/script%3E", "/?Q=1&q=2&q=3&go=on", "/?q=union", "/a?q=../../etc/passwd")
	x := fullExchange{head: filters.RequestHead{Method: "GET", Scheme: "http", Authority: "shop.example", Path: path, Proto: "HTTP/1.1"}}
	add := func(name, value string) {
		x.head.Headers = append(x.head.Headers, filters.Header{Name: name, Value: value})
	}
	add("user-agent", "test")
	if r.IntN(3) > 0 {
		add("accept", "*/*")
	}
	if r.IntN(2) == 0 {
		add("Cookie", pick(r, "a=1; A=2; session=x", "s=1' or 1=1--", "a=1"))
	}
	type content struct{ media, text string }
	if c := pick(r, content{}, content{}, content{"application/x-www-form-urlencoded", "q=9&x=1'%20or%201=1--"}, content{"application/json", `{"q":"1","n":[1,2,"<script>alert(1)</script>"]}`},
		content{"multipart/form-data; boundary=b", "--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"x.php\"\r\n\r\n<?php system('x'); ?>\r\n--b--\r\n"}, content{"text/plain", "q=1"}); c.media != "" {
		x.head.Method, x.body = "POST", c.text
		add("Content-Type", c.media)
		add("content-length", strconv.Itoa(len(c.text)))
	}
	x.response, x.decoded, x.cutOff, x.logged = pick(r, "", "", "<p>java.lang.NullPointerException</p>", "hello"), r.IntN(8) == 0, r.IntN(6) == 0, r.IntN(4) > 0
	return x
}

// through is what an engine says after each phase, and finds in the end but for some
// rules.
func (x fullExchange) through(t *testing.T, e *Engine, but func(rule int) bool) (out []string) {
	t.Helper()
	tx := e.Begin("x")
	defer tx.Close()
	note := func(phase int, err error) {
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, fmt.Sprintf("phase %d: %+v, score %d, outbound %d, stopped %t, matched %t, changed %t", phase, tx.Denial(), tx.Score(), tx.OutScore(), tx.stopped(), tx.Matched(), tx.Changed()))
	}
	note(1, tx.RequestHeaders(&x.head))
	note(2, tx.RequestBody([]byte(x.body), false))
	tx.ResponseHeaders(&filters.ResponseHead{Status: 418, Headers: []filters.Header{{Name: "Content-Type", Value: "text/html"}, {Name: "x-part", Value: "a"}, {Name: "X-Part", Value: "b"}, {Name: "content-encoding", Value: "gzip"}}})
	note(3, nil)
	if !x.cutOff {
		if x.decoded {
			tx.DecodedResponse()
		}
		note(4, tx.ResponseBody([]byte(x.response)))
	}
	if x.logged {
		tx.Logging()
		note(5, nil)
	}
	hits := slices.DeleteFunc(tx.Hits(), func(hit string) bool {
		id, _ := strconv.Atoi(hit[:strings.IndexByte(hit, ' ')])
		return but(id)
	})
	slices.Sort(hits)
	return append(out, hits...)
}
