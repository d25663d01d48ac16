package waf

import (
	"fmt"
	"math/rand/v2"
	"net/url"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gabion-io/gabion/filters"
	wafrules "github.com/gabion-io/gabion/waf-rules"
)

// largeBody is a request with a long body and where in it an attack can be put:
// in the place of "LAST", its last value.
type largeBody struct {
	name, media, body string
	again             func() string // makes another such body; nil: it is always the same
}

const lastValue = "LASTVALUE"

func largeBodies() []largeBody {
	rnd := rand.New(rand.NewPCG(1, 2))
	words := strings.Fields("order customer basket invoice blue summer shoes delivery address comment report weekly garden table chair lamp window kitchen paper light")
	value := func() string {
		switch rnd.IntN(4) {
		case 0:
			return fmt.Sprint(rnd.IntN(1_000_000))
		case 1:
			return fmt.Sprintf("%08x-%04x-4%03x-a%03x-%012x", rnd.Uint32(), rnd.IntN(1<<16), rnd.IntN(1<<12), rnd.IntN(1<<12), rnd.Uint64()>>16)
		case 2:
			return fmt.Sprintf("%s.%s%d@example.com", words[rnd.IntN(20)], words[rnd.IntN(20)], rnd.IntN(10_000))
		}
		return fmt.Sprintf("%s %s %s %d", words[rnd.IntN(20)], words[rnd.IntN(20)], words[rnd.IntN(20)], rnd.IntN(100_000))
	}
	form := func(size int) string {
		var b strings.Builder
		for i := 0; b.Len() < size; i++ {
			fmt.Fprintf(&b, "field_%d=%s&", i, url.QueryEscape(value()))
		}
		return b.String() + "last=" + lastValue
	}
	json := func(size int) string {
		var b strings.Builder
		b.WriteString(`{"events":[`)
		for b.Len() < size {
			fmt.Fprintf(&b, `{"type":%q,"at":%d.5,"url":"https://shop.example.com/%s/%d","note":%q},`, words[rnd.IntN(20)], 1_790_000_000+rnd.IntN(1_000_000), words[rnd.IntN(20)], rnd.IntN(1000), value())
		}
		return b.String() + `{"type":"` + lastValue + `"}]}`
	}
	text := func(size int) string {
		var b strings.Builder
		for b.Len() < size {
			b.WriteString(words[rnd.IntN(20)])
			b.WriteString([]string{" ", " ", " ", ", ", ". ", "\n"}[rnd.IntN(6)])
		}
		return b.String() + lastValue
	}
	var numbers strings.Builder
	numbers.WriteString(`{"n":[`)
	for numbers.Len() < 858<<10 {
		fmt.Fprintf(&numbers, "%d,", rnd.IntN(100_000))
	}
	numbers.WriteString(`"` + lastValue + `"]}`)
	var tiny strings.Builder
	for i := 0; tiny.Len() < 1<<20-64; i++ {
		fmt.Fprintf(&tiny, "%x=%d&", i, rnd.IntN(10))
	}
	tiny.WriteString("last=" + lastValue)
	// No two values are made of the same characters.
	odd := func(size int) string {
		var b strings.Builder
		b.WriteString(`{"n":[`)
		for b.Len() < size {
			b.WriteString(`"order 17 `)
			for _, c := range `!#$%&'()*+,-./:;<=>?@[]^_{|}~` {
				if rnd.IntN(2) == 0 {
					b.WriteRune(c)
				}
			}
			b.WriteString(`",`)
		}
		return b.String() + `"` + lastValue + `"]}`
	}
	// Texts that lead automata from one new state to the next.
	noise := func(before, from, after string) func() string {
		return func() string {
			b := make([]byte, 88<<10)
			for i := range b {
				b[i] = from[rnd.IntN(len(from))]
			}
			return before + string(b) + after
		}
	}
	small := "abcdefghijklmnopqrstuvwxyz"
	pieces := func() string {
		var b strings.Builder
		b.WriteString(`{"n":[`)
		for range 20 {
			value := ""
			for len(value) < 1500 {
				value += attackPieces[rnd.IntN(len(attackPieces))]
			}
			fmt.Fprintf(&b, "%q,", value)
		}
		return b.String() + `"` + lastValue + `"]}`
	}
	const formType, jsonType = "application/x-www-form-urlencoded", "application/json"
	return []largeBody{
		{name: "form 88 KB", media: formType, body: form(88 << 10)},
		{name: "text 88 KB", media: "text/plain", body: text(88 << 10)},
		{name: "one JSON value 88 KB", media: jsonType, body: `{"text":"` + strings.ReplaceAll(text(88<<10), "\n", " ") + `"}`},
		{name: "one form value 88 KB", media: formType, body: "text=" + url.QueryEscape(text(88<<10))},
		{name: "JSON beacon 88 KB", media: jsonType, body: json(88 << 10)},
		{name: "JSON of odd characters 88 KB", media: jsonType, body: odd(88 << 10)},
		{name: "JSON 858 KB", media: jsonType, body: json(858 << 10)},
		{name: "JSON numbers 858 KB", media: jsonType, body: numbers.String()},
		{name: "one JSON value 858 KB", media: jsonType, body: `{"text":"` + strings.ReplaceAll(text(858<<10), "\n", " ") + `"}`},
		{name: "form 1 MB", media: formType, body: form(1 << 20)},
		{name: "form of tiny fields 1 MB", media: formType, body: tiny.String()},
		{name: "random small letters 88 KB", media: "text/plain", again: noise("", small, "")},
		{name: "random letters 88 KB", media: "text/plain", again: noise("", small+strings.ToUpper(small), "")},
		{name: "random letters in JSON 88 KB", media: jsonType, again: noise(`{"text":"`, small+strings.ToUpper(small), `"}`)},
		{name: "random letters and spaces 88 KB", media: "text/plain", again: noise("", small+"    ", "")},
		{name: "random ASCII 88 KB", media: "text/plain", again: noise("", small+strings.ToUpper(small)+"0123456789 !#$%&'()*+,-./:;<=>?@[]^_`{|}~\"\\", "")},
		{name: "20 values of attacks", media: jsonType, again: pieces},
	}
}

// attackPieces are what rules look for, and not the whole of it.
var attackPieces = strings.Fields("select union from where or 1=1 ' \" -- /* */ <script > alert( ) onerror= javascript: ../ /etc/passwd ; cat | id $( ` { } ${ jndi: ldap:// %00 " +
	"sleep( benchmark( exec xp_cmdshell waitfor delay <?php system( eval( base64_decode( () { :; } && || curl wget http://127.0.0.1/ file:// <svg onload <iframe document.cookie " +
	"window. .constructor java.lang.Runtime #{ <% %> {{ }} nc -e /bin/sh powershell cmd.exe C:\\ \\x41 \\u0041 &#x41; &lt; , = + a b c 1 2 3")

func (l largeBody) head() *filters.RequestHead {
	return &filters.RequestHead{Method: "POST", Scheme: "http", Authority: "shop.example.com", Path: "/collect", Proto: "HTTP/1.1",
		Headers: []filters.Header{{Name: "user-agent", Value: "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/120.0.0.0 Safari/537.36"},
			{Name: "accept", Value: "*/*"}, {Name: "content-type", Value: l.media}, {Name: "content-length", Value: fmt.Sprint(len(l.body))}}}
}

func largeEngine(t testing.TB, c *Compiler) *Engine {
	t.Helper()
	s := wafrules.Defaults()
	s.MaxArguments = 1_000_000
	e, err := c.Compile(Config{Settings: s, Limits: wafrules.Limits{RequestBody: 2 << 20}})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func BenchmarkLargeBodies(b *testing.B) {
	e := largeEngine(b, NewCompiler())
	for _, l := range largeBodies() {
		b.Run(l.name, func(b *testing.B) {
			if l.again != nil {
				l.body = l.again()
			}
			l.judge(b, e) // builds automata; of values none is remembered, being long or many
			l.measure(b, e)
		})
	}
}

// BenchmarkStockLargeBody says how fast the machine is, where the other figures are
// to be compared: the rule engine as it comes, on the beacon. Alone in its process
// (-bench StockLargeBody), or it finds operators that are not its own.
func BenchmarkStockLargeBody(b *testing.B) {
	e := largeEngine(b, NewStockCompiler())
	for _, l := range largeBodies() {
		if strings.HasPrefix(l.name, "JSON beacon") {
			b.Run(l.name, func(b *testing.B) { l.measure(b, e) })
		}
	}
}

func (l largeBody) measure(b *testing.B, e *Engine) {
	before := cpuTime()
	for b.Loop() {
		if l.again != nil {
			l.body = l.again()
		}
		l.judge(b, e)
	}
	b.ReportMetric(float64((cpuTime()-before).Microseconds())/1000/float64(b.N), "cpu-ms/op")
}

func (l largeBody) judge(b *testing.B, e *Engine) {
	tx := e.Begin("x")
	tx.RequestHeaders(l.head())
	if err := tx.RequestBody([]byte(l.body), false); err != nil {
		b.Fatal(err)
	}
	tx.Close()
}

// cpuTime is what the process has used: time on the wall says little on a shared
// machine.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkForms gives what Cost estimates: forms of so many fields, every value
// new.
func BenchmarkForms(b *testing.B) {
	e := largeEngine(b, NewCompiler())
	for _, fields := range []int{20, 100, 200, 1000, 9000, 100_000} {
		b.Run(fmt.Sprint(fields), func(b *testing.B) {
			made := 0
			judge := func() (used, estimated time.Duration) {
				var body strings.Builder
				for i := range fields {
					made++
					fmt.Fprintf(&body, "field_%d=order+%x+%d&", i, made*7919, made)
				}
				l := largeBody{media: "application/x-www-form-urlencoded", body: body.String()}
				tx := e.Begin("x")
				defer tx.Close()
				tx.RequestHeaders(l.head())
				before := cpuTime()
				if err := tx.RequestBody([]byte(l.body), false); err != nil {
					b.Fatal(err)
				}
				return cpuTime() - before, Cost(int64(body.Len()), 2*int64(fields))
			}
			judge()
			var used, estimated time.Duration
			for b.Loop() {
				u, e := judge()
				used, estimated = used+u, estimated+e
			}
			b.ReportMetric(float64(used.Microseconds())/1000/float64(b.N), "cpu-ms/op")
			b.ReportMetric(float64(estimated.Microseconds())/1000/float64(b.N), "estimated-ms/op")
		})
	}
}
