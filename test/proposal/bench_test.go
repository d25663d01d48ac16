package proposal_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/gabion-io/gabion/controlplane/api/v1alpha1"
	"github.com/gabion-io/gabion/controlplane/compile"
	"github.com/gabion-io/gabion/controlplane/proposal"
	"github.com/gabion-io/gabion/controlplane/source"
	"github.com/gabion-io/gabion/controlplane/store"
	"github.com/gabion-io/gabion/filters"
	"github.com/gabion-io/gabion/filters/chain"
	"github.com/gabion-io/gabion/internal/exchange"
	"github.com/gabion-io/gabion/internal/recording"
	"github.com/gabion-io/gabion/test/plane"
	wafrules "github.com/gabion-io/gabion/waf-rules"
)

const shopPolicy = `apiVersion: gabion.io/v1alpha1
kind: WAFPolicy
metadata:
  name: shop # the whole shop
  namespace: default
spec:
  mode: block
  profile: crs
`

// bench is a control plane without a network: the real store, compiler and
// engine, and traffic that is shown to the engine directly.
type bench struct {
	t     testing.TB
	store *store.Store
	o     proposal.Options
	desk  *proposal.Desk
	files []source.Item // what is not the store's

	checker *chain.Checker

	disk *filters.Record // recorded for real; nil: on the tape

	mu   sync.Mutex
	tape []*recording.Exchange
	now  time.Time
}

func newBench(t testing.TB, origin source.Origin, policy string) *bench {
	t.Helper()
	st, err := store.Open(context.Background(), store.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	b := &bench{t: t, store: st, checker: chain.NewChecker(), now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	b.files = items(t, source.File, plane.Traffic)
	switch {
	case policy == "":
	case origin == source.Store:
		b.apply(policy)
	default:
		b.files = append(b.files, items(t, origin, policy)...)
	}
	b.o = proposal.Options{
		Store: st, World: b.world(), Engine: engine, Recordings: b, Now: func() time.Time { return b.now }, Workers: 2,
		Attacks: func() ([]wafrules.Attack, error) { return suite(t, 942100, 941110), nil },
	}
	b.with(func(*proposal.Options) {})
	return b
}

// with gives the bench a desk with other options.
func (b *bench) with(change func(*proposal.Options)) {
	change(&b.o)
	b.desk = proposal.NewDesk(b.o)
}

func items(t testing.TB, origin source.Origin, text string) []source.Item {
	t.Helper()
	out, err := plane.Items(origin, text)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func (b *bench) apply(manifest string) {
	b.t.Helper()
	o := items(b.t, source.Store, manifest)[0].Object
	_, _, err := b.store.PutResource(context.Background(), store.Resource{
		Key: store.Key(v1alpha1.KeyOf(o)), Origin: store.OriginStore, Manifest: []byte(manifest), Author: "test",
	}, store.PutOptions{Author: "test"})
	if err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) world() plane.Compiled {
	return plane.Compiled{
		Set: func() source.Set {
			all := slices.Clone(b.files)
			stored, err := b.store.Resources(context.Background(), "")
			if err != nil {
				b.t.Fatal(err)
			}
			for _, r := range stored {
				i := items(b.t, source.Store, string(r.Manifest))[0]
				i.Revision = r.Revision
				all = append(all, i)
			}
			return source.NewSet(all, nil)
		},
		Compile: func(s source.Set) compile.Result {
			return compile.Compile(s, compile.Options{Now: b.now, Check: b.checker.Check})
		},
		Mark: b.store.Mark,
	}
}

// live shows requests to the engine as a proxy would and keeps what comes of it:
// events in the store, exchanges on the tape.
func (b *bench) live(client string, requests ...request) []filters.Event {
	b.t.Helper()
	tables, err := b.world().Effective(context.Background(), nil)
	if err != nil {
		b.t.Fatal(err)
	}
	var events []filters.Event
	for name, table := range tables {
		spools, record := chain.Spools(b), filters.Record{Name: "default/all", Percent: 100, BodyLimit: 1 << 20}
		if b.disk != nil {
			spools, record = nil, *b.disk
		}
		table.Record = &record
		config, err := json.Marshal(table)
		if err != nil {
			b.t.Fatal(err)
		}
		r := chain.NewRuntime(chain.Options{Spools: spools, Now: func() time.Time { return b.now }})
		loaded, err := r.Load(config)
		if err != nil {
			b.t.Fatal(err)
		}
		for _, req := range requests {
			for key := range table.Bindings {
				if e := b.one(loaded, key, req); e != nil {
					e.Client, e.Listener = client, name
					events = append(events, *e)
				}
				b.keep(exchange.Exchange{ID: ulid.Make().String(), Time: b.now, Client: client, Method: req.method, Path: req.path, Status: 200})
			}
		}
		loaded.Release()
		if err := r.Close(); err != nil {
			b.t.Fatal(err)
		}
	}
	if _, err := b.store.AddEvents(context.Background(), events); err != nil {
		b.t.Fatal(err)
	}
	return events
}

func (b *bench) keep(x exchange.Exchange) {
	if _, err := b.store.AddExchanges(context.Background(), []exchange.Exchange{x}); err != nil {
		b.t.Fatal(err)
	}
}

type request struct {
	method, host, path, body string
	headers                  []filters.Header
	answer                   string // JSON, with status 201; empty: an empty page
}

func browser(host string) []filters.Header {
	return []filters.Header{{Name: "host", Value: host}, {Name: "user-agent", Value: "Mozilla/5.0"}, {Name: "accept", Value: "*/*"}}
}

func get(path string) request {
	return request{method: "GET", host: "shop.example.com", path: path, headers: browser("shop.example.com")}
}

func post(path, contentType, body string) request {
	r := get(path)
	r.method, r.body = "POST", body
	r.headers = append(r.headers, filters.Header{Name: "content-type", Value: contentType}, filters.Header{Name: "content-length", Value: fmt.Sprint(len(body))})
	return r
}

func (b *bench) one(t *chain.Table, key string, r request) *filters.Event {
	x := t.Begin(key)
	head := &filters.RequestHead{
		Method: r.method, Scheme: "http", Authority: r.host, Path: r.path, Proto: "HTTP/1.1", Time: b.now,
		Client: netip.MustParseAddrPort("192.0.2.7:1234"), Headers: r.headers,
	}
	step := x.RequestHeaders(head, r.body == "")
	if r.body != "" && step.Do != filters.Deny {
		step = x.RequestBody([]byte(r.body), true)
	}
	switch {
	case step.Do == filters.Deny:
	case r.answer != "":
		x.ResponseHeaders(&filters.ResponseHead{Status: 201, Headers: []filters.Header{{Name: "content-type", Value: "application/json"}}}, false)
		x.ResponseBody([]byte(r.answer), true)
	default:
		x.ResponseHeaders(&filters.ResponseHead{Status: 200, Headers: []filters.Header{{Name: "content-type", Value: "text/html"}}}, true)
	}
	return x.Complete()
}

// Events, Recordings and the tape: chain.Spools and Recordings.
func (b *bench) Events(filters.Spool) (chain.EventSink, error)       { return nil, errors.New("none") }
func (b *bench) Recordings(filters.Record) (chain.RecordSink, error) { return b, nil }
func (b *bench) Close() error                                        { return nil }

func (b *bench) Append(r *chain.Recorded) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tape = append(b.tape, &recording.Exchange{
		ID: r.ID, Time: r.Time, Listener: r.Listener, Key: r.Key, Route: r.Route, RouteRule: r.RouteRule, PolicyID: r.PolicyID,
		Request: r.Request, RequestBody: r.RequestBody, RequestBodyBytes: r.RequestBytes, RequestBodyTruncated: r.RequestTruncated,
		Response: r.Response, ResponseBody: r.ResponseBody, ResponseBodyBytes: r.ResponseBytes, ResponseBodyTruncated: r.ResponseTruncated,
		Decision: r.Decision, Event: r.Event,
	})
	return true
}

func (b *bench) Count(recording.Query) (int, error) { return len(b.tape), nil }

func (b *bench) Each(q recording.Query, fn func(*recording.Exchange) error) (recording.OpenReport, error) {
	report := recording.OpenReport{Segments: 1}
	for _, x := range b.tape {
		if len(q.IDs) > 0 && !slices.Contains(q.IDs, x.ID) {
			report.Skipped++
			continue
		}
		report.Exchanges++
		if err := fn(x); err != nil {
			return report, err
		}
	}
	return report, nil
}

const injection = "/search?q=1%27%20or%20%271%27=%271%27%20--%20"

func idsOf(events []filters.Event) []string {
	var out []string
	for _, e := range events {
		out = append(out, e.ID)
	}
	return out
}

func TestFromEventToResource(t *testing.T) {
	ctx := context.Background()
	b := newBench(t, source.Store, shopPolicy)
	events := b.live("n1.a", get(injection), get("/about"))
	if len(events) != 1 || events[0].Decision != filters.Denied {
		t.Fatalf("events are %+v", events)
	}
	other := b.live("n2.b", get(injection), get("/admin?q=1%27%20or%20%271%27=%271%27%20--%20"))

	p, err := b.desk.Propose(ctx, proposal.ProposeOptions{Events: idsOf(events), Author: "ada", Full: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%s\n%s%+v", p.Title, p.Patch, p.Evidence)
	for _, x := range p.Exclusions {
		if x.Target != "ARGS:q" && x.Target != "ARGS_GET:q" || x.Method != "GET" || x.Host != "shop.example.com" || x.Path != "/search" {
			t.Errorf("exclusion is wider than need be: %+v", x)
		}
	}
	e := p.Evidence
	if e.Replay.Recorded != 1 || e.Replay.Passed != 1 || e.Supplied != "ada" || e.Clients != 1 {
		t.Errorf("evidence is %+v", e)
	}
	if e.Others.WouldPass != 1 || !slices.Equal(e.Others.Sample, []string{other[0].ID}) || e.Others.Checked != 2 {
		t.Errorf("others are %+v", e.Others)
	}
	if e.Opens.Opened == 0 || !e.Opens.Complete || !only(e.Opens.IDs, "942100-") {
		t.Errorf("opens %+v", e.Opens)
	}
	if !strings.Contains(p.Candidate, "name: shop # the whole shop") || !strings.Contains(p.Patch, "+  exclusions:") {
		t.Errorf("candidate is\n%s\npatch is\n%s", p.Candidate, p.Patch)
	}

	p, err = b.desk.Rehearse(ctx, p.ID, proposal.RehearseOptions{})
	if err != nil {
		t.Fatal(err)
	}
	r := p.Rehearsal
	if r == nil || r.NewlyPassed != 2 || r.NewlyBlocked != 0 || r.Unchanged != 2 || !r.Coverage.Data || r.Drift.SamePolicy != 0 || r.Enforced.NewlyPassed != 2 {
		t.Fatalf("rehearsal is %+v", r)
	}
	if len(r.Passed) != 2 || strings.Contains(fmt.Sprint(r.Passed), "or") && strings.Contains(r.Passed[0].Path, "?") {
		t.Errorf("examples are %+v", r.Passed)
	}

	got, err := b.desk.Accept(ctx, p.ID, "grace")
	if err != nil || !got.Written || got.Revision != 2 || got.Proposal.State != proposal.Accepted || got.Proposal.DecidedBy != "grace" {
		t.Fatalf("acceptance is %+v, %v", got, err)
	}
	if again, err := b.desk.Accept(ctx, p.ID, "grace"); err != nil || again.Written {
		t.Errorf("accepting again is %+v, %v", again, err)
	}
	if _, err := b.desk.Reject(ctx, p.ID, "grace", ""); !errors.Is(err, proposal.ErrDecided) {
		t.Errorf("rejecting what is accepted: %v", err)
	}
	if events := b.live("n1.a", get(injection)); slices.ContainsFunc(events, func(e filters.Event) bool { return e.Decision != filters.Allow }) {
		t.Errorf("still denied: %+v", events)
	}
	if events := b.live("n1.a", get("/admin?q=1%27%20or%20%271%27=%271%27%20--%20")); len(events) != 1 || events[0].Decision != filters.Denied {
		t.Errorf("another path passes: %+v", events)
	}
}
