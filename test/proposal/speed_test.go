package proposal_test

import (
	"context"
	"crypto/hpke"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gabion-io/gabion/controlplane/proposal"
	"github.com/gabion-io/gabion/controlplane/source"
	"github.com/gabion-io/gabion/filters"
	"github.com/gabion-io/gabion/filters/chain"
	"github.com/gabion-io/gabion/internal/recording"
	wafrules "github.com/gabion-io/gabion/waf-rules"
	"github.com/gabion-io/gabion/waf-rules/regression"
)

// tableOf serves one policy under one key.
func tableOf(p filters.Policy) map[string]filters.Table {
	id := filters.PolicyID(p)
	return map[string]filters.Table{"web": {Bindings: map[string]filters.Binding{"shop": {Policy: id}}, Policies: map[string]filters.Policy{id: p}}}
}

// changed is the policy with other settings.
func changed(t testing.TB, p filters.Policy, change func(*wafrules.Settings)) filters.Policy {
	t.Helper()
	var s wafrules.Settings
	if err := json.Unmarshal(p.WAF, &s); err != nil {
		t.Fatal(err)
	}
	change(&s)
	b, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	p.WAF = b
	return p
}

// candidates are what is rehearsed most, with whether the engine can be spared
// the second side.
func candidates(t testing.TB, p filters.Policy) map[string]filters.Policy {
	block := p
	block.Mode = filters.ModeBlock
	exclude := func(xs ...wafrules.Exclusion) filters.Policy {
		return changed(t, p, func(s *wafrules.Settings) { s.Exclusions = append(s.Exclusions, xs...) })
	}
	return map[string]filters.Policy{
		"block":       block,
		"a threshold": changed(t, p, func(s *wafrules.Settings) { s.Inbound = 10 }),
		"an exclusion of one parameter": exclude(wafrules.Exclusion{Rule: 942100, Target: "ARGS:q"},
			wafrules.Exclusion{Rule: 932235, Target: "ARGS"}, wafrules.Exclusion{Rule: 941100, Path: "/get*"}),
		"an exclusion of plumbing":    exclude(wafrules.Exclusion{Rule: 921170}),
		"an exclusion of a base rule": exclude(wafrules.Exclusion{Rule: 200002}),
		"an exclusion by tag":         exclude(wafrules.Exclusion{Tag: "attack-sqli"}),
		"paranoia 2":                  changed(t, p, func(s *wafrules.Settings) { s.ParanoiaLevel = 2 }),
	}
}

// Sparing the engine must not change a single figure of a rehearsal, on what the
// rule set's own tests send.
func TestRehearsalIsTheSameWithoutShortcuts(t *testing.T) {
	cases, err := regression.Load()
	if err != nil {
		t.Fatal(err)
	}
	step := 25
	if os.Getenv("GABION_FULL") != "" {
		step = 1
	}
	b := newBench(t, source.Store, detectPolicy)
	for i := 0; i < len(cases); i += step {
		r := &cases[i].Stages[0].Request
		if r.Encoded != nil {
			continue
		}
		b.tape = append(b.tape, taped(recast(r), i))
	}
	before := policyWith(t, filters.ModeDetect)
	for name, after := range candidates(t, before) {
		trial := proposal.Trial{Engine: sharing(), Before: tableOf(before), After: tableOf(after), Recordings: b}
		short, err := proposal.Rehearse(context.Background(), trial)
		if err != nil {
			t.Fatal(err)
		}
		trial.Thorough = true
		long, err := proposal.Rehearse(context.Background(), trial)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(long, short); d != "" {
			t.Errorf("%s (-thorough +short):\n%s", name, d)
		}
		if name == "an exclusion of one parameter" && short.NewlyPassed == 0 {
			t.Errorf("%s changes nothing: %+v", name, short)
		}
	}
}

// sharing is the engine as the composition root wires it: policies share memory.
func sharing() proposal.Engine {
	r := chain.NewJudging(chain.Options{})
	return func(p filters.Policy) (proposal.Judge, error) { return r.Judge(p) }
}

func taped(r request, i int) *recording.Exchange {
	at := time.Date(2026, 3, 1, 12, 0, i, 0, time.UTC)
	return &recording.Exchange{ID: fmt.Sprintf("%026d", i), Time: at, Listener: "web", Key: "shop", Route: "default/shop",
		Request:     filters.RequestHead{Method: r.method, Scheme: "http", Authority: r.host, Path: r.path, Proto: "HTTP/1.1", Headers: r.headers, Time: at},
		RequestBody: []byte(r.body), RequestBodyBytes: int64(len(r.body)), Response: filters.ResponseHead{Status: 200}}
}

// mixed is n requests as an application sees them: values from a pool, a fresh
// request id in each, three GETs to one form and one document of 1 KB, one in
// fifty an attack.
func mixed(n int) []*recording.Exchange {
	r := rand.New(rand.NewPCG(1, 2))
	words := make([]string, 4000)
	for i := range words {
		words[i] = fmt.Sprintf("%s%d", []string{"oak", "blue-chair", "lamp", "order", "Ann"}[i%5], r.IntN(100_000))
	}
	word := func() string { return words[int(float64(len(words))*r.Float64()*r.Float64())] }
	var out []*recording.Exchange
	for i := range n {
		x := get(fmt.Sprintf("/%s/%s?q=%s&page=%d", word(), word(), word(), r.IntN(50)))
		switch {
		case i%50 == 0:
			x = get(injection)
		case i%5 == 3:
			x = post("/orders", "application/x-www-form-urlencoded", "name="+word()+"&note="+word()+"+"+word()+"&n="+fmt.Sprint(r.IntN(99)))
		case i%5 == 4:
			var items []string
			for range 20 {
				items = append(items, fmt.Sprintf(`{"id":"%s","name":"%s","qty":%d}`, word(), word(), r.IntN(9)))
			}
			x = post("/api/orders", "application/json", `{"items":[`+strings.Join(items, ",")+`]}`)
		}
		for k := range 6 {
			x.headers = append(x.headers, filters.Header{Name: fmt.Sprintf("x-h%d", k), Value: word()})
		}
		x.headers = append(x.headers, filters.Header{Name: "x-request-id", Value: fmt.Sprintf("%016x-%08x", r.Uint64(), i)})
		out = append(out, taped(x, i))
	}
	return out
}

// archived seals exchanges as the filter does and opens them as a rehearsal does.
func archived(b *testing.B, xs []*recording.Exchange) *recording.Opener {
	b.Helper()
	key, err := recording.GenerateKey()
	if err != nil {
		b.Fatal(err)
	}
	dir := b.TempDir()
	s, err := recording.NewSealer(recording.PublicKey(key), archiveSink{&recording.Archive{Dir: dir}}, recording.SealerOptions{QueueExchanges: len(xs), QueueBytes: 1 << 30})
	if err != nil {
		b.Fatal(err)
	}
	for _, x := range xs {
		if !s.Add(x) {
			b.Fatal("not recorded")
		}
	}
	s.Close()
	return recording.NewOpener(dir, hpke.PrivateKey(key))
}

type archiveSink struct{ a *recording.Archive }

func (s archiveSink) Append(rec []byte) bool { return s.a.Append(rec) == nil }

// cpuTime is what this process has used: on a shared machine the clock on the wall
// says little.
func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// What a rehearsal does in a second of one core, from sealed segments on disk to
// the report, and beside it the engine alone on the same exchanges, one side. Engines
// are compiled and warm, as they are in a rehearsal of more than a few seconds.
func BenchmarkRehearse(b *testing.B) {
	xs := mixed(2000)
	from := archived(b, xs)
	before := policyWith(b, filters.ModeDetect)
	engine := sharing()
	measure := func(b *testing.B, once func()) {
		once() // fills the memory
		began := cpuTime(b)
		for b.Loop() {
			once()
		}
		b.ReportMetric(float64(b.N*len(xs))/(cpuTime(b)-began).Seconds(), "exchanges/core-s")
	}
	alone := keep(b, engine, before)
	b.Run("engine alone", func(b *testing.B) {
		measure(b, func() {
			for _, x := range xs {
				alone.Decide(filters.Message{Request: &x.Request, RequestBody: x.RequestBody, Response: &x.Response})
			}
		})
	})
	for _, name := range []string{"an exclusion of one parameter", "block", "a threshold", "paranoia 2"} {
		after := candidates(b, before)[name]
		keep(b, engine, after)
		for _, how := range []string{"", ", both sides"} {
			b.Run(name+how, func(b *testing.B) {
				trial := proposal.Trial{Engine: engine, Before: tableOf(before), After: tableOf(after), Recordings: from, Thorough: how != ""}
				measure(b, func() {
					r, err := proposal.Rehearse(context.Background(), trial)
					if err != nil || r.Judged != len(xs) {
						b.Fatal(r, err)
					}
				})
			})
		}
	}
}

// keep compiles a policy and holds it, so that who asks for it next has it.
func keep(b *testing.B, engine proposal.Engine, p filters.Policy) proposal.Judge {
	b.Helper()
	j, err := engine(p)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(j.Close)
	return j
}
