package same

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/gabion-io/gabion/filters"
	"github.com/gabion-io/gabion/filters/waf"
	"github.com/gabion-io/gabion/internal/rawhttp"
	wafrules "github.com/gabion-io/gabion/waf-rules"
	"github.com/gabion-io/gabion/waf-rules/regression"
)

// stock are engines compiled before anything of ours took the place of the
// engine's own parts. Up to 4 the index is a paranoia level of the core rule set,
// 0 being level 1 with exclusions and custom rules; then come the profiles that
// edit it.
var stock [7]*waf.Engine

const (
	blocking = 3 // stops at the first denial; the others only report it
	balanced = 5
	strict   = 6
)

func TestMain(m *testing.M) {
	flag.Parse()
	if testing.Short() && !ordered() {
		os.Exit(m.Run()) // only TestInOrder has anything to do
	}
	c := waf.NewStockCompiler()
	for i := range stock {
		e, err := c.Compile(config(i))
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		stock[i] = e
	}
	if !ordered() {
		if err := readStockJSON(c); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

func config(i int) waf.Config {
	s := wafrules.Defaults()
	s.Profile, s.ParanoiaLevel = wafrules.ProfileCRS, max(i, 1)
	switch i {
	case balanced:
		s.Profile, s.ParanoiaLevel = wafrules.ProfileBalanced, 1
	case strict:
		s.Profile, s.ParanoiaLevel = wafrules.ProfileStrict, 2
	}
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
	return waf.Config{Settings: s, Limits: wafrules.Limits{RequestBody: 1 << 20, ResponseBody: 1 << 20}, Detect: i != blocking}
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
	Matches         []string    // (rule, link, variable, key, value), sorted
	TX              [5][]string // TX variables at the end of each phase, sorted

	order []string // Matches in the order in which they were found
}

func run(e *waf.Engine, m message) (outcome, error) {
	return runAs(e, m, func(int) bool { return false })
}

// runAs leaves out the matches of rules that decided names: the fast engine has
// worked out what they do. That it did so right shows in TX.
func runAs(e *waf.Engine, m message, decided func(int) bool) (o outcome, err error) {
	t := e.Begin("x")
	defer t.Close()
	t.RequestHeaders(&m.head)
	o.TX[0] = variables(t)
	if err := t.RequestBody(m.body, false); err != nil {
		return outcome{}, err
	}
	o.TX[1] = variables(t)
	t.ResponseHeaders(&filters.ResponseHead{Status: 200, Headers: []filters.Header{{Name: "content-type", Value: "text/html"}}})
	o.TX[2] = variables(t)
	if err := t.ResponseBody([]byte("<html>You have an error in your SQL syntax; ORA-00933 " + m.head.Path)); err != nil {
		return outcome{}, err
	}
	o.TX[3] = variables(t)
	t.Logging()
	o.TX[4] = variables(t)
	o.Denial, o.Score, o.OutScore, o.Matched = t.Denial(), t.Score(), t.OutScore(), t.Matched()
	o.order = t.Hits()
	o.Matches = slices.DeleteFunc(slices.Clone(o.order), func(hit string) bool {
		id, _ := strconv.Atoi(hit[:strings.IndexByte(hit, ' ')])
		return decided(id)
	})
	slices.Sort(o.Matches)
	return o, nil
}

// variables are the TX variables that any rule can tell. Left out are captures,
// which no rule looks at before it captured itself, and the names of headers
// that rules 920450 and 920451 write down for their own second link.
func variables(t *waf.Transaction) []string {
	out := slices.DeleteFunc(t.TX(), func(v string) bool {
		return v[0] >= '0' && v[0] <= '9' || strings.HasPrefix(v, "header_name_92045")
	})
	slices.Sort(out)
	return out
}

func different(want, got outcome) string {
	return cmp.Diff(want, got, cmpopts.IgnoreUnexported(outcome{}))
}

// compare gives the difference between the engines on a message, "" when there
// is none. Where the order of visits is fixed, there must be none at all; else
// the stock engine must come to the fast one's outcome when it is run again.
func compare(slow, fast *waf.Engine, m message) (want outcome, diff string) {
	want, err := runAs(slow, m, fast.Decided)
	got, err2 := runAs(fast, m, fast.Decided)
	if err != nil || err2 != nil {
		if (err == nil) != (err2 == nil) {
			diff = fmt.Sprintf("stock %v, fast %v", err, err2)
		}
		return want, diff
	}
	diff = different(want, got)
	for try := 0; diff != "" && !ordered() && try < 100; try++ {
		if again, err := runAs(slow, m, fast.Decided); err == nil && different(again, got) == "" {
			return want, ""
		}
	}
	return want, diff
}

// compareAll runs messages on both engines, eight at a time.
func compareAll(t *testing.T, slow, fast *waf.Engine, messages []message) (attacks int) {
	t.Helper()
	var scored, different atomic.Int64
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := w; i < len(messages) && different.Load() < 20; i += 8 {
				want, diff := compare(slow, fast, messages[i])
				if diff != "" {
					different.Add(1)
					t.Errorf("%s: stock (-), fast (+)\n%s", messages[i].id, diff)
				}
				if want.Score > 0 {
					scored.Add(1)
				}
			}
		})
	}
	wg.Wait()
	return int(scored.Load())
}

// seed says which requests are taken where not all are; GABION_SEED sets it.
func seed(t *testing.T) int {
	n := uint64(20260101)
	if text := os.Getenv("GABION_SEED"); text != "" {
		var err error
		if n, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("GABION_SEED: %v", err)
		}
	}
	t.Logf("GABION_SEED=%d", n)
	return int(n % 1_000_000)
}

// TestFastIsTheSame: on the rule set's own tests, at every paranoia level and with
// every profile, cold and warm, the fast engine comes to what the stock engine comes to.
func TestFastIsTheSame(t *testing.T) {
	if testing.Short() && !ordered() {
		t.Skip("TestInOrder runs it where the order of visits is fixed")
	}
	all := suiteMessages(t)
	seed := seed(t)
	for i, slow := range stock {
		every := 1
		switch {
		case !ordered():
			every = 100 // the ordered run does the rest
		case testing.Short(), os.Getenv("GABION_FULL") == "" && i != 1 && i != balanced:
			every = 20
		}
		var messages []message
		for n := (seed + i) % every; n < len(all); n += every {
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
			if i >= balanced {
				compareAll(t, slow, fast, readMessages())
			}
			compareAll(t, slow, fast, messages[:len(messages)/4]) // warm
			s := c.Stats()
			t.Logf("%d requests, %d score; %+v", len(messages), attacks, s)
			if attacks < len(messages)/3 || s.Skipped*2 < s.Considered {
				t.Errorf("too little happened to compare: %d of %d score, %d of %d skipped", attacks, len(messages), s.Skipped, s.Considered)
			}
		})
	}
}
