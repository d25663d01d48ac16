package same

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gabion-io/gabion/filters"
	"github.com/gabion-io/gabion/filters/waf"
	"github.com/gabion-io/gabion/internal/rawhttp"
	wafrules "github.com/gabion-io/gabion/waf-rules"
	"github.com/gabion-io/gabion/waf-rules/regression"
)

// stock are engines compiled before anything of ours took the place of the
// engine's own parts, by paranoia level; 0 is level 1 with exclusions and
// custom rules.
var stock [5]*waf.Engine

func TestMain(m *testing.M) {
	c := waf.NewStockCompiler()
	for i := range stock {
		e, err := c.Compile(config(i))
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		stock[i] = e
	}
	os.Exit(m.Run())
}

func config(i int) waf.Config {
	s := wafrules.Defaults()
	s.Profile = wafrules.ProfileCRS
	s.ParanoiaLevel = max(i, 1)
	s.Rules = []string{`SecAction "id:99990,phase:1,pass,nolog,t:none,` +
		`setvar:tx.crs_validate_utf8_encoding=1,setvar:tx.arg_name_length=100,setvar:tx.arg_length=400,` +
		`setvar:tx.total_arg_length=64000,setvar:tx.max_num_args=255,setvar:tx.max_file_size=64100,` +
		`setvar:tx.combined_file_sizes=65535"`}
	if i == 0 {
		s.Exclusions = []wafrules.Exclusion{
			{Rule: 942100, Path: "/get"}, {Rule: 920540}, {Rule: 941100, Target: "ARGS:x"},
			{Tag: "attack-rce", Path: "/post*"}, {Tag: "attack-lfi", Target: "REQUEST_COOKIES"},
		}
		s.Rules = append(s.Rules,
			`SecRule ARGS "@rx (?i)union" "id:1001,phase:2,pass,log,capture,t:none,t:urlDecodeUni,msg:'u %{TX.0}',logdata:'%{TX.0}',setvar:tx.seen=%{TX.0}"`,
			`SecRule TX:seen "@streq union" "id:1002,phase:2,pass,log,msg:'tx'"`,
			`SecRule ARGS_NAMES|ARGS "!@rx ^[\x80-\xff a-z]*$" "id:1003,phase:2,pass,log,msg:'bytes',multiMatch,t:lowercase,t:hexDecode"`,
			`SecRule REQUEST_METHOD "@streq POST" "id:1004,phase:2,pass,nolog,skip:2"`,
			`SecRule ARGS "@contains a" "id:1005,phase:2,pass,log,msg:'a'"`,
			`SecRule ARGS "@contains b" "id:1006,phase:2,pass,log,msg:'b'"`,
			`SecRule ARGS "@contains c" "id:1007,phase:2,pass,log,msg:'c'"`,
			`SecRule REQUEST_HEADERS:User-Agent "@contains Mozilla" "id:1008,phase:1,pass,nolog,ctl:ruleRemoveById=1006"`,
			`SecRule &ARGS "@gt 3" "id:1009,phase:2,pass,log,msg:'many',chain"`+"\n"+`SecRule ARGS "@rx [0-9]" "t:none,setvar:tx.digits=+1"`,
		)
	}
	return waf.Config{Settings: s, Limits: wafrules.Limits{RequestBody: 1 << 20, ResponseBody: 1 << 20}, Detect: true}
}

type message struct {
	id   string
	head filters.RequestHead
	body []byte
}

// suiteMessages are the requests of the rule set's own tests.
func suiteMessages(t testing.TB) []message {
	t.Helper()
	cases, err := regression.Load()
	if err != nil {
		t.Fatal(err)
	}
	var out []message
	for i := range cases {
		for n, s := range cases[i].Stages {
			if m, ok := parseMessage(s.Request.Bytes()); ok {
				m.id = fmt.Sprintf("%s/%d", cases[i].ID, n)
				out = append(out, m)
			}
		}
	}
	return out
}

func parseMessage(raw []byte) (message, bool) {
	r, err := rawhttp.Parse(raw)
	if err != nil {
		return message{}, false
	}
	m := message{head: filters.RequestHead{Method: r.Method, Scheme: "http", Authority: r.Authority, Path: r.Path, Proto: r.Proto}, body: r.Body}
	for _, f := range r.Headers {
		m.head.Headers = append(m.head.Headers, filters.Header(f))
	}
	return m, true
}

// outcome is all that a transaction can be asked for.
type outcome struct {
	Denial          *waf.Denial
	Score, OutScore int
	Matched         bool
	Matches         []string // sorted: the engine visits arguments in random order
}

func run(e *waf.Engine, m message) (outcome, error) {
	t := e.Begin("x")
	defer t.Close()
	t.RequestHeaders(&m.head)
	if err := t.RequestBody(m.body, false); err != nil {
		return outcome{}, err
	}
	t.ResponseHeaders(&filters.ResponseHead{Status: 200, Headers: []filters.Header{{Name: "content-type", Value: "text/html"}}})
	if err := t.ResponseBody([]byte("<html>You have an error in your SQL syntax; ORA-00933 " + m.head.Path)); err != nil {
		return outcome{}, err
	}
	t.Logging()
	o := outcome{Denial: t.Denial(), Score: t.Score(), OutScore: t.OutScore(), Matched: t.Matched(), Matches: slices.DeleteFunc(t.Hits(), levelCheck)}
	slices.Sort(o.Matches)
	return o, nil
}

// levelCheck is a match of the rules that only compare the paranoia level and
// jump: the fast engine has them decided when it is compiled.
func levelCheck(hit string) bool {
	return strings.Contains(hit, ` TX "detection_paranoia_level" `) || strings.Contains(hit, ` TX "blocking_paranoia_level" `)
}

// compareAll runs messages on both engines, eight at a time.
func compareAll(t *testing.T, slow, fast *waf.Engine, messages []message) (attacks int) {
	t.Helper()
	var mu sync.Mutex
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := w; i < len(messages); i += 8 {
				want, err := run(slow, messages[i])
				if err != nil {
					t.Error(err)
					return
				}
				got, err := run(fast, messages[i])
				if err != nil {
					t.Error(err)
					return
				}
				if diff := cmp.Diff(want, got); diff != "" && !stockToo(slow, messages[i], got) {
					t.Errorf("%s: stock (-), fast (+)\n%s", messages[i].id, diff)
				}
				mu.Lock()
				if want.Score > 0 {
					attacks++
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return attacks
}

// stockToo says that the stock engine comes to this outcome as well: it visits
// the parts of a message in random order, and a few rules number what they find.
func stockToo(slow *waf.Engine, m message, got outcome) bool {
	for range 200 {
		if want, err := run(slow, m); err == nil && cmp.Equal(want, got) {
			return true
		}
	}
	return false
}

// TestFastIsTheSame: on the rule set's own tests, at every paranoia level, cold
// and warm, the fast engine comes to what the stock engine comes to.
func TestFastIsTheSame(t *testing.T) {
	all := suiteMessages(t)
	for i, slow := range stock {
		every := 1
		switch {
		case testing.Short():
			every = 20
		case os.Getenv("GABION_FULL") == "" && i != 1:
			every = 8
		}
		var messages []message
		for n := i % every; n < len(all); n += every {
			messages = append(messages, all[n])
		}
		t.Run(fmt.Sprintf("%d", i), func(t *testing.T) {
			c := waf.NewCompiler()
			fast, err := c.Compile(config(i))
			if err != nil {
				t.Fatal(err)
			}
			defer fast.Release()
			if fast.Slow() != nil {
				t.Fatal(fast.Slow())
			}
			attacks := compareAll(t, slow, fast, messages)
			compareAll(t, slow, fast, messages[:len(messages)/4]) // warm
			s := c.Stats()
			t.Logf("%d requests, %d score; %+v", len(messages), attacks, s)
			if attacks < len(messages)/3 || s.Skipped*2 < s.Considered {
				t.Errorf("too little happened to compare: %d of %d score, %d of %d skipped", attacks, len(messages), s.Skipped, s.Considered)
			}
		})
	}
}
